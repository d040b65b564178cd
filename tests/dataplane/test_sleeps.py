"""A sleep is noticed afterwards, once, by whoever asks; a machine that is awake did not sleep. A real one: tests/vm."""

from __future__ import annotations

import time

from netpolicy.dataplane import sleeps
from netpolicy.dataplane.sleeps import SHORTEST_SECONDS, Sleeps, slept


def test_each_sleep_is_told_once_with_its_length_and_to_everybody_who_asks():
    so_far = [100.0]
    first, second = Sleeps(lambda: so_far[0]), Sleeps(lambda: so_far[0])
    assert first.since() == 0
    so_far[0] += 3600
    assert first.since() == 3600 and first.since() == 0
    so_far[0] += 60
    assert first.since() == 60 and second.since() == 3660


def test_two_clocks_that_are_read_one_after_the_other_are_no_sleep_however_often_they_are_read():
    so_far = [100.0]
    told = Sleeps(lambda: so_far[0])
    for trembling in (0.004, -0.003, 0.1, 0.0):
        so_far[0] = 100.0 + trembling
        assert told.since() == 0
    for _ in range(50):  # small steps all the same make a sleep in the end: none is lost
        so_far[0] += SHORTEST_SECONDS / 10
    assert told.since() > 9 * SHORTEST_SECONDS / 2


def test_who_is_held_up_between_two_clocks_did_not_sleep(monkeypatch):
    """The first time before the one is read, then before the other; a machine that slept so did not hold up anybody."""
    now, waits = [1000.0], [0.0, 0.7, 0.0, 0.0, 0.0, 0.7]
    told = Sleeps()

    def steady() -> float:
        now[0] += waits.pop(0) if waits else 0.0
        return now[0]

    monkeypatch.setattr(sleeps.time, "monotonic", steady)
    monkeypatch.setattr(sleeps.time, "clock_gettime", lambda _: steady() + 50.0)
    assert slept() == 50.0 and slept() == 50.0
    monkeypatch.undo()
    assert told.since() == 0


def test_the_kernels_own_clocks_say_that_this_test_was_awake():
    told, before = Sleeps(), slept()
    time.sleep(0.05)
    assert before > -0.01 and told.since() == 0 and slept() - before < SHORTEST_SECONDS
