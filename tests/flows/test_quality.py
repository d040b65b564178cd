"""How well connections go, by group: means and shares that fade, and nothing said on too little."""

from __future__ import annotations

import pytest

from netpolicy.flows.quality import Progress, Qualities, Quality


def test_a_group_that_nobody_saw_is_unknown() -> None:
    assert Qualities[str]().of("wan", 0.0) == Quality(None, None, None, None, 0.0)


def test_a_round_trip_is_known_from_the_first_one_and_follows_slowly() -> None:
    found = Qualities[str]()
    found.note("wan", Progress(rtt_us=40_000), 0.0)
    assert found.of("wan", 0.0).rtt_ms == 40.0
    found.note("wan", Progress(rtt_us=80_000), 1.0)
    assert found.of("wan", 1.0).rtt_ms == pytest.approx(45.0)


def test_too_little_says_nothing_about_a_share() -> None:
    found = Qualities[str]()
    found.note("wan", Progress(segments=49, repeated=5, ended=True, failed=True), 0.0)
    assert found.of("wan", 0.0)[:4] == (None, None, None, None)


def test_loss_and_errors_are_shares() -> None:
    found = Qualities[str]()
    for failed, cut in ((True, False), (True, True), (False, False), (False, False)):
        found.note("wan", Progress(segments=50, repeated=1, ended=True, failed=failed, cut=cut), 0.0)
    told = found.of("wan", 0.0)
    assert (told.loss, told.errors, told.resets, told.connections) == (0.02, 0.5, 0.25, 4.0)
    later = found.of("wan", 120.0)
    assert (later.errors, later.resets) == (pytest.approx(0.5), pytest.approx(0.25)), "all of them fade alike"


def test_what_was_fades_and_what_is_counts() -> None:
    found = Qualities[str]()
    for _ in range(8):
        found.note("wan", Progress(ended=True, failed=True), 0.0)
    for _ in range(8):
        found.note("wan", Progress(ended=True), 900.0)
    told = found.of("wan", 900.0)
    assert told.errors == pytest.approx(1 / 9)
    assert told.connections == pytest.approx(9.0)
    assert found.of("wan", 4000.0).errors is None


def test_groups_are_bounded_and_the_silent_ones_go_first() -> None:
    found = Qualities[int](limit=2)
    for group in (1, 2, 1, 3):
        found.note(group, Progress(rtt_us=1000), 0.0)
    assert list(found) == [1, 3]
    found.forget(1)
    assert len(found) == 1
