"""Who speaks for and against a line: one client is one voice whatever it does, several are several."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.core.health import DEGRADED, NORMAL
from netpolicy.core.line_health import Limits, LineHealth, Round
from netpolicy.outbounds import line_evidence
from netpolicy.outbounds.line_evidence import MOST_CLIENTS, MOST_WAITING, Evidence

LATE = 0.3
NUMBERS = itertools.count(1)


def began(evidence: Evidence, whose: str, address: str, now: float, port: int = 443) -> int:
    number = next(NUMBERS)
    evidence.began(number, whose, (address, port), now)
    return number


def answered(evidence: Evidence, whose: str, *addresses: str, now: float) -> None:
    for address in addresses:
        evidence.answered(began(evidence, whose, address, now))


def known(*clients: str) -> Evidence:
    """A line by which each of these had four addresses answer, ten seconds ago."""
    evidence = Evidence()
    for client in clients:
        answered(evidence, client, "a", "b", "c", "d", now=-10.0)
    return evidence


def test_several_clients_that_wait_for_several_known_addresses_say_that_it_is_broken():
    evidence = known("desk", "phone")
    for client, address in (("desk", "a"), ("desk", "b"), ("phone", "c"), ("phone", "d"), ("phone", "new")):
        began(evidence, client, address, 0.0)
    assert evidence.doubt(0.2, LATE) is None, "nobody waits for long yet"
    doubt = evidence.doubt(0.5, LATE)
    assert doubt is not None and doubt.is_strong
    assert doubt.words == "5 connections of 2 clients to 5 addresses without answer"
    assert evidence.doubt(20.0, LATE) is None, "what was long ago says nothing"


def test_one_answer_to_what_began_later_refutes_all_and_one_to_what_began_earlier_does_not():
    evidence = known("desk", "phone")
    early = began(evidence, "desk", "a", 0.0)
    for client, address in (("desk", "b"), ("desk", "c"), ("phone", "d"), ("phone", "a")):
        began(evidence, client, address, 1.0)
    evidence.answered(early)
    doubt = evidence.doubt(2.0, LATE)
    assert doubt is not None and doubt.is_strong
    answered(evidence, "phone", "b", now=1.5)
    assert evidence.doubt(2.0, LATE) is None


def test_what_never_answered_anybody_makes_no_strong_doubt():
    evidence = Evidence()
    for client, address in itertools.product(("desk", "phone", "lamp"), "abcd"):
        began(evidence, client, address, 0.0)
    doubt = evidence.doubt(1.0, LATE)
    assert doubt is not None and doubt.clients == 3 and not doubt.is_strong
    assert doubt.words == "12 connections of 3 clients to 4 addresses without answer"


def test_one_address_that_is_dead_makes_no_strong_doubt():
    evidence = known("desk", "phone", "lamp")
    for client in ("desk", "phone", "lamp"):
        for port in range(5):
            began(evidence, client, "a", 0.0, port)
    doubt = evidence.doubt(1.0, LATE)
    assert doubt is not None and (doubt.clients, doubt.remotes, doubt.is_strong) == (3, 1, False)


def test_against_one_client_that_always_has_answers_two_others_are_heard_and_never_strongly():
    evidence = known("desk", "phone", "liar")
    for client, address in (("desk", "a"), ("desk", "b"), ("phone", "c"), ("phone", "d")):
        began(evidence, client, address, 0.0)
    answered(evidence, "liar", "x", "y", "z", now=0.9)
    doubt = evidence.doubt(1.0, LATE)
    assert doubt is not None and doubt.is_disputed and not doubt.is_strong
    assert not evidence.is_busy(1.0)
    evidence = known("desk", "liar")
    began(evidence, "desk", "a", 0.0)
    answered(evidence, "liar", "x", now=0.9)
    assert evidence.doubt(1.0, LATE) is None, "one against one says nothing"


def stalled(evidence: Evidence, now: float, whose: str, addresses: str) -> None:
    """Open connections with these, in which the client repeats itself and hears nothing."""
    for address in addresses:
        evidence.stalls.repeated(whose, (whose, address), (address, 443), 2, now)


def test_open_connections_of_several_clients_in_which_nothing_comes_back_say_that_it_is_broken():
    evidence = Evidence()
    for now in (3.0, 6.0):
        stalled(evidence, now, "desk", "ab")
        stalled(evidence, now, "phone", "cd")
    assert evidence.doubt(6.5, LATE) is None, "another sweep may say the opposite"
    doubt = evidence.doubt(7.5, LATE)
    assert doubt is not None and doubt.is_strong and len(evidence) == 4
    assert doubt.words == "4 connections of 2 clients to 4 addresses without answer"
    assert not evidence.is_busy(7.5)
    evidence.stalls.heard("desk", ("desk", "a"), 9.0)
    assert evidence.doubt(9.5, LATE) is None


def test_open_connections_of_one_client_alone_or_with_one_address_are_no_strong_doubt():
    evidence = known("desk", "phone")
    for now in (3.0, 6.0):
        stalled(evidence, now, "liar", "abcdefgh")
    doubt = evidence.doubt(7.5, LATE)
    assert doubt is not None and (doubt.clients, doubt.is_strong) == (1, False)
    evidence = Evidence()
    for now in (3.0, 6.0):
        for client in ("desk", "phone", "lamp"):
            stalled(evidence, now, client, "a")
    doubt = evidence.doubt(7.5, LATE)
    assert doubt is not None and (doubt.clients, doubt.remotes, doubt.is_strong) == (3, 1, False)


def test_a_new_connection_that_is_answered_refutes_what_open_ones_say_and_not_the_other_way_round():
    """After a provider forgot the connections of its customers the line is as good as before."""
    evidence = known("desk", "phone")
    for now in (3.0, 6.0):
        stalled(evidence, now, "desk", "ab")
        stalled(evidence, now, "phone", "cd")
    answered(evidence, "phone", "x", now=6.5)
    assert evidence.doubt(7.5, LATE) is None
    evidence = known("desk", "phone")
    for client, address in (("desk", "a"), ("desk", "b"), ("phone", "c"), ("phone", "d")):
        began(evidence, client, address, 6.0)
    evidence.stalls.heard("lamp", 1, 6.9)
    doubt = evidence.doubt(7.0, LATE)
    assert doubt is not None and doubt.is_strong, "new ones may be refused while open ones go on"


def test_who_waits_for_a_beginning_and_who_waits_in_an_open_connection_count_together():
    evidence = known("desk")
    began(evidence, "desk", "a", 6.0)
    began(evidence, "desk", "b", 6.0)
    for now in (3.0, 6.0):
        stalled(evidence, now, "phone", "bcd")
    doubt = evidence.doubt(7.5, LATE)
    assert doubt is not None and doubt.is_strong
    assert (doubt.connections, doubt.clients, doubt.remotes) == (5, 2, 4)


def test_a_line_that_was_away_is_not_doubted_for_what_went_on_before():
    evidence = known("desk", "phone")
    for now in (3.0, 6.0):
        stalled(evidence, now, "desk", "ab")
        stalled(evidence, now, "phone", "cd")
    evidence.away()
    assert evidence.doubt(7.5, LATE) is None and evidence.ends(9), "who answered is still known"


def test_a_line_that_answers_several_addresses_just_now_need_not_be_asked():
    evidence = Evidence()
    answered(evidence, "desk", "a", "b", now=0.0)
    assert not evidence.is_busy(0.1)
    answered(evidence, "desk", "c", now=0.0)
    assert evidence.is_busy(0.1) and not evidence.is_busy(0.6)


def test_after_events_were_lost_nobody_waits():
    evidence = known("desk", "phone")
    for client, address in itertools.product(("desk", "phone"), "abcd"):
        began(evidence, client, address, 0.0)
    evidence.missed()
    assert evidence.doubt(1.0, LATE) is None and len(evidence) == 0


def test_those_that_answered_last_are_named_of_each_client_first():
    evidence = Evidence()
    answered(evidence, "desk", "a", "b", now=0.0)
    answered(evidence, "phone", "c", "d", now=1.0)
    assert evidence.ends(2) == [("d", 443), ("b", 443)]
    assert len(evidence.ends(9)) == 4


def test_a_flood_is_bounded_and_as_loud_as_a_browser():
    evidence = known("desk")
    for number in range(10_000):
        evidence.began(-number, "liar", (f"192.0.2.{number % 250}", number), number / 10_000)
    assert len(evidence) == MOST_WAITING
    doubt = evidence.doubt(1.0, LATE)
    assert doubt is not None and doubt.clients == 1 and not doubt.is_strong
    for number in range(500):
        evidence.began(number, f"invented {number}", ("a", 1), 2.0)
    assert len(evidence._clients) == MOST_CLIENTS and len(evidence._owner) <= MOST_CLIENTS * MOST_WAITING


ACTS = st.lists(
    st.tuples(st.floats(0, 3), st.sampled_from(["begin", "answer", "end"]), st.sampled_from("abcdefgh")), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_one_client_alone_never_moves_a_line_and_two_that_wait_do(acts):
    evidence, health, now = known("liar", "desk"), LineHealth(Limits(), -10.0), 0.0
    waiting: list[int] = []
    for pause, act, address in acts:
        now += pause
        if act == "begin" or not waiting:
            waiting.append(began(evidence, "liar", address, now))
        else:
            getattr(evidence, "answered" if act == "answer" else "ended")(waiting.pop())
        doubt = evidence.doubt(now, LATE)
        assert doubt is None or (doubt.clients == 1 and not doubt.is_strong)
        health.probed(Round(True, 20.0, 0.0, seen=doubt.words if doubt else "", is_strong=False), now)
        assert health.state == NORMAL
        assert set(evidence._owner) == {one for client in evidence._clients.values() for one in client.waiting}
    now += 20.0
    for client, address in itertools.product(("liar", "desk"), "abcd"):
        began(evidence, client, address, now)
    doubt = evidence.doubt(now + 1, LATE)
    assert doubt is not None and doubt.is_strong
    health.probed(Round(True, 20.0, 0.0, seen=doubt.words, is_strong=True), now + 1)
    assert (health.state, health.because) == (DEGRADED, doubt.words)


def test_the_numbers_fit_what_the_page_says():
    assert (line_evidence.CLIENTS, line_evidence.REMOTES, line_evidence.KNOWN) == (2, 4, 2)


def suffering(received: int = 0, sent: int = 0, cut: int = 0) -> Evidence:
    """Two clients of which each lost so many of a hundred, with six addresses."""
    evidence = Evidence()
    for client, address in itertools.product(("desk", "phone"), "abcdef"):
        evidence.received.note(client, address, received, 100, 0.0)
        evidence.sent.note(client, address, sent, 100, 0.0)
        evidence.cuts.note(client, address, cut, 10, 0.0)
    return evidence


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (suffering(5, 5, 9), ""),
        (suffering(received=23), "loss 23 % of what 2 clients receive from 6 addresses, more than 5"),
        (suffering(sent=6), "loss 6 % of what 2 clients send to 6 addresses, more than 5"),
        (suffering(cut=10), "connections of 2 clients to 6 addresses are reset before any answer"),
        (Evidence(), ""),
    ],
)
def test_what_clients_suffer_is_said_with_its_share(found, words):
    assert found.suffered(0.0, 100.0, 0.05, was_bad=False) == words
    assert found.fares_well(0.0) == (len(found.sent) > 0)
    found.away()
    assert found.suffered(0.0, 100.0, 0.05, was_bad=False) == "" and not found.fares_well(0.0)


def test_what_was_too_much_has_to_become_half_of_that():
    for found in (suffering(received=3), suffering(cut=5)):
        assert found.suffered(0.0, 100.0, 0.05, was_bad=True) and not found.suffered(0.0, 100.0, 0.05, was_bad=False)
    assert not suffering(received=2, cut=4).suffered(0.0, 100.0, 0.05, was_bad=True)
    assert not suffering(received=90, sent=90).suffered(0.0, float("inf"), float("inf"), was_bad=True)
