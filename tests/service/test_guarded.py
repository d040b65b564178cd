"""A change that nobody confirms is taken back; one that is confirmed stays; and the journal says which."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from netpolicy.dataplane import guard
from netpolicy.dataplane.guard import Guard, find_pending, uptime
from netpolicy.service import change_run, guarded
from netpolicy.service.change import AWAITING, COMMITTED, REVERTED
from netpolicy.service.change_tools import ApplyRefused
from netpolicy.service.generation import Damaged
from tests.netns import needs_root
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
        assert find_pending(house.places) is None


def stand_still(until: int) -> None:
    """As in a sleep of the machine: the daemon notices nothing meanwhile."""
    while uptime() < until:
        time.sleep(0.01)


async def test_what_is_in_force_first_becomes_the_first_generation_and_nothing_is_written_for_the_same_again(house):
    assert (house.store.current(), house.store.read(1).config) == (1, CONFIG.encode())
    assert await house.load() == ""
    assert house.store.numbers() == (1,)
    assert await house.load(OTHER) == ""
    assert (house.store.current(), house.store.read(2).config) == (2, OTHER.encode())
    assert [entry["event"] for entry in house.entries()] == ["adopted", "adopted"]


async def test_files_that_the_disk_does_not_give_back_are_told_and_end_no_turn(house, monkeypatch):
    def damaged(number):
        raise Damaged(number, "config: Input/output error")

    monkeypatch.setattr(house.store, "commit", damaged)
    assert await house.load(OTHER) == ""
    (said,) = house.said("error")
    assert "cannot be kept as a generation" in said and "Input/output error" in said
    assert house.store.current() == 1 and house.engine.in_force.in_sync


async def test_a_confirmed_change_stays_and_is_the_generation_that_counts(house):
    before = state()
    change = await house.until(house.begin(OTHER, why="the port moved"), AWAITING)
    assert change.state == AWAITING and state() != before
    assert house.store.current() == 1  # a power cut now leads back
    assert house.guard.is_alive()
    ended = await house.guarded.confirm(change.token, {}, "a test")
    assert (ended.state, house.store.current()) == (COMMITTED, 2)
    assert house.config.read_text() == OTHER and find_pending(house.places) is None
    begin, end = house.entries()[-2:]
    assert (begin["event"], end["event"], end["outcome"], end["why"]) == (
        "begin",
        "change",
        COMMITTED,
        "the port moved",
    )
    assert await house.engine.reconcile("again") == ""
    assert [name for name, _ in house.events].count("netpolicy.apply") == 2  # once loaded, once changed


async def test_without_a_confirmation_everything_is_as_before(house):
    before = state()
    change = await house.until(house.begin(OTHER, window=1), AWAITING)
    stand_still(change.deadline)
    with pytest.raises(ApplyRefused, match="too late"):
        await house.guarded.confirm(change.token, {}, "a test")
    await house.guarded.ended()
    assert (change.state, change.error) == (REVERTED, "nobody confirmed it in time")
    assert state() == before
    assert house.config.read_text() == CONFIG and (house.folder / "rejected").read_text() == OTHER
    assert (house.store.current(), house.store.numbers()) == (1, (1,))
    assert house.entries()[-1]["outcome"] == REVERTED
    assert await house.engine.reconcile("again") == "" and state() == before


@pytest.mark.parametrize("text", [OTHER, OFF, CONFIG.replace("'mail'", "'post'"), CONFIG.replace("0.1'", "0.7'")])
async def test_every_kind_of_change_is_taken_back_when_it_is_aborted(house, text):
    before = state()
    change = await house.until(house.begin(text), AWAITING)
    assert change.state == AWAITING, change.error
    assert state() != before
    assert (await house.guarded.abort(change.id, "a test")).state == REVERTED
    assert state() == before and house.config.read_text() == CONFIG


async def test_a_second_change_a_reload_and_a_wrong_word_are_refused_while_one_is_pending(house):
    change = await house.until(house.begin(OTHER), AWAITING)
    with pytest.raises(ApplyRefused, match=change.id):
        house.begin()
    assert change.id in await house.load()
    for word in ("", change.id, change.id + "." + "0" * 32, "rffffffff." + change.token.partition(".")[2]):
        with pytest.raises(ApplyRefused):
            await house.guarded.confirm(word, {}, "a test")
    assert change.state == AWAITING
    assert (await house.guarded.confirm(change.token, {}, "a test")).state == COMMITTED
    with pytest.raises(ApplyRefused):
        await house.guarded.confirm(change.token, {}, "a test")


@pytest.fixture
def slow_end(monkeypatch):
    """What is done after the end of a change was told is done once this is set."""
    go_on, finish = asyncio.Event(), Guard.finish

    async def finish_later(guard):
        await go_on.wait()
        await finish(guard)

    monkeypatch.setattr(Guard, "finish", finish_later)
    return go_on


async def test_who_is_told_that_a_change_is_over_may_begin_the_next_one(house, slow_end):
    first = await house.until(house.begin(OTHER, window=0), COMMITTED)
    second = house.begin(CONFIG, window=0)
    await asyncio.sleep(0)
    assert find_pending(house.places).id == first.id
    slow_end.set()
    await house.guarded.ended()
    assert (first.state, second.state, second.error) == (COMMITTED, COMMITTED, "")
    assert [(entry["event"], entry["id"]) for entry in house.entries()[1:]] == [
        (event, change.id) for change in (first, second) for event in ("begin", "change")
    ]


async def test_the_daemon_ends_after_what_is_still_written_of_a_change(house, slow_end):
    await house.until(house.begin(OTHER, window=0), COMMITTED)
    closing = asyncio.ensure_future(house.guarded.close())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not closing.done()
    slow_end.set()
    await closing
    assert find_pending(house.places) is None and house.entries()[-1]["outcome"] == COMMITTED


async def test_who_is_told_that_a_change_is_taken_back_may_reload(house, slow_end):
    change = await house.until(house.begin(OTHER), AWAITING)
    aborting = asyncio.ensure_future(house.guarded.abort(change.id, "a test"))
    await house.until(change, REVERTED)
    assert await house.load(OFF) == ""
    slow_end.set()
    await aborting
    assert house.store.confirmed().config == OFF.encode()


async def test_who_confirms_while_the_change_is_being_taken_back_is_told(watched):
    looked = asyncio.Event()

    async def slow(*_):
        await looked.wait()
        return "seen", ""

    watched.eyes.evidence = slow
    change = await watched.until(watched.begin(OTHER), AWAITING)
    asking = asyncio.ensure_future(watched.guarded.confirm(change.token, {}, "a test"))
    await asyncio.sleep(0)
    await watched.guarded.abort(change.id, "a test")
    looked.set()
    with pytest.raises(ApplyRefused, match="too late"):
        await asking
    assert change.state == REVERTED


async def test_a_confirmation_that_is_told_late_does_not_confirm_the_next_change(house, monkeypatch):
    """Its word is on the disk, which lets us wait; meanwhile the time is over, and everybody hears that it counts."""
    confirm, linked, go_on = Guard.confirm, asyncio.Event(), asyncio.Event()

    async def late(guard, nonce):
        is_decided = await confirm(guard, nonce)
        linked.set()
        await go_on.wait()
        return is_decided

    monkeypatch.setattr(Guard, "confirm", late)
    first = await house.until(house.begin(OTHER), AWAITING)
    asking = asyncio.ensure_future(house.guarded.confirm(first.token, {}, "a test"))
    await linked.wait()
    house.guarded._run.stop("nobody confirmed it in time")
    await house.until(first, COMMITTED)
    second = await house.until(house.begin(CONFIG), AWAITING)
    go_on.set()
    assert await asyncio.wait_for(asking, 30) is first
    assert second.state == AWAITING and house.guard.verdict() == ""


async def test_a_confirmation_counts_though_its_generation_was_damaged_meanwhile(house):
    change = await house.until(house.begin(OTHER), AWAITING)
    (house.folder / "generations/000002/config").write_text("damaged")
    assert (await house.guarded.confirm(change.token, {}, "a test")).state == COMMITTED
    assert (house.store.current(), house.store.read(3).config) == (3, OTHER.encode())
    assert find_pending(house.places) is None and house.entries()[-1]["generation"] == 3


async def test_of_many_who_extend_at_once_each_is_heard(house):
    change = await house.until(house.begin(OTHER), AWAITING)
    await asyncio.gather(*[house.guarded.extend(change.id, 100 + number) for number in range(20)])
    assert find_pending(house.places).deadline == change.deadline


class Clock:
    """The daemon's, which can be put ahead."""

    def __init__(self):
        self.ahead = self.asked = 0

    def __call__(self):
        self.asked += 1
        return uptime() + self.ahead


