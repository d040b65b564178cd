"""Keys that were seen lately: for how long, and how many."""

from __future__ import annotations

from netpolicy.flows.recent import Recent


def test_a_key_lives_between_one_and_two_times_as_long():
    for begun in (0.0, 3.0, 9.9):
        recent = Recent(100, 10)
        recent.add("other", 0)
        recent.add("key", begun)
        assert recent.has("key", begun + 9.9)
        assert not recent.has("key", begun + 20)


def test_a_key_that_is_seen_again_lives_on():
    recent = Recent(100, 10)
    for now in range(0, 100, 9):
        recent.add("key", now)
        recent.add(now, now)
    assert recent.has("key", 100)
    assert not recent.has(0, 100)


def test_after_a_long_silence_nothing_is_left():
    recent = Recent(100, 10)
    recent.add("key", 5)
    recent.age(1000)
    assert len(recent) == 0


def test_the_number_is_bounded_and_the_newest_half_stays():
    recent = Recent(100, 10)
    for number in range(1000):
        recent.add(number, 0)
        assert len(recent) <= 100
    assert all(recent.has(number, 0) for number in range(950, 1000))
    assert not recent.has(800, 0)


def test_what_is_discarded_is_forgotten():
    recent = Recent(4, 10)
    for number in range(4):
        recent.add(number, 0)
    for number in range(5):
        recent.discard(number)
    assert len(recent) == 0


def test_a_clock_that_begins_anywhere():
    recent = Recent(4, 10)
    recent.add("key", 1e6)
    assert recent.has("key", 1e6 + 9)
