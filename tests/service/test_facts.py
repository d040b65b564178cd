"""The facts of a flow, from conntrack's words and the network around: nothing is guessed."""

from __future__ import annotations

from netpolicy.core.address import parse_address
from netpolicy.dataplane.state import Address, Neighbour, Route
from netpolicy.flows.model import Flow
from netpolicy.outbounds.lines import View
from netpolicy.service.facts import Surroundings

VIEW = View(
    {},
    (
        Address(4, "lan", "192.168.1.1", 24),
        Address(4, "wanb", "198.51.100.2", 24),
        Address(6, "lan", "fd00:1::1", 64),
    ),
    (
        Route(4, 254, "192.168.1.0/24", device="lan"),
        Route(4, 254, "192.168.1.128/25", device="guest"),
        Route(4, 254, "default", gateway="198.51.100.1", device="wanb"),
        Route(4, 254, "198.51.100.0/24", device="wanb"),
        Route(6, 254, "fd00:1::/64", device="lan"),
        Route(4, 7001, "10.0.0.0/8", device="tun9"),
        Route(4, 254, "nonsense", device="lan"),
    ),
)
AROUND = Surroundings(VIEW, (Neighbour(4, "lan", "192.168.1.9", "02:00:00:00:00:09"),))


def flow(source: str, destination: str, protocol: int = 6, port: int = 443) -> Flow:
    family = 6 if ":" in source else 4
    return Flow(1, family, protocol, source, 4000 if port else 0, destination, port, destination, port, source, 4000)


def came_by(source: str, destination: str = "203.0.113.5") -> str | None:
    return AROUND.facts(flow(source, destination)).src_iface


def test_the_longest_subnet_says_where_it_came_from():
    assert came_by("192.168.1.9") == "lan"
    assert came_by("192.168.1.200") == "guest"
    assert came_by("fd00:1::9", "2001:db8::1") == "lan"


def test_the_routers_own_connections_come_from_itself():
    assert came_by("198.51.100.2") == "lo"
    assert AROUND.facts(flow("198.51.100.2", "203.0.113.5")).src_mac is None


def test_from_beyond_it_came_by_the_line_whose_address_it_asked_for():
    assert came_by("203.0.113.77", "198.51.100.2") == "wanb"
    assert came_by("198.51.100.9", "198.51.100.2") == "wanb"


def test_what_cannot_be_known_stays_unknown():
    """Not by the default route, and not by a table of ours."""
    assert came_by("203.0.113.77", "192.168.1.9") is None
    assert came_by("10.1.1.1") is None


def test_ports_protocol_and_mac():
    facts = AROUND.facts(flow("192.168.1.9", "203.0.113.5", 17, 53))
    assert (facts.proto, facts.src_port, facts.dest_port, facts.family) == (17, 4000, 53, 4)
    assert facts.dest_addr == parse_address("203.0.113.5")
    assert facts.src_mac == "02:00:00:00:00:09"
    ping = AROUND.facts(flow("192.168.1.8", "203.0.113.5", 1, 0))
    assert (ping.src_port, ping.dest_port, ping.src_mac) == (None, None, None)


def test_the_keys_of_a_tunnel_are_no_ports_and_port_0_is_one():
    """A PPTP call whose key is 443 is not what a rule for port 443 means."""
    gre = AROUND.facts(flow("192.168.1.9", "203.0.113.5", protocol=47))
    assert (gre.proto, gre.src_port, gre.dest_port) == (47, None, None)
    nothing = AROUND.facts(Flow(1, 4, 17, "192.168.1.9", 0, "203.0.113.5", 0, "203.0.113.5", 0, "192.168.1.9", 0))
    assert (nothing.src_port, nothing.dest_port) == (0, 0)
    unknown = AROUND.facts(Flow(1, 4, 136, "192.168.1.9", 0, "203.0.113.5", 0, "203.0.113.5", 0, "192.168.1.9", 0))
    assert (unknown.src_port, unknown.dest_port) == (None, None)
