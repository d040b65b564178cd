"""Without a way back that works nothing is changed; and what comes back is what was there."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from netpolicy.dataplane.boot_lock import Known
from netpolicy.service import way_back
from netpolicy.service.change import AWAITING, PROBING, REFUSED, REVERTED
from tests.netns import needs_root, run
from tests.router import router
from tests.service.changing import ChangingHouse, Told, state
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]

OTHER = CONFIG.replace("443", "444")
OFF = CONFIG.replace("enabled '1'", "enabled '0'")


@pytest.fixture
async def house(tmp_path):
    with router():
        house = ChangingHouse(tmp_path)
        assert await house.load() == ""
        yield house
        await house.end()


@pytest.fixture
async def watched(tmp_path):
    with router():
        house = ChangingHouse(tmp_path, eyes=Told())
        assert await house.load() == ""
        yield house
        await house.end()


async def test_a_reload_while_a_change_goes_back_does_not_take_the_candidate_over(house):
    before = state()
    change = await house.until(house.begin(OTHER), AWAITING)
    said: list[asyncio.Future[str]] = []

    def reload(name, data):
        if data.get("state") == "reverting":
            said.append(asyncio.ensure_future(house.engine.reload()))

    house.engine.publish = reload
    await house.guarded.abort(change.id, "a test")
    assert "under way" in await said[0] or "waits" in await said[0]
    assert state() == before and house.config.read_text() == CONFIG


async def test_a_reload_that_is_just_ending_is_what_a_change_goes_back_to(house):
    first = house.engine.loaded
    house.write(OTHER)
    reloading = asyncio.ensure_future(house.engine.reload())
    while house.engine.loaded is first:  # noqa: ASYNC110
        await asyncio.sleep(0)
    change = house.begin(given={str(house.config): OFF.encode()})
    assert await reloading == ""
    await house.until(change, AWAITING)
    assert (house.store.current(), house.store.read(2).config) == (2, OTHER.encode())
    await house.guarded.abort(change.id, "a test")
    assert house.config.read_text() == OTHER
    assert await house.engine.reconcile("again") == "" and house.engine.enforced is not None


@pytest.mark.parametrize("what", ["config", "current", "all"])
async def test_without_what_is_in_force_in_the_store_nothing_is_changed(house, what):
    assert await house.load(OTHER) == ""
    before, store = state(), house.folder / "generations"
    if what == "all":
        shutil.rmtree(store)
    else:
        (store / ("current" if what == "current" else "000002/config")).write_text("damaged")
    change = house.begin(CONFIG)
    await house.guarded.ended()
    assert change.state == REFUSED and "is not in the store" in change.error and state() == before
    assert await house.load(OTHER) == ""  # the cure
    change = await house.until(house.begin(CONFIG), AWAITING)
    await house.guarded.abort(change.id, "a test")
    assert house.config.read_text() == OTHER and state() == before


@pytest.mark.parametrize("text", [OFF, CONFIG.replace("'video'", "'films'"), OTHER])
async def test_rules_that_come_back_go_on_counting_where_they_were(house, text):
    run("nft", "delete", "table", "inet", "netpolicy")
    counted = {"video": (7, 700)}
    house.engine.kernel.remember_counters(counted)
    assert await house.engine.reconcile("heal") == ""
    house.engine.kernel.remember_counters({})
    assert (await house.engine.kernel.counters())["video"] == (7, 700)
    change = await house.until(house.begin(text), AWAITING)
    await house.guarded.abort(change.id, "a test")
    assert (await house.engine.kernel.counters())["video"] == (7, 700)


async def test_a_disk_that_is_full_refuses_the_change_before_anything_happened(house):
    before = state()
    kept = shutil.copytree(house.folder, house.folder.parent / "kept")
    run("mount", "-t", "tmpfs", "-o", "size=64k", "none", str(house.folder))
    try:
        shutil.copytree(kept, house.folder, dirs_exist_ok=True)
        left = os.statvfs(house.folder).f_bavail
        (house.folder / "filling").write_bytes(b"x" * 4096 * (left - 1))
        change = house.begin(OTHER)
        await house.guarded.ended()
        assert change.state == REFUSED and "No space left" in change.error
        assert state() == before
    finally:
        run("umount", "-l", str(house.folder))


async def test_without_a_guard_nothing_is_changed(house):
    before = state()
    object.__setattr__(house.places, "program", "/nonexistent/guard")
    change = house.begin(OTHER)
    await house.guarded.ended()
    assert change.state == REFUSED and state() == before and house.store.numbers() == (1,)


class Slow:
    """A name server that follows in its own time."""

    refused = ""

    def __init__(self, outcome: Path) -> None:
        self._outcome = outcome
        self.led_back = False
        self.word_came_first = False
        self.waits_for_the_word = False
        self.leads = False

    async def followed(self, refused: str = "") -> str:
        if self.leads:
            until = time.monotonic() + (7 if self.waits_for_the_word else 0.1)  # the guard waits ten
            while not self._outcome.exists() and time.monotonic() < until:  # noqa: ASYNC110 - a file, in a worker
                await asyncio.sleep(0.01)
        self.led_back, self.word_came_first = self.leads, self.leads and self._outcome.exists()
        return ""

    async def kept(self, candidate: object) -> tuple[dict[str, str], dict[str, str]]:
        return {"names/places": "absent /nowhere/netpolicy.conf\n"}, {}

    async def for_a_boot(self) -> Known:
        return Known()


@pytest.mark.parametrize(("seconds", "word_comes_first"), [(30.0, False), (0.05, True)])
async def test_the_word_that_all_is_led_back_waits_for_a_name_server_but_not_for_ever(
    house, monkeypatch, seconds, word_comes_first
):
    """Should the daemon die before that word, the guard leads the names back: it waits for the word, too."""
    monkeypatch.setattr(way_back, "NAMES_SECONDS", seconds)
    house.tools.names = slow = Slow(house.folder / "pending" / "outcome")
    change = await house.until(house.begin(OTHER), AWAITING)
    slow.leads, slow.waits_for_the_word = True, word_comes_first
    await house.guarded.abort(change.id, "a test")
    assert (change.state, slow.led_back, slow.word_came_first) == (REVERTED, True, word_comes_first)


async def test_when_the_way_back_fails_the_daemon_leaves_it_to_the_guard(watched):
    change = await watched.until(watched.begin(OTHER), AWAITING)

    async def refuses(_):
        return "nft is gone"

    real, watched.engine.__class__.reconcile = watched.engine.__class__.reconcile, lambda self, cause: refuses(cause)
    try:
        await watched.guarded.abort(change.id, "a test")
    finally:
        watched.engine.__class__.reconcile = real
    assert watched.died == ["now"]
    assert watched.guard.verdict().startswith("revert") and watched.guard.outcome() == ""
    assert "left it to the guard" in watched.entries()[-1]["notes"][0]
    change.state = PROBING  # the guard ends this process now, if it lived in its own
    await watched.guard.write_outcome("reverted by the test")
    await watched.guard.finish()
    change.state = REVERTED


async def test_it_is_said_where_the_text_of_a_change_that_was_taken_back_is_kept(house):
    change = await house.until(house.begin(OTHER), AWAITING)
    await house.guarded.abort(change.id, "a test")
    told = f"what stood in {house.config} is kept as {house.folder / 'rejected'}"
    assert change.notes == [told] == house.entries()[-1]["notes"]
    assert (house.folder / "rejected").read_text() == OTHER


async def test_a_draft_that_another_text_replaces_is_kept_and_said_to_be(house):
    house.write(OTHER)
    change = await house.until(house.begin(given={str(house.config): OFF.encode()}), AWAITING)
    assert change.notes == [f"what stood in {house.config} is kept as {house.folder / 'rejected'}"]
    assert (house.folder / "rejected").read_text() == OTHER
