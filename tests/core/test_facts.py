"""What is known of one connection, as texts."""

from __future__ import annotations

import pytest

from netpolicy.core.address import parse_address
from netpolicy.core.facts import ALIASES, FACT_PARSERS, Facts, parse_facts
from netpolicy.core.field import FIELD_ORDER
from netpolicy.core.value import ValueProblem

WRITTEN = {
    "src_iface": (" lan ", "lan"),
    "src_mac": ("02-00-00-00-00-0A", "02:00:00:00:00:0a"),
    "src_addr": ("192.0.2.1", parse_address("192.0.2.1")),
    "src_port": ("1024", 1024),
    "dest_addr": ("2001:db8::1", parse_address("2001:db8::1")),
    "domain": ("kids.example", "kids.example"),
    "sni": ("www.example", "www.example"),
    "proto": ("UDP", 17),
    "dest_port": ("443", 443),
    "family": ("ipv6", 6),
    "dscp": ("ef", 46),
    "latency_ms": ("120.5", 120.5),
    "rtt_ms": ("80", 80),
    "error_rate": ("5%", 0.05),
    "loss": ("0.02", 0.02),
    "schedule": ("b, a,,", ("a", "b")),
}


def test_every_field_has_a_fact_and_every_fact_a_reader():
    assert set(FACT_PARSERS) == set(FIELD_ORDER) == set(WRITTEN) == set(Facts.__slots__)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_fact_is_read(name):
    text, meaning = WRITTEN[name]
    assert getattr(parse_facts({name: text}), name) == meaning


def test_what_is_not_said_is_unknown():
    facts = parse_facts({})
    assert [name for name in FIELD_ORDER if getattr(facts, name) is not None] == []


def test_no_schedule_is_open_is_not_the_same_as_unknown():
    assert parse_facts({"schedule": ""}).schedule == ()
    assert parse_facts({}).schedule is None


@pytest.mark.parametrize("alias", ALIASES)
def test_other_names_of_the_same_fact(alias):
    text, meaning = WRITTEN[ALIASES[alias]]
    assert getattr(parse_facts({alias: text}), ALIASES[alias]) == meaning


def test_the_family_follows_from_an_address_and_the_domain_from_the_sni():
    assert parse_facts({"src_addr": "192.0.2.1"}).family == 4
    assert parse_facts({"src_addr": "192.0.2.1", "dest_addr": "::2"}).family == 6
    assert parse_facts({"dest_addr": "::2", "family": "ipv4"}).family == 4
    assert parse_facts({"sni": "a.example"}).domain == "a.example"
    assert parse_facts({"sni": "a.example", "domain": "b.example"}).domain == "b.example"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("colour", "red"),
        ("src_addr", "example.com"),
        ("dest_addr", "192.0.2.0/24"),
        ("dest_port", "80-90"),
        ("proto", "xyz"),
        ("latency_ms", "fast"),
        ("latency_ms", "nan"),
        ("rtt_ms", "-1"),
        ("rtt_ms", "inf"),
        ("rtt_ms", "4294967296"),
        ("error_rate", "5"),
        ("loss", "-1%"),
        ("sni", "a" * 256),
        ("family", "6"),
        ("dscp", "64"),
    ],
)
def test_what_is_no_such_fact_is_refused_by_its_name(name, text):
    with pytest.raises(ValueProblem) as caught:
        parse_facts({name: text})
    assert name in caught.value.text
