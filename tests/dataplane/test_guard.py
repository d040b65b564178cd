"""Before a change: everything is in place or nothing happened. Then: one verdict, and a guard that is there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolicy.dataplane import guard, guard_trial
from netpolicy.dataplane.guard import Guard, GuardError, find_pending, reason_word, start_of, uptime
from netpolicy.dataplane.pending import Unreadable
from tests.dataplane.followed import MAIL, OTHER, VIDEO, WORK
from tests.kernel.gate import until
from tests.kernel.guarded import NEW_CONFIG, OLD_CONFIG, GuardedRouter, places
from tests.netns import needs_root, run
from tests.router import everything, policy

pytestmark = [pytest.mark.kernel, needs_root]

CANDIDATE = policy(OTHER, VIDEO)


@pytest.fixture
async def router(here: object, tmp_path: Path) -> Iterator[GuardedRouter]:
    made = GuardedRouter(places(tmp_path))
    await made.follow(policy(VIDEO, MAIL, WORK))
    yield made
    # The guard sees that its record is gone, and ends.
    await made.guard.finish()


async def test_after_arming_everything_is_in_place_and_nothing_in_the_kernel_changed(router):
    before = everything()
    await router.arm(CANDIDATE, seconds=60)
    assert everything() == before
    pending = router.pending_folder
    assert (pending / "old/config").read_bytes() == OLD_CONFIG
    assert (pending / "candidate").read_bytes() == NEW_CONFIG
    found = find_pending(router.places)
    assert found == router.guard.pending
    assert (found.state, found.old, found.new, found.sealed) == ("armed", 1, 2, 0)
    assert uptime() + 50 < found.deadline <= uptime() + 60
    assert (found.applier_pid, found.applier_start) == (os.getpid(), start_of(os.getpid()))
    assert {path.stat().st_mode & 0o77 for path in pending.rglob("*")} == {0}
    assert router.guard.is_alive() and router.guard.tried == "namespace"
    said = router.ask("status").stdout
    assert f"pending: {found.id}" in said and "watched: yes" in said


async def test_the_time_runs_from_the_end_of_the_trial(router, monkeypatch):
    tried = guard_trial.prepare

    async def slow(*given):
        monkeypatch.setattr(guard, "uptime", lambda: uptime() + 200)  # as if it had taken so long
        return await tried(*given)

    monkeypatch.setattr(guard_trial, "prepare", slow)
    await router.arm(CANDIDATE, seconds=90)
    assert find_pending(router.places).deadline >= uptime() + 280


async def test_the_record_follows_state_and_deadline(router):
    await router.arm(CANDIDATE)
    await router.guard.advance("applying")
    await router.guard.extend(uptime() + 900)
    found = find_pending(router.places)
    assert found.state == "applying" and found.deadline >= uptime() + 890


async def test_a_second_change_is_refused_while_one_is_pending(router):
    await router.arm(CANDIDATE)
    first = find_pending(router.places)
    with pytest.raises(GuardError, match="pending already"):
        await GuardedRouter.arm(another(router), CANDIDATE)
    assert find_pending(router.places) == first


def another(router: GuardedRouter) -> GuardedRouter:
    made = GuardedRouter(router.places)
    made.plan = router.plan
    return made


async def test_an_outcome_that_nobody_wrote_down_is_not_lost(router):
    router.pending_folder.mkdir()
    (router.pending_folder / "outcome").write_text("fallback 7 6 unhealthy-boots\n")
    with pytest.raises(GuardError, match="journal"):
        await router.arm(CANDIDATE)
    assert router.guard.outcome() == "fallback 7 6 unhealthy-boots"


async def test_without_a_guard_there_is_no_change(router, monkeypatch):
    monkeypatch.setattr(guard, "ANSWER_SECONDS", 0.3)
    run("sed", "-i", "s/^watch) prepare/watch) false/", router.places.program)
    before = everything()
    with pytest.raises(GuardError, match="did not answer"):
        await router.arm(CANDIDATE)
    assert everything() == before
    assert not router.pending_folder.exists() and find_pending(router.places) is None
    assert router.config == OLD_CONFIG


async def test_a_bundle_that_does_not_lead_back_means_no_change(router):
    run("nft", "flush", "chain", "inet", "netpolicy", "k_01")
    before = everything()
    # What is in force is not what reading back showed.
    with pytest.raises(GuardError, match="nothing was changed"):
        await router.arm(CANDIDATE)
    assert everything() == before
    assert not router.pending_folder.exists()


@pytest.mark.parametrize("size", ["16k", "24k", "32k", "40k"])
async def test_a_full_disk_means_no_change(router, tmp_path, size):
    store = Path(router.places.store)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(store))
    try:
        (store / "ballast").write_bytes(b"x" * 4096)
        before = everything()
        with pytest.raises(GuardError, match=r"No space left|nothing was changed"):
            await GuardedRouter.arm(full(router), CANDIDATE)
        assert everything() == before
        assert os.listdir(store) == ["ballast"]
    finally:
        run("umount", str(store))


def full(router: GuardedRouter) -> GuardedRouter:
    """As long a configuration as the disk is."""
    made = another(router)
    store = Path(router.places.store)
    room = os.statvfs(store)
    (store / "ballast").write_bytes(b"x" * (room.f_bavail * room.f_frsize - 4096))
    return made


async def test_a_confirmation_counts_once_and_with_its_nonce_only(router):
    await router.arm(CANDIDATE)
    guard = router.guard
    assert not await guard.confirm("0" * 32)
    assert guard.verdict() == ""
    nonce = guard.pending.nonce
    assert await guard.confirm(nonce)
    assert await guard.confirm(nonce), "asked again it is still so"
    assert not await guard.claim_revert("too late")
    assert find_pending(router.places).is_confirmed


async def test_after_a_verdict_against_it_no_confirmation_counts(router):
    await router.arm(CANDIDATE)
    # Or the guard would end this process.
    os.kill(int((router.guard_folder / "ack").read_text().split()[1]), signal.SIGKILL)
    assert await router.guard.claim_revert("a probe failed: $(id)")
    assert router.guard.verdict() == "revert a-probe-failed:---id-"
    assert not await router.guard.confirm(router.guard.pending.nonce)


async def test_of_many_who_decide_at_once_exactly_one_does(router):
    await router.arm(CANDIDATE)
    os.kill(int((router.guard_folder / "ack").read_text().split()[1]), signal.SIGKILL)
    pending = router.guard.pending
    ready = threading.Barrier(12)
    confirmed, reverted = [], []

    def race(number: int) -> None:
        racer = Guard(router.places, pending)
        ready.wait()
        if number % 2:
            confirmed.append(asyncio.run(racer.confirm(pending.nonce)))
        else:
            reverted.append(asyncio.run(racer.claim_revert(f"racer {number}")))

    racers = [threading.Thread(target=race, args=(number,)) for number in range(12)]
    for one in racers:
        one.start()
    for one in racers:
        one.join()
    if find_pending(router.places).is_confirmed:
        assert confirmed == [True] * 6 and reverted == [False] * 6
    else:
        assert confirmed == [False] * 6 and reverted == [True] * 6


async def test_a_guard_that_died_is_replaced_while_the_change_is_pending(router):
    await router.arm(CANDIDATE)
    first = int((router.guard_folder / "ack").read_text().split()[1])
    os.kill(first, signal.SIGKILL)
    for _ in range(2000):
        if start_of(first) is None:
            break
        await asyncio.sleep(0.01)
    assert not router.guard.is_alive()
    await router.guard.ensure_alive()
    assert router.guard.is_alive()
    assert int((router.guard_folder / "ack").read_text().split()[1]) != first


async def test_another_process_with_the_number_of_a_guard_that_died_is_not_taken_for_it(router):
    await router.arm(CANDIDATE)
    ack = router.guard_folder / "ack"
    id_, number, start = ack.read_text().split()
    assert int(start) == start_of(int(number))
    os.kill(int(number), signal.SIGKILL)
    until(lambda: start_of(int(number)) != int(start), "it is gone")
    assert "watched: no" in router.ask("status").stdout
    ack.write_text(f"{id_} {os.getpid()} {start}\n")
    assert not router.guard.is_alive() and "watched: no" in router.ask("status").stdout
    for said in (f"{id_}\n", f"{id_} x {start}\n", "\n", ""):
        ack.write_text(said)
        assert not router.guard.is_alive()
    ack.write_text(f"{id_} {os.getpid()}\n")  # a resident guard of an earlier release
    assert router.guard.is_alive()


async def test_the_resident_guard_is_woken_and_no_other_is_started(router):
    resident = router.start("serve")
    try:
        for _ in range(2000):
            if (router.guard_folder / "guard.pid").exists():
                break
            await asyncio.sleep(0.01)
        await router.arm(CANDIDATE)
        assert (router.guard_folder / "ack").read_text().split()[1] == str(resident.pid)
        await router.guard.finish()
    finally:
        # At rest it ends when it is told to.
        for _ in range(300):
            resident.terminate()
            try:
                resident.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        assert resident.returncode == 0
    assert not (router.guard_folder / "guard.pid").exists()


async def test_nothing_pending_is_nothing_to_find_and_an_odd_record_is_told(router):
    assert find_pending(router.places) is None
    assert await router.guard.recover() == ""
    await router.arm(CANDIDATE)
    record = router.pending_folder / "record"
    record.write_text(record.read_text().replace("STORE=/", "STORE=/elsewhere/"))
    with pytest.raises(Unreadable, match="another place"):
        find_pending(router.places)
    record.write_text("x\n")
    with pytest.raises(Unreadable):
        find_pending(router.places)


@pytest.mark.parametrize(
    ("given", "word"),
    [("a probe failed", "a-probe-failed"), ("", "by-daemon"), ("é\n$x", "---x"), ("x" * 300, "x" * 120)],
)
def test_a_reason_is_one_word_of_plain_letters(given, word):
    assert reason_word(given) == word
