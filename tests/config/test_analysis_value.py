"""Values that say nothing new, each with its own place."""

from __future__ import annotations

import pytest

from .linted import LINES, findings, marked, rule


def said(text: str, *codes: str) -> list[tuple[str, str]]:
    """(code, characters that it points at)."""
    return [(item.code, marked(text, item)) for item in findings(text, *codes)]


@pytest.mark.parametrize(
    ("match", "code", "value"),
    [
        ("port=80,443,80", "NP404", "80"),
        ("protocol=tcp,udp,6", "NP404", "6"),
        ("sni=a.example,A.EXAMPLE", "NP404", "A.EXAMPLE"),
        ("src_iface=lan,lan", "NP404", "lan"),
        ("domain=a.example,*.a.example", "NP405", "*.a.example"),
        ("domain=a.example,=x.a.example", "NP405", "=x.a.example"),
        ("domain=keyword:tube,=youtube.com", "NP405", "=youtube.com"),
        ("dest_addr=192.0.2.0/24,192.0.2.128/25,2001:db8::/32", "NP405", "192.0.2.128/25"),
        ("dest_addr=192.0.2.7,192.0.2.0/24,2001:db8::/32", "NP405", "192.0.2.7"),
        ("dest_addr=!192.0.2.7,!192.0.2.0/24", "NP405", "!192.0.2.7"),
        ("port=1-100,50", "NP405", "50"),
        ("sni=*,*.a.example", "NP405", "*.a.example"),
        ("sni=**", "NP409", "**"),
        ("dest_addr=192.0.2.0/24,2001:db8::/32,!198.51.100.1", "NP406", "!198.51.100.1"),
        ("port=1-100,!200", "NP406", "!200"),
        ("src_iface=lan,!guest", "NP406", "!guest"),
        ("domain=a.example,!=b.example", "NP406", "!=b.example"),
        ("sni=*.a.example,!x.b.example", "NP406", "!x.b.example"),
        ("latency_ms=>=0", "NP408", ">=0"),
        ("loss=<=100%", "NP408", "<=100%"),
    ],
)
def test_a_superfluous_value_is_pointed_at(match: str, code: str, value: str) -> None:
    text = LINES + rule("a", f"match {match}", action="route=wan")
    assert said(text, "NP404", "NP405", "NP406", "NP408", "NP409") == [(code, value)]


@pytest.mark.parametrize(
    "match",
    [
        "dest_addr=192.0.2.0/24,!192.0.2.7,2001:db8::/32",
        "dest_addr=192.0.2.1-192.0.2.9,192.0.2.5-192.0.2.20,2001:db8::/32",  # they overlap, neither is too many
        "port=1-100,!50",
        "domain=a.example,!x.a.example",
        "domain=regex:^a,b.example,keyword:c",
        "domain=*.a.example,=a.example",
        "sni=*.a.example,!x*",
        "sni=*",
        "latency_ms=>0",
        "error_rate=<100%",
        "src_iface=!lan,!guest",
    ],
)
def test_values_that_say_something_are_left_alone(match: str) -> None:
    assert said(LINES + rule("a", f"match {match}", action="route=wan"), "NP404", "NP405", "NP406", "NP408") == []


def test_a_list_counts_as_its_entries() -> None:
    text = LINES + "list nets 192.0.2.0/24 2001:db8::/32\n" + rule("a", "match dest_addr=@nets,192.0.2.7")
    assert said(text, "NP405") == [("NP405", "192.0.2.7")]


def test_a_list_that_may_change_is_compared_with_nothing() -> None:
    text = LINES + "list nets:\n  entry 192.0.2.0/24\n  url https://lists.example/nets\n" + rule(
        "a", "match dest_addr=@nets,192.0.2.7,!198.51.100.1"
    )  # fmt: skip
    assert said(text, "NP405", "NP406") == []


def test_entries_states_targets_and_members_are_compared_too() -> None:
    text = (
        LINES
        + "outbound both group failover wg,wan,wg\n"
        + "list nets 192.0.2.0/24 192.0.2.9\n"
        + rule("a", "match dest_addr=@nets,2001:db8::/32", "when state=NORMAL,normal", action="fallback=both,wan,both")
    )
    assert said(text, "NP404", "NP405") == [
        ("NP404", "normal"), ("NP404", "both"), ("NP405", "192.0.2.9"), ("NP404", "wg"),
    ]  # fmt: skip


def test_the_fix_of_a_wildcard_is_what_to_write() -> None:
    (item,) = findings(LINES + rule("a", "match sni=!**", action="route=wan"), "NP409")
    assert item.fix == "!*"


def test_thousands_of_values_take_a_moment() -> None:
    entries = " ".join(f"h{at}.example 10.{at >> 8}.{at & 255}.0/24" for at in range(3000))
    text = LINES + f"list many {entries}\n" + rule("a", "match domain=@many", action="route=wan")
    assert said(text, "NP404", "NP405") == []
