"""What an earlier life left pending is finished by the guard, written down, and gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import pytest

from netpolicy.dataplane.guard import Guard, find_pending, start_of
from netpolicy.observe.journal import Journal
from netpolicy.service import recovery
from netpolicy.service.change import AWAITING
from tests.netns import needs_root, run
from tests.router import router
from tests.service.changing import ChangingHouse
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]

OTHER = CONFIG.replace("443", "444")


@pytest.fixture
async def house(tmp_path):
    with router():
        house = ChangingHouse(tmp_path)
        assert await house.load() == ""
        yield house


async def recovered(house: ChangingHouse) -> str:
    """As the next daemon does it."""
    guard = Guard(house.places)
    left = await recovery.recover(guard, house.store, house.log)
    await recovery.note(left, guard, Journal(str(house.folder)), house.store, house.log)
    return left.outcome


async def test_where_nothing_was_left_nothing_is_done(house):
    before = house.entries()
    assert await recovered(house) == ""
    assert house.entries() == before


@pytest.mark.parametrize(("generation", "word"), [(1, "confirmed"), (2, "reverted")])
async def test_a_change_whose_end_was_never_written_is_closed_by_what_counts_now(house, generation, word):
    journal = Journal(str(house.folder))
    journal.append({"event": "begin", "id": "r00000007", "generation": generation})
    assert await recovered(house) == ""
    last = house.entries()[-1]
    assert (last["event"], last["outcome"], last["detail"]) == ("recovered", word, "r00000007 at-start")
    assert await recovered(house) == "" and house.entries()[-1] == last


async def test_a_reboot_in_the_middle_puts_the_old_configuration_back(house):
    await house.until(house.begin(OTHER), AWAITING)
    await _reboot(house)
    assert (await recovered(house)).startswith("reverted")
    assert house.config.read_text() == CONFIG and (house.folder / "rejected").read_text() == OTHER
    assert (house.store.current(), house.store.numbers()) == (1, (1,))
    assert find_pending(house.places) is None
    last = house.entries()[-1]
    assert (last["event"], last["outcome"]) == ("recovered", "reverted")
    assert await recovered(house) == "" and house.entries()[-1] == last


async def test_a_reboot_after_the_verdict_leads_forward(house):
    change = await house.until(house.begin(OTHER), AWAITING)
    assert await house.guard.confirm(change.token.partition(".")[2])
    await _reboot(house)
    assert (await recovered(house)).startswith("confirmed")
    assert house.config.read_text() == OTHER
    assert (house.store.current(), house.store.read(2).config) == (2, OTHER.encode())
    assert find_pending(house.places) is None


async def test_what_was_confirmed_stays_though_a_reload_came_before_its_record_was_gone(house, monkeypatch):
    """Whoever is told of the end may reload at once; and then everybody dies."""
    told = asyncio.Event()

    async def never(_):
        told.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Guard, "finish", never)
        house.begin(OTHER, window=0)
        await told.wait()
        assert await house.load(CONFIG.replace("443", "445")) == ""
        await _reboot(house)
    assert (await recovered(house)).startswith("confirmed")
    assert (house.store.current(), house.store.numbers()) == (3, (1, 2, 3))


async def test_a_record_that_cannot_be_read_is_told_and_the_old_configuration_stands(house):
    await house.until(house.begin(OTHER), AWAITING)
    await _reboot(house)
    (house.folder / "pending" / "record").write_text("ID=$(reboot)\n")
    await recovered(house)
    assert house.config.read_text() == CONFIG
    assert [text for text in house.said("error") if "cannot be read" in text]


async def test_a_configuration_that_the_guard_could_not_put_back_is_not_read(house):
    await house.until(house.begin(OTHER), AWAITING)
    await _reboot(house)
    (house.folder / "pending/old/config").write_text("damaged")
    await recovered(house)
    assert house.config.read_text() == CONFIG and find_pending(house.places) is None


async def test_from_a_disk_that_nobody_can_write_what_was_confirmed_is_read_from_the_store(house):
    await house.until(house.begin(OTHER), AWAITING)
    await _reboot(house)
    everywhere = str(house.folder.parent)
    run("mount", "--bind", everywhere, everywhere)
    run("mount", "--bind", str(house.state), str(house.state))
    run("mount", "-o", "remount,bind,ro", everywhere)
    try:
        left = await recovery.recover(Guard(house.places), house.store, house.log)
    finally:
        run("umount", "-l", str(house.state))
        run("umount", "-l", everywhere)
    assert left.instead == {str(house.config): CONFIG.encode()}
    assert house.config.read_text() == OTHER  # nobody could write it
    assert (await recovered(house)).startswith("reverted") and house.config.read_text() == CONFIG


async def test_the_further_files_of_the_old_configuration_come_back_too(house):
    rules = house.config.parent / "more.dsl"
    with_more = CONFIG.replace("enabled '1'", "enabled '1'\n\tlist ruleset 'more.dsl'")
    rules.write_text("rule first:\n  match dest_port=1\n  action block=drop\n")
    assert await house.load(with_more) == ""
    old = rules.read_text()
    rules.write_text(old.replace("first", "second"))
    assert (await house.until(house.begin(with_more), AWAITING)).state == AWAITING
    await _reboot(house)
    assert (await recovered(house)).startswith("reverted")
    assert rules.read_text() == old and "second" in (house.folder / "rejected-more.dsl").read_text()


async def _reboot(house: ChangingHouse) -> None:
    """Processes are gone without a word, the machine has another boot id, the kernel is empty."""
    house.guarded._task.cancel()
    await asyncio.gather(house.guarded._task, return_exceptions=True)
    house.guarded._run.change.state = "reverted"  # nobody ends it here any more
    assert house.guard._process is not None
    number, start = house.guard._process
    while start_of(number) == start:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        await asyncio.sleep(0.001)
    record = house.folder / "pending" / "record"
    lines = record.read_text().splitlines()
    changed = [
        "BOOT_ID=00000000-0000-4000-8000-000000000000" if line.startswith("BOOT_ID=") else
        "APPLIER_START=1" if line.startswith("APPLIER_START=") else line for line in lines
    ]  # fmt: skip
    record.write_text("\n".join(changed) + "\n")