async def test_the_time_to_confirm_can_be_made_longer(house, monkeypatch):
    clock = Clock()
    for module in (guarded, change_run):
        monkeypatch.setattr(module, "uptime", clock)
    monkeypatch.setattr(change_run, "WATCH_SECONDS", 0.02)
    change = await house.until(house.begin(OTHER, window=100), AWAITING)
    await house.guarded.extend(change.id, 600)
    assert change.shown(0)["seconds_left"] >= 600
    for wrong in (0, -1, 3601):
        with pytest.raises(ApplyRefused):
            await house.guarded.extend(change.id, wrong)
    asked, clock.ahead = clock.asked, 300  # past the first end
    for _ in range(3000):
        if clock.asked >= asked + 3 or change.state != AWAITING:
            break
        await asyncio.sleep(0.01)
    assert clock.asked >= asked + 3 and change.state == AWAITING
    clock.ahead = 700
    await house.guarded.ended()
    assert (change.state, change.error) == (REVERTED, "nobody confirmed it in time")


async def test_a_guard_that_dies_is_replaced_and_one_that_cannot_be_started_ends_the_change(house, monkeypatch):
    before = state()
    change = await house.until(house.begin(OTHER), AWAITING)
    first = house.guard._process
    os.kill(first[0], 9)
    for _ in range(1500):  # another process's life cannot be awaited
        if house.guard._process != first and house.guard.is_alive():
            break
        await asyncio.sleep(0.02)
    assert house.guard._process != first
    assert change.state == AWAITING
    monkeypatch.setattr(guard, "ANSWER_SECONDS", 0.5)  # of one that never answers
    os.kill(house.guard._process[0], 9)
    object.__setattr__(house.places, "program", "/nonexistent/guard")
    await house.guarded.ended()
    assert change.state == REVERTED and "nobody guards it" in change.error
    assert state() == before


