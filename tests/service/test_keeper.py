"""When to look again: bursts, failures and refusals, on a clock that the test turns."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from netpolicy.service import keeper as module
from netpolicy.service.drift import Drift
from netpolicy.service.keeper import Keeper
from tests.virtual_time import Clock


class Made:
    """Rules made for these schedules."""

    def __init__(self, active: tuple[str, ...]) -> None:
        self.active = active


class Engine:
    """Stands in for the real one, whose turns take their time from the kernel: counts and answers as told."""

    def __init__(self, clock: Clock) -> None:
        self.turns: list[tuple[float, str]] = []
        self.reads = 0
        self.answers: list[str | Exception] = []
        self.refuses = ""
        self.takes = 0.0
        self.running = 0
        self.said: list[str] = []
        self.log = self
        self.compiled: Made | None = None
        self.opened: tuple[str, ...] = ()
        self.drift = Drift()
        self.kernel = self
        self.has_schedules = False
        self.stepped = 0.0  # by somebody who sets the clock
        self.slept = 0.0  # while the machine was suspended
        self.woke: list[tuple[float, float]] = []
        self.rests: list[float] = []
        self._clock = clock

    def clock(self) -> time.struct_time:
        """Twenty seconds past a full minute when the story begins."""
        return time.gmtime(1_800_000_020 + self._clock.now + self.stepped + self.slept)

    def rests_for(self) -> float:
        return self.rests.pop(0) if self.rests else 0.0

    def open_schedules(self) -> tuple[str, ...]:
        return self.opened

    def add(self, level: str, kind: str, message: str) -> None:
        self.said.append(f"{level} {message}")

    def note_fault(self, fault: BaseException) -> str:
        self.add("error", "apply", f"a fault: {fault}")
        return "a fault"

    async def read_config(self) -> str:
        self.reads += 1
        return self.refuses

    async def reconcile(self, cause: str) -> str:
        assert self.running == 0
        self.running += 1
        self.turns.append((self._clock.time(), cause))
        await asyncio.sleep(self.takes)
        self.running -= 1
        answer = self.answers.pop(0) if self.answers else ""
        if isinstance(answer, Exception):
            raise answer
        return answer


def play(story) -> Engine:
    """Runs `story(engine, keeper)` on virtual time."""
    clock = Clock()
    try:
        engine = Engine(clock)

        async def run() -> None:
            keeper = Keeper(engine, lambda: engine.slept)  # type: ignore[arg-type]
            keeper.woke = lambda seconds: engine.woke.append((round(clock.time(), 1), seconds))
            keeper.start()
            await story(engine, keeper)
            await keeper.close()

        clock.run_until_complete(run())
        return engine
    finally:
        clock.close()


def test_it_begins_with_a_turn_at_once():
    async def story(engine, keeper):
        await asyncio.sleep(1)

    assert [cause for _, cause in play(story).turns] == ["start"]


def test_a_burst_becomes_one_turn():
    async def story(engine, keeper):
        await asyncio.sleep(1)
        for number in range(12):
            keeper.look(f"address {number}")
            await asyncio.sleep(module.SETTLE_SECONDS / 20)
        await asyncio.sleep(5)

    assert len(play(story).turns) == 2


def test_a_neighbour_that_flaps_for_ever_gets_few_turns_but_is_not_put_off():
    async def story(engine, keeper):
        for _ in range(1000):
            keeper.look("flap")
            await asyncio.sleep(0.01)

    turns = play(story).turns
    assert 20 < len(turns) < 35  # in ten seconds


def test_a_line_that_failed_waits_for_no_burst_to_end_and_for_no_pause():
    async def story(engine, keeper):
        await asyncio.sleep(5)
        for pause in (0.0, 0.02, 10.0):  # in the pause after a turn too
            await asyncio.sleep(pause)
            keeper.hurry("wan is down")
            await asyncio.sleep(0.001)
        keeper.look("a look waits as ever")
        await asyncio.sleep(5)

    turns = [(round(when, 2), cause) for when, cause in play(story).turns][1:]
    assert turns[:3] == [(5.0, "wan is down"), (5.02, "wan is down"), (15.02, "wan is down")]
    assert turns[3][0] > 15.02 + module.SETTLE_SECONDS


def test_a_line_that_fails_during_a_turn_gets_the_next_one_at_once():
    async def story(engine, keeper):
        await asyncio.sleep(5)
        engine.takes = 0.5
        keeper.look("something")
        await asyncio.sleep(module.SETTLE_SECONDS + 0.1)
        keeper.hurry("wan is down")
        await asyncio.sleep(5)

    (_, (began, _), (again, cause)) = play(story).turns
    assert cause == "wan is down" and again - began == pytest.approx(0.5)


def test_what_happens_during_a_turn_leads_to_another_one():
    async def story(engine, keeper):
        engine.takes = 1.0
        await asyncio.sleep(0.5)
        keeper.look("meanwhile")
        await asyncio.sleep(5)

    assert [cause for _, cause in play(story).turns] == ["start", "meanwhile"]


def test_a_failed_turn_is_tried_again_later_and_later():
    async def story(engine, keeper):
        engine.answers = ["no"] * 9
        await asyncio.sleep(1000)

    turns = play(story).turns
    assert len(turns) == 10  # until it works, and then no more
    pauses = [after - before for (before, _), (after, _) in itertools.pairwise(turns)]
    assert pauses[0] == pytest.approx(module.RETRY_FIRST_SECONDS, abs=0.5)
    assert pauses[1] == pytest.approx(2 * module.RETRY_FIRST_SECONDS, abs=0.5)
    assert pauses[-1] == pytest.approx(module.RETRY_MOST_SECONDS, abs=0.5)


def test_causes_during_a_failure_do_not_pile_up_retries():
    async def story(engine, keeper):
        engine.answers = ["no"] * 40
        for _ in range(40):
            keeper.look("flap")
            await asyncio.sleep(0.5)
        engine.turns.clear()
        engine.answers = []
        await asyncio.sleep(1000)

    assert len(play(story).turns) == 1


def test_a_refused_configuration_is_not_tried_again_by_itself_but_the_network_is_looked_at():
    async def story(engine, keeper):
        await asyncio.sleep(1)
        engine.refuses = "line 3 is wrong"
        keeper.look("link wanb changed")
        keeper.reload()
        await asyncio.sleep(1000)

    engine = play(story)
    assert engine.reads == 1
    assert [cause for _, cause in engine.turns] == ["start", "reload"]


def test_a_bug_in_a_turn_is_said_and_the_keeping_goes_on():
    async def story(engine, keeper):
        engine.answers = [ValueError("a bug")]
        await asyncio.sleep(100)

    engine = play(story)
    assert len(engine.turns) == 2
    assert engine.said == ["error a fault: a bug"]


def test_a_change_that_failed_elsewhere_is_tried_again_once():
    async def story(engine, keeper):
        await asyncio.sleep(1)
        keeper.look_later()
        keeper.look_later()
        await asyncio.sleep(100)

    assert [cause for _, cause in play(story).turns] == ["start", "retry"]


def test_a_change_that_failed_elsewhere_while_a_turn_ends_well_is_tried_again_too():
    """The turn has let go of the kernel, and flash is slow: what failed since it did not see."""

    async def story(engine, keeper):
        engine.takes = 1.0
        await asyncio.sleep(0.5)
        keeper.look_later()
        await asyncio.sleep(100)

    assert [cause for _, cause in play(story).turns] == ["start", "retry"]


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("is_settling", [False, True])
def test_closing_ends_the_keeping_also_where_a_line_fails_in_that_moment(steps, is_settling):
    """Both may come with one waking of the loop, as where everything is switched off."""

    async def story(engine, keeper):
        await asyncio.sleep(5)
        if is_settling:
            keeper.look("a burst")
        await asyncio.sleep(module.SETTLE_SECONDS / 2)
        keeper.hurry("wan is down")
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.wait_for(keeper.close(), 60)

    assert len(play(story).turns) <= 2


def test_closing_waits_for_the_turn_under_way_and_no_other_comes():
    async def story(engine, keeper):
        engine.takes = 3.0
        await asyncio.sleep(1)
        keeper.look("more")
        await keeper.close()
        assert engine.running == 0
        keeper.look("after the end")
        await asyncio.sleep(100)

    assert len(play(story).turns) == 1


def test_at_the_minute_at_which_a_schedule_begins_it_looks():
    async def story(engine, keeper):
        engine.compiled = Made(())
        await asyncio.sleep(90)
        engine.opened = ("evening",)
        await asyncio.sleep(20)
        engine.compiled = Made(("evening",))
        await asyncio.sleep(200)

    # 40 seconds to the first full minute, then every 60.
    assert [(round(when), cause) for when, cause in play(story).turns] == [(0, "start"), (100, "schedule")]


def test_a_clock_that_is_set_is_noticed_within_seconds_where_there_are_schedules():
    """So is a time zone: what is open is another all at once."""

    async def story(engine, keeper):
        engine.compiled, engine.has_schedules = Made(()), True
        await asyncio.sleep(90)
        for stepped, opened in ((7 * 3600, ("night",)), (-40 * 365 * 86400, ())):
            engine.stepped, engine.opened = stepped, opened
            await asyncio.sleep(module.CLOCK_SECONDS + 0.1)
            engine.compiled = Made(opened)
            await asyncio.sleep(100)

    turns = [(round(when), cause) for when, cause in play(story).turns]
    assert [cause for _, cause in turns] == ["start", "schedule", "schedule"]
    assert 90 <= turns[1][0] <= 91 and 191 <= turns[2][0] <= 193


def test_the_end_of_a_suspended_night_is_told_once_and_the_schedules_follow_within_a_second():
    async def story(engine, keeper):
        engine.compiled, engine.has_schedules = Made(()), True
        await asyncio.sleep(90)
        engine.slept, engine.opened = 7 * 3600.0, ("night",)
        await asyncio.sleep(1.1)
        engine.compiled = Made(("night",))
        await asyncio.sleep(100)

    engine = play(story)
    ((when, seconds),) = engine.woke
    assert 90 <= when <= 91 and seconds == 7 * 3600
    assert [cause for began, cause in engine.turns if began <= when + 0.1] == ["start", "schedule"]


def test_where_there_are_no_schedules_a_sleep_is_noticed_within_a_minute():
    async def story(engine, keeper):
        engine.compiled = Made(())
        await asyncio.sleep(90)
        engine.slept = 3600.0
        await asyncio.sleep(61)

    assert [seconds for _, seconds in play(story).woke] == [3600]


def test_drift_is_looked_at_each_minute_also_where_the_clock_is_watched():
    async def story(engine, keeper):
        engine.drift.is_there, engine.has_schedules = True, True
        await asyncio.sleep(170)

    turns = [(round(when), cause) for when, cause in play(story).turns]
    assert [when for when, cause in turns if cause == "drift"] in ([40, 100, 160], [0, 40, 100, 160])


def test_drift_that_was_left_is_looked_at_again_each_minute_until_it_is_gone():
    async def story(engine, keeper):
        engine.drift.is_there = True
        await asyncio.sleep(170)
        engine.drift.is_there = False
        await asyncio.sleep(200)

    assert [(round(when), cause) for when, cause in play(story).turns][1:] == [
        (40, "drift"),
        (100, "drift"),
        (160, "drift"),
    ]


def test_a_device_that_is_left_alone_for_a_moment_is_looked_at_when_the_moment_is_over():
    async def story(engine, keeper):
        engine.rests = [3.0, 0.0]
        await asyncio.sleep(200)

    turns = [(round(when), cause) for when, cause in play(story).turns]
    assert turns == [(0, "start"), (3, "a device may have its queue again")]
