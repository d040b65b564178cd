"""What open connections say: who repeats himself and hears nothing, until somebody hears something."""

from __future__ import annotations

import itertools

from netpolicy.outbounds import line_stall
from netpolicy.outbounds.line_stall import LATE_SECONDS, MOST_CLIENTS, MOST_EACH, NEVER, OLD_SECONDS, REPEATS, Stalls


def sweep(stalls: Stalls, now: float, *clients: str, count: int = REPEATS, addresses: str = "ab") -> None:
    """All that these have open was repeated once more."""
    for whose, address in itertools.product(clients, addresses):
        stalls.repeated(whose, (whose, address), (address, 443), count, now)


def in_vain(stalls: Stalls, now: float, without: str | None = None) -> dict[object, set[tuple[str, int]]]:
    return stalls.in_vain(stalls.heard_last(without), now, without)


def test_what_is_repeated_in_vain_is_told_of_each_client_after_another_sweep():
    stalls = Stalls()
    sweep(stalls, 3.0, "desk", "phone")
    assert in_vain(stalls, 3.0 + LATE_SECONDS - 0.1) == {}
    sweep(stalls, 6.0, "desk", "phone")
    both = {("a", 443), ("b", 443)}
    assert in_vain(stalls, 3.0 + LATE_SECONDS) == {"desk": both, "phone": both}
    assert in_vain(stalls, 3.0 + LATE_SECONDS, "desk") == {"phone": both}


def test_one_packet_that_is_repeated_once_says_nothing():
    stalls = Stalls()
    for now in (3.0, 6.0, 9.0):
        sweep(stalls, now, "desk", count=REPEATS - 1)
    assert len(stalls) == 0 and in_vain(stalls, 20.0) == {}


def test_whoever_hears_something_refutes_all_that_was_in_vain_before_and_in_the_same_sweep():
    stalls = Stalls()
    sweep(stalls, 3.0, "desk", "phone")
    sweep(stalls, 6.0, "desk", "phone")
    stalls.heard("lamp", 1, 5.9)
    assert in_vain(stalls, 8.0) == {}
    assert set(in_vain(stalls, 8.0, "lamp")) == {"desk", "phone"}
    sweep(stalls, 9.0, "desk")
    assert set(in_vain(stalls, 9.0)) == {"desk"}, "it goes on in vain, and the other one does not"


def test_a_connection_that_hears_something_or_is_over_waits_no_more():
    stalls = Stalls()
    sweep(stalls, 3.0, "desk")
    stalls.heard("desk", ("desk", "a"), 6.0)
    sweep(stalls, 9.0, "desk", addresses="b")
    assert in_vain(stalls, 13.0) == {"desk": {("b", 443)}}
    stalls.ended("desk", ("desk", "b"))
    stalls.ended("nobody", 1)
    assert len(stalls) == 0


def test_what_is_reset_counts_by_end_and_only_until_something_is_heard():
    stalls = Stalls()
    sweep(stalls, 0.0, "desk")
    for number, address in enumerate("aabc"):
        stalls.reset("desk", ("desk", address) if address != "c" else number, (address, 443), 3.0)
    assert in_vain(stalls, 3.0 + LATE_SECONDS) == {"desk": {("a", 443), ("b", 443), ("c", 443)}}
    assert len(stalls) == 3
    stalls.heard("phone", 1, 4.0)
    assert in_vain(stalls, 3.0 + LATE_SECONDS) == {}


def test_what_was_repeated_long_ago_is_forgotten_and_so_is_everything_when_the_line_was_away():
    stalls = Stalls()
    sweep(stalls, 0.0, "desk")
    stalls.tidy(OLD_SECONDS)
    assert len(stalls) == 2
    stalls.tidy(OLD_SECONDS + 0.1)
    assert len(stalls) == 0
    sweep(stalls, 30.0, "desk")
    stalls.heard("desk", 1, 30.0)
    stalls.missed()
    assert len(stalls) == 0 and stalls.heard_last() == NEVER


def test_a_flood_is_bounded_and_what_is_known_stays_known():
    stalls = Stalls()
    sweep(stalls, 0.0, "desk")
    for now in (1.0, 4.0):
        for number in range(1000):
            stalls.repeated("liar", number, (str(number), 443), 9, now)
    assert len(stalls) == 2 + MOST_EACH
    found = in_vain(stalls, 1.0 + LATE_SECONDS)
    assert len(found["liar"]) == MOST_EACH, "the same ones were told of again"
    for number in range(2 * MOST_CLIENTS):
        stalls.heard(number, 0, 5.0)
    assert len(stalls._clients) == MOST_CLIENTS


def test_what_one_sweep_tells_is_nearer_than_what_two_do():
    from netpolicy.service.inspector import SWEEP_SECONDS

    assert line_stall.SWEEP_SECONDS < SWEEP_SECONDS < LATE_SECONDS
