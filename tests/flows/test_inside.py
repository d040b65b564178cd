"""Which networks are behind the router."""

from __future__ import annotations

from netpolicy.dataplane.state import Address, Neighbour, Route
from netpolicy.flows.inside import somebody_in, subnets

LAN = Address(4, "br-lan", "192.168.1.1", 24)
MODEM = Address(4, "wan", "192.168.100.2", 24)  # a private network, but it leads out
DELEGATED = Address(6, "br-lan", "2001:db8:1::1", 64)
DEFAULT = Route(4, 254, "default", gateway="192.168.100.1", device="wan")


def devices(addresses, routes=(), outside=()):
    return [subnet.device for subnet in subnets(addresses, routes, outside)]


def test_a_private_network_is_inside_unless_its_device_leads_out():
    assert devices([LAN, MODEM]) == ["br-lan", "wan"]
    assert devices([LAN, MODEM], [DEFAULT]) == ["br-lan"]
    assert devices([LAN, MODEM], outside=["wan"]) == ["br-lan"]
    several = Route(4, 254, "default", "multipath", "192.0.2.1", "wanb", others=(("192.168.100.1", "wan"),))
    assert devices([LAN, MODEM], [several]) == ["br-lan"]


def test_a_delegated_network_counts_beside_a_private_one_and_a_public_one_alone_does_not():
    assert devices([LAN, DELEGATED]) == ["br-lan", "br-lan"]
    assert devices([DELEGATED, Address(4, "br-lan", "203.0.113.1", 24)]) == []


def test_loopback_link_local_and_single_addresses_are_no_networks():
    odd = [
        Address(4, "lo", "10.0.0.1", 8), Address(4, "wg0", "10.8.0.1", 32), Address(6, "br-lan", "fe80::1", 64),
        Address(4, "x", "no address", 24),
    ]  # fmt: skip
    assert devices(odd) == []
    assert devices([LAN, *odd]) == ["br-lan"]


def test_the_stand_in_is_a_known_neighbour_else_the_first_free_address():
    (lan,) = subnets([LAN], [], [])
    own = {"192.168.1.1"}
    known = Neighbour(4, "br-lan", "192.168.1.7", "02:00:00:00:00:07")
    assert somebody_in(lan, [Neighbour(4, "wan", "192.168.1.6", "02:00:00:00:00:06"), known], own) == "192.168.1.7"
    assert somebody_in(lan, [Neighbour(4, "br-lan", "192.168.1.1", "02:00:00:00:00:01")], own) == "192.168.1.2"
    (tiny,) = subnets([Address(4, "p2p", "10.0.0.1", 31)], [], [])
    assert somebody_in(tiny, [], {"10.0.0.1"}) == ""
    (four,) = subnets([Address(4, "p2p", "10.0.0.2", 30)], [], [])
    assert somebody_in(four, [], {"10.0.0.2"}) == "10.0.0.1"


def test_what_lies_in_a_network():
    (lan,) = subnets([LAN], [], [])
    assert lan.holds("192.168.1.200")
    assert not lan.holds("192.168.2.1") and not lan.holds("fd00::1") and not lan.holds("somewhere")
