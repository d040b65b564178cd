"""When a line is asked: at times of its own, never later than without a spread; all lines look in the same instants."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.health import DEGRADED, FAILOVER, NORMAL
from netpolicy.core.line_health import Limits, LineHealth
from netpolicy.core.spread import SPREAD, part
from netpolicy.outbounds.line_pace import (
    BUSY_SECONDS,
    FIRST_SECONDS,
    IDLE_TIMES,
    LOOK_SECONDS,
    SHARP_SECONDS,
    Habits,
    Pace,
)
from netpolicy.outbounds.line_score import Scores
from netpolicy.outbounds.line_traffic import Passing

PARTS = st.floats(0, 0.999)
HOW = [(0, NORMAL), (5, NORMAL), (0, DEGRADED), (0, FAILOVER)]  # packets between two looks, and health


class Still:
    """A device by which so many packets go out between two looks."""

    def __init__(self, sent: int = 0) -> None:
        self.sent = sent

    def since(self) -> tuple[int, int]:
        return self.sent, 0


def made(spread, now=1000.0, sent=0, state=NORMAL, interval=1.0) -> Pace:
    passing = Passing(Still(sent), now)  # type: ignore[arg-type]
    return Pace(Habits(interval), LineHealth(Limits(), now, state), passing, Scores(()), None, spread, now)


def times(pace: Pace, now: float, seconds: float) -> tuple[list[float], list[float]]:
    """When it asks, and when it looks, over so many seconds; each answer is there at once."""
    asked, looked, end = [], [], now + seconds
    while now < end:
        looked.append(now)
        if pace.is_due(now):
            asked.append(now)
            pace.asks(now)
        pause = pace.pause(now)
        assert pause > 0.001, "never in a circle"
        now += pause
    return asked, looked


@given(st.lists(PARTS, min_size=1, max_size=9), st.sampled_from(HOW), st.sampled_from([1.0, 7.0]), st.floats(0, 1e6))
def test_no_question_is_later_than_without_a_spread_and_none_is_much_sooner(parts, how, interval, now):
    sent, state = how
    pace = made(lambda turn: parts[turn % len(parts)], now, sent, state, interval)
    asked, _ = times(pace, now, 60 * interval)
    longest = interval * (IDLE_TIMES if (sent, state) == (0, NORMAL) else 1)
    assert 0 <= asked[0] - now <= FIRST_SECONDS + SHARP_SECONDS
    begin = 2 if sent else 0  # whether it is used is known after a second
    gaps = [later - sooner for sooner, later in itertools.pairwise(asked[begin:])]
    assert gaps and all(longest * (1 - SPREAD) - 0.01 <= gap <= longest + 0.01 for gap in gaps)


def test_lines_that_come_up_together_are_not_asked_together():
    each = [times(made(partial(part, 7, f"wan_{number}")), 1000.0, 600)[0] for number in range(8)]
    every = sorted(when for asked in each for when in asked)
    assert len(every) > 8 * 55 and FIRST_SECONDS / 2 < every[7] - every[0] <= FIRST_SECONDS, "all their first questions"
    together = sum(later - sooner < 0.005 for sooner, later in itertools.pairwise(every))
    assert together < len(every) / 20
    gaps = {round(later - sooner, 2) for sooner, later in itertools.pairwise(each[0])}
    assert len(gaps) > 20, "who is in step with another is so once"
    without = sorted(when for _ in range(8) for when in times(made(lambda turn: 0.0), 1000.0, 600)[0])
    assert len(set(without)) == len(without) / 8, "what this is for"


@pytest.mark.parametrize(("sent", "step"), [(0, BUSY_SECONDS), (5, LOOK_SECONDS)])
def test_all_lines_look_in_the_same_instants(sent, step):
    found = [times(made(partial(part, 7, f"wan_{number}"), 1000.3, sent), 1000.3, 300) for number in range(8)]
    alone = {round(when, 3) for asked, looked in found for when in set(looked) - set(asked) if when > 1003}
    assert all(min(when % step, step - when % step) < 0.01 for when in alone)
    assert 0.9 * 300 / step <= len(alone) <= 300 / step + 8


def test_where_something_is_wrong_nothing_is_spread():
    pace = made(lambda turn: 0.9, sent=5)
    pace.asks(1000.0)
    pace.suspects = True
    assert pace.pause(1000.2) == 0.15 and pace.is_due(1000.35)
