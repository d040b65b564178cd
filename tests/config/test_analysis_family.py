"""IPv6 forgotten: where it is said and, as important, where it is not."""

from __future__ import annotations

import pytest

from .linted import LINES, findings, marked, rule

CODES = ("NP420", "NP421")


def said(*rules: str, head: str = LINES) -> list[tuple[str, str]]:
    return [(item.code, item.rule) for item in findings(head + "".join(rules), *CODES)]


def test_a_block_of_a_public_ipv4_site_forgets_ipv6() -> None:
    text = LINES + rule("site", "match dest_addr=198.51.100.0/24")
    (item,) = findings(text, *CODES)
    assert (item.code, item.severity, marked(text, item)) == ("NP420", "warning", "198.51.100.0/24")
    assert "by IPv6 goes past it" in item.message and "family ipv4" in item.hint


def test_a_client_named_by_ipv4_passes_a_guard_by_ipv6() -> None:
    assert said(rule("kid", "match src_addr=192.168.1.7")) == [("NP420", "kid")]
    assert said(rule("kid", "match src_addr=192.168.1.7", action="route=wg on_fail=block")) == [("NP420", "kid")]
    assert said(rule("kid", "match src_addr=192.168.1.7", action="route=wg")) == []


def test_a_route_to_a_line_is_a_note() -> None:
    assert said(rule("site", "match dest_addr=198.51.100.0/24", action="route=wg")) == [("NP421", "site")]
    assert said(rule("site", "match dest_addr=198.51.100.0/24", action="route=direct")) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("match dest_addr=198.51.100.0/24 family=ipv4",),
        ("match dest_addr=198.51.100.0/24,2001:db8::/32",),
        ("match dest_addr=10.0.0.0/8",),
        ("match dest_addr=192.168.1.1",),
        ("match dest_addr=198.51.100.1 protocol=icmp",),
        ("match dest_addr=!198.51.100.0/24",),
        ("match dest_addr=2001:db8::/32",),
        ("enabled 0", "match dest_addr=198.51.100.0/24"),
    ],
)
def test_what_is_probably_meant_is_left_alone(lines: tuple[str, ...]) -> None:
    assert said(rule("a", *lines)) == []


def test_another_rule_may_have_the_ipv6_half() -> None:
    four = rule("four", "match dest_addr=198.51.100.0/24 port=443")
    assert said(four, rule("six", "match dest_addr=2001:db8::/32 port=443")) == []
    assert said(four, rule("six", "match dest_addr=2001:db8::/32 port=25")) == [("NP420", "four")]
    assert said(four, rule("six", "match dest_addr=2001:db8::/32 port=443", action="route=wg")) == [("NP420", "four")]


def test_where_ipv6_is_stopped_altogether_nothing_is_forgotten() -> None:
    four = rule("four", "match dest_addr=198.51.100.0/24")
    assert said(four, rule("no_six", "match family=ipv6")) == []
    assert said(four, head=LINES.replace("enabled 1", "enabled 1\n  default block")) == []


def test_a_list_that_may_change_may_have_ipv6() -> None:
    closed = "list nets 198.51.100.0/24\n"
    grown = "list nets:\n  entry 198.51.100.0/24\n  url https://lists.example/nets\n"
    assert said(rule("a", "match dest_addr=@nets"), head=LINES + closed) == [("NP420", "a")]
    assert said(rule("a", "match dest_addr=@nets"), head=LINES + grown) == []
