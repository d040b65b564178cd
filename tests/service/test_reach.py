"""How far a rule reaches: too far rather than not far enough."""

from __future__ import annotations

import pytest

from netpolicy.core.field import FIELDS
from netpolicy.core.field_kind import Field
from netpolicy.core.model import Action, Rule
from netpolicy.core.named_list import NO_LISTS
from netpolicy.service.reach import comes_in_by, is_apart, is_from_many, is_to_anything, is_wider


def rule(**fields: str) -> Rule:
    found: list[Field] = [FIELDS[name](name, tuple(text.split()), NO_LISTS) for name, text in fields.items()]
    return Rule("r", 0, tuple(found), Action("block", "drop"))


@pytest.mark.parametrize(
    ("fields", "many"),
    [
        ({}, True), ({"src_iface": "lan"}, True), ({"family": "ipv4"}, True), ({"dest_addr": "192.0.2.1"}, True),
        ({"src_addr": "192.168.1.0/24"}, True), ({"src_addr": "192.168.1.0/25"}, True),
        ({"src_addr": "192.168.1.0/26"}, False),
        ({"src_addr": "192.168.1.1-192.168.1.100 192.168.2.1-192.168.2.100"}, True),
        ({"src_addr": "2001:db8::/64"}, True), ({"src_addr": "2001:db8::1"}, False),
        ({"src_addr": "!192.168.1.1"}, True),
        ({"src_mac": "02:00:00:00:00:0a"}, False), ({"src_mac": "!02:00:00:00:00:0a"}, True),
        ({"src_mac": "02:00:00:00:00:0a", "src_addr": "0.0.0.0/0"}, False),
    ],
)  # fmt: skip
def test_from_many_machines(fields, many):
    assert is_from_many(rule(**fields)) == many


@pytest.mark.parametrize(
    ("fields", "anything"),
    [
        ({}, True), ({"src_addr": "192.0.2.1"}, True), ({"dest_addr": "192.0.2.0/24"}, False),
        ({"dest_addr": "0.0.0.0/1"}, True), ({"dest_addr": "!192.0.2.0/24"}, True), ({"dest_addr": "2000::/3"}, True),
        ({"dest_addr": "2001:db8::/32"}, False), ({"dest_port": "443"}, False), ({"dest_port": "1-65535"}, True),
        ({"dest_port": "!443"}, True), ({"proto": "tcp"}, True), ({"proto": "icmp"}, False), ({"proto": "!icmp"}, True),
        ({"domain": "example.com"}, False), ({"latency_ms": ">5"}, False), ({"schedule": "night"}, True),
    ],
)  # fmt: skip
def test_to_more_or_less_anything(fields, anything):
    assert is_to_anything(rule(**fields)) == anything


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ({"dest_port": "80"}, {"dest_port": "443"}, True), ({"dest_port": "80-90"}, {"dest_port": "85"}, False),
        ({"dest_port": "80"}, {"proto": "tcp"}, False), ({"dest_port": "80"}, {}, False),
        ({"src_iface": "lan"}, {"src_iface": "guest"}, True), ({"src_iface": "!lan"}, {"src_iface": "guest"}, False),
        ({"src_addr": "192.0.2.1"}, {"src_addr": "192.0.2.0/24"}, False),
        ({"src_addr": "192.0.2.1"}, {"src_addr": "2001:db8::1"}, True),
        ({"schedule": "day"}, {"schedule": "night"}, False), ({"domain": "a.example"}, {"domain": "b.example"}, False),
        ({"family": "ipv4"}, {"family": "ipv6"}, True),
    ],
)  # fmt: skip
def test_rules_that_never_meet(one, other, apart):
    assert is_apart(rule(**one), rule(**other)) == apart == is_apart(rule(**other), rule(**one))


@pytest.mark.parametrize(
    ("new", "old", "wider"),
    [
        ({"dest_port": "80 443"}, {"dest_port": "80"}, True), ({"dest_port": "80"}, {"dest_port": "80 443"}, False),
        ({}, {"dest_port": "80"}, True), ({"dest_port": "80"}, {}, False),
        ({"dest_port": "80"}, {"dest_port": "80"}, True),
        ({"src_addr": "192.0.2.0/24 !192.0.2.1"}, {"src_addr": "192.0.2.0/24"}, False),
        ({"src_addr": "192.0.2.0/24"}, {"src_addr": "192.0.2.0/24 !192.0.2.1"}, False),  # it is, and is not known to be
    ],
)  # fmt: skip
def test_a_rule_that_surely_matches_all_of_another(new, old, wider):
    assert is_wider(rule(**new), rule(**old)) == wider


def test_the_way_in_is_what_is_named():
    assert comes_in_by(rule(src_iface="lan lo !wan")) == ("lan", "lo")
    assert comes_in_by(rule()) == ()
