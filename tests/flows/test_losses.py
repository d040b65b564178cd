"""What one report of a connection says beside the one before."""

from __future__ import annotations

import pytest

from netpolicy.flows.losses import ANSWERED, CUT, NOTHING, News, fate, news, told_of
from netpolicy.flows.seen import CLOSED, OPEN, RESET, SYN, Measured, Side

KEY = (bytes(16), bytes(16), 40000, 443, 6)
FULL, EMPTY = 1500, 52
NONE = Side()


def report(up: Side, down: Side, state: str = OPEN, **more: bool) -> Measured:
    return Measured(KEY, state, up, down, **more)


def side(packets: int, size: int, repeated: int = 0, resets: int = 0) -> Side:
    return Side(packets * size, packets, repeated, resets)


def test_what_is_new_since_the_report_before_is_told_of_each_direction():
    before = told_of(report(side(40, FULL, 8), side(40, FULL, 20)))
    after = told_of(report(side(60, FULL, 9), side(140, FULL, 25)))
    assert news(before, after, "") == News((1, 20), (5, 100), "")
    assert news(NOTHING, before, ANSWERED) == News((8, 40), (20, 40), ANSWERED)


def test_a_direction_that_acknowledges_only_says_nothing():
    download = told_of(report(side(50, EMPTY), side(100, FULL, 5)))
    assert news(NOTHING, download, "") == News(None, (5, 100), "")
    assert news(download, download, "") == News(None, None, "")


def test_what_the_client_repeats_to_nobody_is_not_lost_but_waits():
    before = told_of(report(side(9, FULL), side(9, EMPTY)))
    for down in (side(9, EMPTY), side(15, EMPTY, 6)):  # nothing, or what was said before
        assert news(before, told_of(report(side(20, FULL, 11), down)), "").sent is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (report(side(3, 200), side(4, FULL)), ANSWERED),
        (report(side(3, 200), side(4, FULL, resets=1), RESET), ANSWERED),
        (report(side(3, 200), side(3, 60, resets=1), RESET), CUT),
        (report(side(3, 200), side(3, 60, resets=1), RESET, mid=True), ""),
        (report(side(3, 200)._replace(fin=True), side(3, 60, resets=1), RESET), ""),  # the client was about to go
        (report(side(3, 200, resets=1), side(3, 60), RESET), ""),
        (report(side(1, 60), side(1, 40, resets=1), RESET), ""),  # refused: it lives
        (report(side(1, 60), NONE, SYN), ""),
        (report(side(3, 200), side(3, 60)), ""),
        (report(side(3, 200)._replace(fin=True), side(3, 60)._replace(fin=True), CLOSED), ""),
    ],
)
def test_it_is_answered_by_the_first_word_of_the_remote_and_cut_by_a_reset_without_one(told: Measured, expected: str):
    assert fate(told) == expected