async def test_rolling_back_is_as_guarded_as_any_change(house):
    first = state()
    await house.load(OTHER)
    second = state()
    job = (await house.changes.rollback(1, {"confirm": 60}, "a test"))["job"]
    change = await house.until(house.guarded.find(job), AWAITING)
    assert change.state == AWAITING and house.config.read_text() == CONFIG
    assert (await house.guarded.abort("", "a test")).state == REVERTED
    assert state() == second and house.config.read_text() == OTHER
    job = (await house.changes.rollback(0, {"confirm": 60}, "a test"))["job"]
    change = await house.until(house.guarded.find(job), AWAITING)
    assert (await house.guarded.confirm(change.token, {}, "a test")).state == COMMITTED
    assert house.config.read_text() == CONFIG and house.store.current() == 4
    assert _without_labels(state()) == _without_labels(first)


def _without_labels(listing: list[str]) -> list[str]:
    """Routes and rules: the same rules may have other labels in the table the second time."""
    return [line for line in listing if "proto 78" in line]


# -- what others see ---------------------------------------------------------------------------


@pytest.fixture
async def watched(tmp_path):
    with router():
        house = ChangingHouse(tmp_path, eyes=Told())
        assert await house.load() == ""
        yield house
        await house.end()


async def test_without_evidence_a_confirmation_is_refused_and_the_change_waits_on(watched):
    eyes = watched.eyes
    eyes.doubt = "that connection was open before"
    change = await watched.until(watched.begin(OTHER), AWAITING)
    with pytest.raises(ApplyRefused, match="was open before"):
        await watched.guarded.confirm(change.token, {"ssh": "x"}, "a test")
    assert change.state == AWAITING
    eyes.doubt = ""
    assert (await watched.guarded.confirm(change.token, {}, "a test")).state == COMMITTED
    assert "seen" in watched.entries()[-1]["notes"][0]


async def test_a_generation_is_well_when_the_daemon_lives_three_minutes_with_it(house, monkeypatch):
    house.guarded.watch_health()
    assert not house.store.read(1).is_healthy
    monkeypatch.setattr("netpolicy.service.guarded.HEALTHY_SECONDS", 0.0)
    house.guarded.watch_health()
    await asyncio.sleep(0.01)
    assert house.store.read(1).is_healthy
    assert await house.load(OTHER) == ""  # adopted
    await asyncio.sleep(0.01)
    assert house.store.read(2).is_healthy
    change = await house.until(house.begin(CONFIG), AWAITING)
    house.engine.in_force.in_sync = False
    await house.guarded.confirm(change.token, {}, "a test")
    await asyncio.sleep(0.01)
    assert not house.store.read(3).is_healthy  # the kernel does not follow it
    house.engine.in_force.in_sync = True
    house.guarded.watch_health()
    await asyncio.sleep(0.01)
    assert house.store.read(3).is_healthy


async def test_whether_it_is_well_is_looked_at_again_while_a_line_just_changes(house, monkeypatch):
    monkeypatch.setattr("netpolicy.service.guarded.AGAIN_SECONDS", 0.0)
    house.engine.in_force.in_sync = False
    house.guarded._mark_healthy(1)
    assert not house.store.read(1).is_healthy
    house.engine.in_force.in_sync = True
    await asyncio.sleep(0.01)
    assert house.store.read(1).is_healthy


async def test_what_is_only_observed_is_well_too(house):
    """Else the third boot would take the rules of before, and enforce them."""
    assert await house.load(CONFIG.replace("enforce", "observe")) == ""
    assert not house.engine.in_force.in_sync and not house.store.read(2).is_healthy
    house.guarded._mark_healthy(2)
    assert house.store.read(2).is_healthy
