"""Which devices are watched: those of clients, by the bridge or by its ports, and never a way out."""

from __future__ import annotations

from netpolicy.dataplane.state import Address, Link, Route
from netpolicy.flows.inside import subnets
from netpolicy.flows.watched import LOOPBACK, OUTBOUND, PORTS, choose

LINKS = (
    Link(1, "lo", True, True),
    Link(2, "br-lan", True, True, kind="bridge"),
    Link(3, "lan1", True, True, master=2),
    Link(4, "wlan0", True, True, master=2),
    Link(5, "lan2", False, False, master=2),
    Link(6, "wan", True, True),
    Link(7, "wg0", True, True, kind="wireguard"),
    Link(8, "guest", True, True),
    Link(9, "off", False, False),
)
ADDRESSES = (
    Address(4, "br-lan", "192.168.1.1", 24), Address(4, "wan", "10.0.0.2", 24), Address(4, "wg0", "10.9.0.1", 24),
    Address(4, "guest", "192.168.3.1", 24), Address(4, "off", "192.168.4.1", 24), Address(4, "lo", "127.0.0.1", 8),
)  # fmt: skip
ROUTES = (Route(4, 254, "default", "10.0.0.1", "wan"),)


def wanted(outside: tuple[str, ...] = ("wan",), offload: bool = False) -> set[str]:
    inside = subnets(ADDRESSES, ROUTES, outside)
    return {one.name for one in choose(LINKS, inside, outside, offload) if one.wanted}


def test_devices_with_clients_behind_them_are_watched_whatever_kind_they_are() -> None:
    assert wanted() == {"br-lan", "wg0", "guest"}


def test_a_tunnel_that_is_an_outbound_is_not_watched() -> None:
    assert wanted(("wan", "wg0")) == {"br-lan", "guest"}


def test_a_way_out_with_a_private_address_is_refused_by_name() -> None:
    found = {one.name: one for one in choose(LINKS, subnets(ADDRESSES, ROUTES, ()), ("wan",), False)}
    assert (found["wan"].wanted, found["wan"].why) == (False, OUTBOUND)
    assert found["lo"].why == LOOPBACK
    assert found["off"].why == "it is down"


def test_with_offload_the_ports_are_watched_in_place_of_the_bridge() -> None:
    assert wanted(offload=True) == {"lan1", "wlan0", "wg0", "guest"}
    found = {one.name: one for one in choose(LINKS, subnets(ADDRESSES, ROUTES, ("wan",)), ("wan",), True)}
    assert found["br-lan"].why == PORTS
    assert "br-lan" in found["lan1"].why
    assert found["lan2"].why == "it is down"


def test_a_bridge_without_a_port_that_is_up_is_watched_itself() -> None:
    links = tuple(link for link in LINKS if link.name not in ("lan1", "wlan0"))
    inside = subnets(ADDRESSES, ROUTES, ("wan",))
    assert "br-lan" in {one.name for one in choose(links, inside, ("wan",), True) if one.wanted}
