"""Assertions and administrators as questions, and what became of them as rows that a person understands."""

from __future__ import annotations

import pytest

from netpolicy.config.value import assertion
from netpolicy.dataplane.rehearsal_probe import (
    ANSWERED,
    ASTRAY,
    FORWARDED,
    ONE_WAY,
    REFUSED,
    SILENT,
    UNSENT,
    Probe,
    Result,
)
from netpolicy.flows.administrators import Peer
from netpolicy.service.assertion_sides import Ground
from netpolicy.service.assertions import MOST_PROBES, NOT_BEFORE, of_administrator, of_assertion, rows
from tests.service.test_assertion_sides import LISTS, NEIGHBOURS, house


@pytest.fixture
def ground() -> Ground:
    return Ground(house(), (), NEIGHBOURS, LISTS)


def ask(text: str, ground: Ground):
    return of_assertion(assertion(text), ground)


def row(question, *after, before=()):
    return rows([question], before or after, after)[0]


def test_a_port_is_tried_once_in_each_family_that_both_have(ground):
    found = ask("lan can wan0 tcp/443", ground)
    assert found.probes == (
        Probe("br-lan", "192.168.1.77", "203.0.113.77", "tcp", 443),
        Probe("br-lan", "fd00:1::2", "2001:db8:77::77", "tcp", 443),
    )
    assert (found.can, found.devices, found.wanted) == (True, {"wan0"}, "forwarded via wan0")


@pytest.mark.parametrize(
    ("words", "tried"),
    [
        ("can wan0", ["tcp/443", "udp/443", "icmp/0"]),
        ("cannot wan0", ["tcp/22", "tcp/80", "tcp/443", "udp/53", "udp/443", "icmp/0"]),
        ("can wan0 tcp", ["tcp/443"]),
        ("cannot wan0 udp", ["udp/53", "udp/443"]),
        ("can wan0 icmp", ["icmp/0"]),
    ],
)
def test_without_a_port_or_protocol_some_doors_stand_for_all(ground, words, tried):
    assert [f"{one.protocol}/{one.port}" for one in ask(f"br-guest {words}", ground).probes] == tried


def test_icmp_is_of_ipv4_and_icmpv6_of_ipv6(ground):
    assert [":" in one.source for one in ask("lan can wan0 icmp", ground).probes] == [False]
    assert [":" in one.source for one in ask("lan can wan0 icmpv6", ground).probes] == [True]
    assert [":" in one.source for one in ask("lan cannot wan0 tcp/22", ground).probes] == [False, True]


def test_the_router_itself_is_asked_by_its_address_on_the_network_of_who_asks(ground):
    found = ask("br-guest cannot lo tcp/22", ground)
    assert found.probes == (Probe("br-guest", "192.168.3.2", "192.168.3.1", "tcp", 22),)
    assert row(found, Result(ANSWERED))["ok"] is False and row(found, Result(SILENT))["ok"] is True
    own = ask("lo can wan0 tcp/443", ground)
    assert [one.device for one in own.probes] == ["lo", "lo"]


CAN, CANNOT = "br-guest can wan0 tcp/443", "br-guest cannot br-lan tcp/443"


@pytest.mark.parametrize(
    ("text", "result", "ok"),
    [
        (CAN, Result(FORWARDED, "wan0"), True),
        (CAN, Result(FORWARDED, "tun0"), False),
        (CAN, Result(ONE_WAY, "wan0"), False),
        (CAN, Result(ANSWERED), True),
        (CAN, Result(SILENT), False),
        (CAN, Result(REFUSED), False),
        (CANNOT, Result(FORWARDED, "br-lan"), False),
        (CANNOT, Result(ONE_WAY, "br-lan"), False),
        (CANNOT, Result(FORWARDED, "tun0"), True),
        (CANNOT, Result(REFUSED), True),
        (CANNOT, Result(SILENT), True),
        (CANNOT, Result(UNSENT, "br-guest"), False),
        ("br-guest can 192.168.1.9 tcp/1", Result(FORWARDED, "any"), True),
        ("br-guest cannot 192.168.1.9 tcp/1", Result(FORWARDED, "any"), False),
        ("br-guest cannot 192.168.1.1 tcp/1", Result(ANSWERED), False),
        ("br-guest cannot 192.168.1.1 tcp/1", Result(ASTRAY, "wan0"), False),
    ],
)
def test_what_holds(ground, text, result, ok):
    assert row(ask(text, ground), result)["ok"] is ok


