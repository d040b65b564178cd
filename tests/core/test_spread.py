"""Who would be asked in the same instant is asked at times of its own, a little sooner and never later."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.spread import SPREAD, part, sooner

SEEDS = st.integers(0, 2**32 - 1)
NAMES = st.text(alphabet="abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=32)


@given(SEEDS, NAMES, st.integers(0, 2**40), st.floats(0.01, 36_000))
def test_the_same_router_line_and_turn_have_the_same_part_and_no_wait_is_longer(seed, name, turn, seconds):
    one = part(seed, name, turn)
    assert 0 <= one < 1 and part(seed, name, turn) == one
    assert (1 - SPREAD) * seconds <= sooner(seconds, one) <= seconds


@given(SEEDS, NAMES)
def test_the_turns_of_a_line_are_spread_evenly(seed, name):
    tenths = [int(part(seed, name, turn) * 10) for turn in range(500)]
    assert all(20 <= tenths.count(tenth) <= 90 for tenth in range(10))


@given(SEEDS, st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_two_lines_of_a_router_are_not_in_step_and_neither_are_two_routers(seed, names):
    def times(of_router: int, name: str) -> list[float]:
        found, now = [], 0.0
        for turn in range(100):
            now += sooner(10.0, part(of_router, name, turn))
            found.append(now)
        return found

    mine = times(seed, names[0])
    for others in (times(seed, names[1]), times(seed ^ 1, names[0])):
        assert sum(abs(one - other) < 0.005 for one, other in zip(mine, others, strict=True)) < 20


def test_a_thousand_routers_that_start_together_do_not_ask_together():
    begun = [int(part(seed, "wan", 0) * 20) for seed in range(1000)]
    assert all(20 < begun.count(slot) < 90 for slot in range(20))


def test_it_is_the_same_on_every_interpreter():
    """MicroPython's numbers too: whole ones until the last step."""
    assert [round(part(7, "wan", turn), 6) for turn in range(3)] == [0.636415, 0.409826, 0.671892]
