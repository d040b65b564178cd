"""A rule's match as nft text: what is written, and what cannot match is left out."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.match_text import forwarded_matches, own_matches
from netpolicy.dataplane.policy import Policy
from tests.router import rule

POLICY = Policy(device_names=(("office", "br-lan.7"),))


def forwarded(**fields: str) -> tuple[str, ...]:
    return forwarded_matches(rule("r", **fields), POLICY)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("",)),
        ({"dest_port": "443", "proto": "tcp"}, ("meta l4proto 6 th dport 443",)),
        ({"dest_port": "80 443-445"}, ("meta l4proto { 6, 17, 33, 132, 136 } th dport { 80, 443-445 }",)),
        ({"src_port": "!1-1024"}, ("meta l4proto { 6, 17, 33, 132, 136 } th sport { 0, 1025-65535 }",)),
        ({"src_addr": "192.168.3.0/24"}, ("ip saddr 192.168.3.0/24",)),
        ({"dest_addr": "2001:db8::/32"}, ("ip6 daddr 2001:db8::/32",)),
        ({"family": "ipv6"}, ("meta nfproto ipv6",)),
        ({"src_iface": "office"}, ('iifname "br-lan.7"',)),
        ({"src_iface": "eth1 office"}, ('iifname { "br-lan.7", "eth1" }',)),
        ({"src_iface": "!office"}, ('iifname != "br-lan.7"',)),
        ({"src_mac": "02:00:00:00:00:01"}, ("ether saddr 02:00:00:00:00:01",)),
        ({"proto": "!tcp"}, ("meta l4proto { 0-5, 7-255 }",)),
    ],
)
def test_a_match_is_written_as(fields, expected):
    assert forwarded(**fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"dest_port": "443", "proto": "icmp"},  # no ports
        {"src_iface": "lo"},  # forwarded packets never come from the router itself
        {"src_addr": "10.0.0.1", "family": "ipv6"},
        {"src_addr": "10.0.0.1", "dest_addr": "2001:db8::1"},
    ],
)
def test_what_no_packet_can_be_has_no_text(fields):
    assert forwarded(**fields) == ()


def test_an_excluded_address_leaves_the_other_family_alone():
    texts = forwarded(dest_addr="!10.0.0.0/8")
    assert [text.split()[0] for text in texts] == ["ip", "meta"]
    assert texts[1] == "meta nfproto ipv6"
    assert "10." not in texts[0].replace("0.0.0.0-9.255.255.255", "")


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"src_iface": "lo"}, True),
        ({"src_iface": "!eth0"}, True),
        ({"src_iface": "eth0"}, False),
        ({"src_mac": "02:00:00:00:00:01"}, False),
        ({"src_iface": "!lo"}, False),
        ({"dest_port": "53"}, True),
    ],
)
def test_the_routers_own_packets_come_from_lo(fields, matches):
    assert bool(own_matches(rule("r", **fields), POLICY)) is matches