def test_a_row_says_what_was_what_is_and_which_connection_is_to_blame(ground):
    found = rows(
        [ask("lan can wan0 tcp/443", ground)],
        [Result(FORWARDED, "wan0")] * 2,
        [Result(FORWARDED, "wan0"), Result(REFUSED)],
        lambda probe: "the rule six blocks it" if ":" in probe.source else "",
    )
    assert found == [
        {
            "kind": "assertion", "what": "assert lan can wan0 tcp/443", "before": "forwarded via wan0",
            "after": "refused, forwarded via wan0", "wanted": "forwarded via wan0", "ok": False,
            "because": "fd00:1::2 -> 2001:db8:77::77 tcp/443: refused (the rule six blocks it)",
        }
    ]  # fmt: skip


def test_an_assertion_has_to_hold_after_a_change_whatever_was_before(ground):
    assert row(ask(CAN, ground), Result(SILENT), before=[Result(SILENT)])["ok"] is False


PEER = Peer("192.168.1.5", 40000, "192.168.1.1", 22, "ssh")


def test_an_administrator_who_is_locked_out_is_told(ground):
    question = of_administrator(PEER, ground)
    assert question.probes == (Probe("br-lan", "192.168.1.5", "192.168.1.1", "tcp", 22),)
    found = row(question, Result(SILENT), before=[Result(ANSWERED)])
    assert found == {
        "kind": "administration", "what": "admin 192.168.1.5 -> 192.168.1.1 tcp/22", "before": "answered",
        "after": "silent", "wanted": "answered", "ok": False, "because": "silent",
    }  # fmt: skip
    astray = row(question, Result(ASTRAY, "wan0"), before=[Result(ANSWERED)])
    assert (astray["ok"], astray["after"]) == (False, "answered by wan0")


def test_who_could_not_before_is_no_reason_against_a_change(ground):
    found = row(of_administrator(PEER, ground), Result(SILENT), before=[Result(REFUSED)])
    assert (found["ok"], found["because"]) == (True, NOT_BEFORE)


@pytest.mark.parametrize(
    ("peer", "device"),
    [
        (Peer("10.20.0.4", 0, "192.168.1.1", 22, "ssh"), "br-lan"),
        (Peer("203.0.113.9", 0, "198.51.100.2", 22, "ssh"), "wan0"),
        (Peer("203.0.113.9", 0, "198.51.100.2", 22, "ssh", "tun0"), "tun0"),
        (Peer("fe80::5%br-guest", 0, "fe80::1%br-guest", 22, "ssh"), "br-guest"),
    ],
)
def test_an_administrator_comes_in_by_the_device_that_is_told_or_the_routes_say(ground, peer, device):
    probe = of_administrator(peer, ground).probes[0]
    assert probe.device == device and "%" not in probe.source + probe.destination


def test_what_cannot_be_tried_is_said_and_a_prohibition_about_nobody_cannot_be_told(ground):
    can, cannot = row(ask("nobody can wan0", ground)), row(ask("nobody cannot wan0", ground))
    assert (can["ok"], cannot["ok"]) == (False, None)
    assert can["because"] == "nobody: no network or device has that name"
    assert row(ask("lan can wan0 gre", ground))["because"] == "gre cannot be tried: only tcp, udp and icmp can"
    apart = row(ask("2001:db8:5::7 can br-guest", ground))
    assert apart["because"] == "2001:db8:5::7 and br-guest have no kind of address in common"


def test_probes_of_one_assertion_are_bounded(ground):
    assert len(ask("@many cannot @many", ground).probes) == MOST_PROBES


def test_rows_take_their_results_in_order(ground):
    questions = [ask("nobody can wan0", ground), ask("lan can wan0 tcp/1", ground), of_administrator(PEER, ground)]
    found = rows(
        questions, [Result(SILENT)] * 3, [Result(FORWARDED, "wan0"), Result(FORWARDED, "wan0"), Result(ANSWERED)]
    )
    assert [one["ok"] for one in found] == [False, True, True]
