"""Kill switches with a gap."""

from __future__ import annotations

import pytest

from netpolicy.config.analysis_protection import is_private
from netpolicy.core.model import Outbound

from .linted import LINES, findings, rule

CODES = ("NP430", "NP431", "NP432", "NP433")
GUARDED = "route=wg on_fail=block"


def said(*rules: str, head: str = LINES) -> list[tuple[str, str]]:
    return [(item.code, item.rule) for item in findings(head + "".join(rules), *CODES)]


@pytest.mark.parametrize(
    ("match", "action", "code"),
    [
        ("sni=*.a.example", "block", "NP430"),
        ("sni=*.a.example", GUARDED, "NP430"),
        ("domain=a.example", GUARDED, "NP430"),
        ("domain=a.example", "block", "NP431"),
        ("latency_ms=>100", "block", "NP430"),
        ("loss=>1%", GUARDED, "NP430"),
    ],
)
def test_a_protection_needs_facts_of_the_first_packet(match: str, action: str, code: str) -> None:
    assert said(rule("a", f"match {match}", action=action)) == [(code, "a")]


@pytest.mark.parametrize(
    ("match", "action"), [("sni=*.a.example", "route=wan"), ("port=25", "block"), ("src_iface=lan", GUARDED)]
)
def test_other_rules_have_time(match: str, action: str) -> None:
    assert said(rule("a", f"match {match}", action=action)) == []


def test_behind_a_default_that_blocks_nothing_passes() -> None:
    head = LINES.replace("enabled 1", "enabled 1\n  default block")
    assert said(rule("a", "match sni=a.example"), head=head) == []


@pytest.mark.parametrize(
    "action", ["route=both on_fail=block", "fallback=wg,direct on_fail=block", "route=direct on_fail=block"]
)
def test_a_way_out_that_is_never_down_takes_the_turn_of_on_fail(action: str) -> None:
    head = LINES + "outbound both group failover wg,direct\n"
    text = head + rule("a", "match src_iface=lan", action=action)
    (item,) = findings(text, *CODES)
    assert item.code == "NP432" and "'direct'" in item.message


def test_a_group_of_lines_may_fail() -> None:
    head = LINES + "outbound both group failover wg,wan\n"
    assert said(rule("a", "match src_iface=lan", action="route=both on_fail=block"), head=head) == []


def test_traffic_of_a_private_line_goes_on_without_it() -> None:
    private = rule("a", "priority 5", "match src_iface=lan", action="route=wg")
    assert said(private) == [("NP433", "a")]
    assert said(private, rule("b", "match src_iface=lan")) == []
    assert said(private, rule("b", "match any")) == []
    assert said(private, rule("b", "match src_iface=guest")) == [("NP433", "a")]
    assert said(rule("a", "match src_iface=lan", action="route=wg on_fail=direct")) == []
    assert said(rule("a", "match src_iface=lan", action="route=wan")) == []


@pytest.mark.parametrize(
    ("outbound", "private"),
    [
        (Outbound("a", "interface", interface="wg0"), True),
        (Outbound("office_vpn", "interface", interface="eth7"), True),
        (Outbound("a", "xray", node="n"), True),
        (Outbound("a", "tunnel", server="ssh://h"), True),
        (Outbound("wan", "interface", interface="pppoe-wan"), False),
        (Outbound("vpn", "group", member=("a",)), False),
        (Outbound("a", "table", table=100), False),
    ],
)
def test_which_lines_look_private(outbound: Outbound, private: bool) -> None:
    assert is_private(outbound) == private
