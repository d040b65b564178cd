"""One line over time: what its probes and the kernel say, and the state, the reasons and the hold-down that follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.core.health import DEGRADED, FAILOVER, NORMAL, RECOVERY, STATES
from netpolicy.core.line_health import COMPATIBLE, Limits, LineHealth, Round

VECTORS = json.loads((Path(__file__).parents[1] / "data/vectors.json").read_text())["state_machine"]

GOOD = Round(True, 20.0, 0.0, answered=1)
SLOW = Round(True, 300.0, 0.0, answered=1)
LOSSY = Round(True, 20.0, 0.25, answered=1)
LOST = Round(False, 20.0, 0.0, "ping:9.9.9.9")
ALIVE = Round(False, 20.0, 0.0, "ping:9.9.9.9", alive=True)

NEXT = {(NORMAL, DEGRADED), (DEGRADED, FAILOVER), (DEGRADED, RECOVERY), (FAILOVER, RECOVERY), (RECOVERY, NORMAL),
        (RECOVERY, DEGRADED)}  # fmt: skip


def after(*rounds: Round, limits: Limits | None = None, start: float = 0.0) -> LineHealth:
    """A line that has seen these, a second each."""
    line = LineHealth(limits or Limits(), start)
    for number, one in enumerate(rounds):
        line.probed(one, start + number)
    return line


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_with_compatible_limits_every_sample_is_the_predecessors_step(vector):
    line, seen = LineHealth(COMPATIBLE, 0.0, vector["start"]), []
    for number, (latency_ms, error_rate) in enumerate(vector["samples_latency_ms_error_rate"]):
        line.probed(Round(True, latency_ms, error_rate, answered=1), float(number))
        seen.append(line.state)
    assert seen == vector["expect"]["states"]


def test_three_lost_of_five_are_a_dead_line_and_two_are_not():
    assert after(LOST).state == DEGRADED
    line = after(GOOD, LOST, LOST)
    assert (line.state, line.is_dead) == (DEGRADED, False)
    line = after(GOOD, LOST, GOOD, LOST, LOST)
    assert (line.state, line.is_dead, line.is_trusted) == (FAILOVER, True, False)
    assert line.because == "3 of 5 rounds of probes lost (ping:9.9.9.9)"
    # What is further back than five rounds does not count any more.
    assert after(LOST, GOOD, GOOD, LOST, GOOD, GOOD, LOST, GOOD).state == DEGRADED


def test_a_slow_line_is_avoided_and_still_carries():
    line = after(SLOW, SLOW, SLOW)
    assert (line.state, line.is_dead, line.is_trusted) == (FAILOVER, False, False)
    assert line.because == "latency 300 ms, more than 120 (3 of 3 rounds)"
    assert after(LOSSY).because == "loss 25 %, more than 5 (1 of 1 rounds)"
    line = after(SLOW, SLOW, SLOW, LOST, LOST, LOST)
    assert (line.state, line.is_dead) == (FAILOVER, True), "then it dies"
    assert line.because.startswith("3 of 5 rounds of probes lost")


def test_where_much_comes_in_a_line_without_answers_is_not_dead():
    line = after(ALIVE, ALIVE, ALIVE, ALIVE)
    assert (line.state, line.is_dead) == (FAILOVER, False)
    assert line.because == "no probe is answered (ping:9.9.9.9), though much else comes in"


def test_what_several_clients_say_counts_as_one_lost_round_more_and_alone_it_degrades():
    doubted = Round(True, 20.0, 0.0, seen="9 connections of 3 clients to 5 addresses without answer", is_strong=True)
    line = after(GOOD, doubted, doubted, doubted, doubted, doubted, doubted)
    assert (line.state, line.is_trusted, line.because) == (DEGRADED, True, doubted.seen)
    lost = Round(False, 20.0, 0.0, "ping:9.9.9.9", seen=doubted.seen, is_strong=True)
    assert after(GOOD, lost).state == DEGRADED, "one lost round is never enough"
    line = after(GOOD, LOST, lost)
    assert (line.state, line.is_dead) == (FAILOVER, True)
    assert line.because == doubted.seen + "; 2 of 3 rounds of probes lost (ping:9.9.9.9)"
    weak = Round(False, 20.0, 0.0, "ping:9.9.9.9", seen="9 connections of 1 client to 5 addresses without answer")
    assert after(GOOD, weak, weak).state == DEGRADED
    assert after(GOOD, weak, weak, weak).because.startswith(
        "9 connections of 1 client to 5 addresses without answer; 3"
    )


def test_a_line_without_probes_is_degraded_by_clients_and_cleared_by_them_and_never_down():
    line = LineHealth(Limits(), 0.0)
    made = line.doubted("nobody is answered", 1.0)
    assert made is not None and (line.state, line.is_trusted, line.is_dead) == (DEGRADED, True, False)
    assert line.doubted("nobody is answered", 2.0) is None and line.state == DEGRADED
    assert line.cleared("4 addresses answered", 3.0) is not None and line.state == RECOVERY
    assert line.passed(8.1) is not None and line.state == NORMAL
    slow = after(SLOW)
    assert slow.cleared("4 addresses answered", 3.0) is None, "what its probes said clients do not clear"
    failed = after(LOST, LOST, LOST)
    assert failed.doubted("nobody is answered", 9.0) is None and failed.state == FAILOVER
    failed.found("carrier", 10.0)
    assert failed.doubted("nobody is answered", 11.0) is None, "nor is a hold-down ended by them"


def test_the_words_are_of_this_time_and_not_of_an_earlier_loss():
    line = after(LOST, GOOD, GOOD, GOOD)
    line.probed(SLOW, 4.0)
    assert line.state == DEGRADED
    assert line.because.startswith("latency 300 ms")


def test_it_comes_back_over_good_rounds_and_a_hold_down():
    line = after(LOST, LOST, LOST)
    for when in (10.0, 11.0):
        line.probed(GOOD, when)
    assert (line.state, line.is_dead) == (FAILOVER, True)
    made = line.probed(GOOD, 12.0)
    assert (line.state, line.is_dead, line.is_trusted) == (RECOVERY, False, False)
    assert made is not None and (made.before, made.after, made.when) == (FAILOVER, RECOVERY, 12.0)
    assert made.because == "3 good rounds of probes in a row"
    assert line.probed(GOOD, 21.9) is None
    line.probed(GOOD, 22.1)
    assert (line.state, line.is_trusted, line.because) == (NORMAL, True, "good for 10 s")


def test_what_was_lost_before_it_came_back_does_not_count_twice():
    line = after(LOST, LOST, LOST, GOOD, GOOD, GOOD, limits=Limits(hold=0.0, settle=0.0))
    line.probed(GOOD, 6.0)
    assert line.state == NORMAL
    line.probed(LOST, 7.0)
    assert (line.state, line.is_dead) == (DEGRADED, False)
    line.probed(LOST, 8.0)
    assert (line.state, line.is_dead) == (DEGRADED, False)


def test_degraded_settles_sooner_than_failover_holds():
    line = after(LOST, GOOD, GOOD, GOOD)
    assert (line.state, line.is_trusted, line.hold_seconds(3.0)) == (RECOVERY, True, 5.0)
    line.probed(GOOD, 8.1)
    assert line.state == NORMAL


def test_the_hold_down_doubles_with_each_failure_and_fades():
    line = LineHealth(Limits(), 0.0)
    line.found("up", 0.0)
    holds = []
    for number in range(8):
        line.lost("no carrier", float(number))
        line.found("carrier", float(number))
        holds.append(round(line.hold_seconds(float(number))))
    assert holds[:4] == [10, 20, 40, 79]  # a little of it has faded
    assert holds[-1] == 300
    assert round(line.hold_seconds(7 + 900.0)) == 10


def test_a_line_that_is_not_up_yet_at_a_start_is_not_held_down():
    line = LineHealth(Limits(), 0.0)
    line.lost("no gateway is known", 0.0)
    assert (line.state, line.is_dead, line.is_trusted) == (FAILOVER, True, True)
    line.found("eth1 has a way out", 3.0)
    assert (line.state, line.is_dead, line.is_trusted) == (RECOVERY, False, True)
    line.passed(8.1)
    assert line.state == NORMAL
    line.lost("eth1 has no carrier", 9.0)
    assert not line.is_trusted


def test_what_the_kernel_says_counts_at_once():
    line = after(GOOD)
    made = line.lost("eth1 has no carrier", 5.0)
    assert made is not None and made.because == line.because == "eth1 has no carrier"
    assert (line.state, line.is_dead, line.since) == (FAILOVER, True, 5.0)
    assert line.lost("eth1 is switched off", 6.0) is None
    made = line.found("eth1 has a way out for IPv4", 7.0)
    assert made is not None and (made.after, made.because) == (RECOVERY, "eth1 has a way out for IPv4")
    assert line.passed(16.0) is None
    assert line.passed(17.1) is not None and line.state == NORMAL and line.is_trusted


def test_a_surprise_asks_for_the_next_round_soon():
    assert not LineHealth(Limits(), 0.0).is_suspect
    assert not after(GOOD).is_suspect
    assert after(LOST).is_suspect
    assert not after(LOST, LOST, LOST).is_suspect
    assert after(LOST, LOST, LOST, GOOD).is_suspect


DOUBTED = Round(True, 20.0, 0.0, seen="clients", is_strong=True)
SILENT = Round(False, 20.0, 0.0, "ping:9.9.9.9", seen="clients", is_strong=True)
ROUNDS = st.sampled_from([GOOD, SLOW, LOSSY, LOST, ALIVE, DOUBTED, SILENT])
WORDS = st.sampled_from(["lost", "found", "passed", "doubted", "cleared"])
EVENTS = st.lists(st.tuples(st.floats(0, 40), st.one_of(ROUNDS, WORDS)))


@settings(max_examples=150)
@given(EVENTS)
def test_whatever_happens_only_known_steps_are_made_and_the_invariants_hold(events):
    line, now, fell, has_carrier, is_unborn = LineHealth(Limits(), 0.0), 0.0, False, True, True
    for pause, event in events:
        now += pause
        before, was_trusted, since = line.state, line.is_trusted, line.since
        if isinstance(event, Round):
            if not has_carrier:
                continue
            made = line.probed(event, now)
        elif event == "passed":
            made = line.passed(now)
        elif event in ("doubted", "cleared"):
            made = getattr(line, event)("clients", now)
            assert (line.state, line.is_trusted) != (FAILOVER, True) or made is None
        else:
            has_carrier = event == "found"
            made = getattr(line, event)("the kernel", now)
        assert (line.state != before) == (made is not None)
        if made is not None:
            assert (made.before, made.after) == (before, line.state) and made.because and made.when == line.since == now
            assert (before, line.state) in NEXT or (event == "lost" and line.state == FAILOVER)
        fell = fell or (before != FAILOVER and line.state == FAILOVER)
        assert line.state in STATES
        assert not line.is_dead or line.state == FAILOVER
        # Trusted and yet FAILOVER is only a line that never was anything else.
        is_unborn = (is_unborn and line.state == FAILOVER) or (is_unborn and made is None and before == NORMAL)
        assert not (line.is_trusted and line.state == FAILOVER) or is_unborn
        assert line.is_trusted or fell
        if line.is_trusted and not was_trusted:
            assert before == RECOVERY and line.state == NORMAL and now - since >= 10
        assert len(line._seen) <= 5 and 0 <= line.penalty(now) <= 6 and 0 <= line.hold_seconds(now) <= 300


def test_a_line_that_died_and_answers_again_slowly_carries_as_the_last():
    line = after(*[LOST] * 5, *[SLOW] * 4)
    assert (line.state, line.is_dead) == (FAILOVER, True)
    line = after(*[LOST] * 5, *[SLOW] * 5)
    assert (line.state, line.is_dead, line.is_trusted) == (FAILOVER, False, False)
    assert line.because == "latency 300 ms, more than 120 (5 of 5 rounds)"
