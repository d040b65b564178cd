"""What a person types for a connection, and what it means."""

from __future__ import annotations

import pytest

from netpolicy.core.value import ValueProblem
from netpolicy.service.anonymous import Shade
from netpolicy.service.flow_text import LONGEST, Wanted, parse
from tests.service.open_flows import DIRECT, flow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17", Wanted(17)),
        ("4294967295", Wanted(4294967295)),
        ("192.168.1.7:50000 198.51.100.4:443 tcp", Wanted(0, 6, "192.168.1.7", 50000, "198.51.100.4", 443)),
        ("TCP  192.168.1.7:50000   198.51.100.4:443", Wanted(0, 6, "192.168.1.7", 50000, "198.51.100.4", 443)),
        ("tcp 192.168.1.7:50000 → 198.51.100.4:443", Wanted(0, 6, "192.168.1.7", 50000, "198.51.100.4", 443)),
        ("192.168.1.7 198.51.100.4", Wanted(0, None, "192.168.1.7", 0, "198.51.100.4", 0)),
        ("192.168.1.7 198.51.100.4:443 47", Wanted(0, 47, "192.168.1.7", 0, "198.51.100.4", 443)),
        ("udp [2001:DB8::7]:50000 [2001:db8:f:0::5]:443", Wanted(0, 17, "2001:db8::7", 50000, "2001:db8:f::5", 443)),
        ("192.168.1.0/24:50000 198.51.100.4:443", Wanted(0, None, "192.168.1.0", 50000, "198.51.100.4", 443)),
        ("2001:db8::7 [2001:db8:f::5]", Wanted(0, None, "2001:db8::7", 0, "2001:db8:f::5", 0)),
    ],
)
def test_a_connection_is_named_by_its_id_or_by_its_ends(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not name two ends"),
        ("tcp", "does not name two ends"),
        ("192.168.1.7", "does not name two ends"),
        ("192.168.1.7 198.51.100.4 tcp udp", "does not name two ends"),
        ("192.168.1.7 198.51.100.4 192.0.2.1", "does not name two ends"),
        ("192.168.1.7 198.51.100.4 carrier", "unknown protocol"),
        ("192.168.1.999 198.51.100.4", "192.168.1.999"),
        ("192.168.1.0/16 198.51.100.4", "192.168.1.0/16"),
        ("192.168.1.7:x 198.51.100.4", "x"),
        ("192.168.1.7:99999 198.51.100.4", "99999"),
        ("192.168.1.7: 198.51.100.4", "the port is missing"),
        ("[2001:db8::7]: 2001:db8::8", "the port is missing"),
        ("192.168.1.7 2001:db8::8", "two address families"),
        ("0", "no id"),
        ("4294967296", "no id"),
        ("9" * 190, "no id"),
        ("²", "does not name two ends"),
        ("a\x1b[2J", "names no connection"),
        ("1" * (LONGEST + 1), "names no connection"),
        ("host.example 198.51.100.4", "host.example"),
    ],
)
def test_what_names_no_connection_is_refused_in_words(text, says):
    with pytest.raises(ValueProblem) as raised:
        parse(text)
    assert says in raised.value.text


def test_what_is_left_out_may_be_anything():
    one = flow(DIRECT, number=9)
    for text in ("9", "192.168.1.9 203.0.113.5", "tcp 192.168.1.9:40000 203.0.113.5:443"):
        assert parse(text).matches(one)
    for text in ("8", "udp 192.168.1.9 203.0.113.5", "192.168.1.9:1 203.0.113.5", "203.0.113.5 192.168.1.9",
                 "192.168.1.9 203.0.113.5:80"):  # fmt: skip
        assert not parse(text).matches(one)


def test_a_client_that_is_not_shown_is_not_found_out_by_asking():
    show = Shade(("clients",)).address
    one = flow(DIRECT, source="192.168.1.7")
    asked = [parse(f"192.168.1.{last} {one.destination}") for last in (7, 8, 255)]
    assert [wanted.matches(one) for wanted in asked] == [True, False, False]
    assert [wanted.matches(one, show) for wanted in asked] == [True, True, True]
    assert not parse(f"192.168.2.7 {one.destination}").matches(one, show)
