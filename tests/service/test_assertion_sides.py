"""Whom the words of an assertion mean."""

from __future__ import annotations

import pytest

from netpolicy.core.named_list import NamedList
from netpolicy.dataplane.state import Address, Link, Neighbour, Route
from netpolicy.outbounds.lines import LogicalInterface, View
from netpolicy.service.assertion_sides import MOST_ENDS, End, Ground

DEVICES = ("lo", "br-lan", "br-guest", "wan0", "wg0", "tun0", "bare")


def house(**changes) -> View:
    """A LAN, a guest network, a line out for both families, a tunnel with routes, one that covers the internet."""
    links = {name: Link(index, name, True, True) for index, name in enumerate(DEVICES, 1)}
    addresses = (
        Address(4, "lo", "127.0.0.1", 8, "host"),
        Address(4, "br-lan", "192.168.1.1", 24),
        Address(6, "br-lan", "fd00:1::1", 64),
        Address(6, "br-lan", "fe80::1", 64, "link"),
        Address(4, "br-guest", "192.168.3.1", 24),
        Address(4, "wan0", "198.51.100.2", 24),
        Address(6, "wan0", "2001:db8:a::2", 64),
        Address(4, "wg0", "10.8.0.1", 32),
        Address(4, "tun0", "10.9.0.1", 32),
    )
    routes = (
        Route(4, 254, "192.168.1.0/24", device="br-lan", protocol=2),
        Route(4, 254, "192.168.3.0/24", device="br-guest", protocol=2),
        Route(4, 254, "198.51.100.0/24", device="wan0", protocol=2),
        Route(4, 254, "default", gateway="198.51.100.1", device="wan0", protocol=3),
        Route(6, 254, "fd00:1::/64", device="br-lan", protocol=2),
        Route(6, 254, "fe80::/64", device="br-lan", protocol=2),
        Route(6, 254, "default", gateway="2001:db8:a::1", device="wan0", protocol=3),
        Route(4, 254, "10.8.0.0/24", device="wg0", protocol=3),
        Route(4, 900, "0.0.0.0/1", device="tun0", protocol=3),
        Route(4, 254, "10.20.0.0/16", gateway="192.168.1.9", device="br-lan", protocol=3),
    )
    return View(
        links, addresses, routes, {"lan": LogicalInterface("br-lan", True), "gone": LogicalInterface("ppp9", True)}
    )


NEIGHBOURS = (Neighbour(4, "br-lan", "192.168.1.77", "02:00:00:00:00:77"),)
LISTS = (
    NamedList("office", ("10.20.0.0/16", "2001:db8:5::7")),
    NamedList("homes", ("192.168.0.0/16",)),
    NamedList("many", tuple(f"10.{number}.0.1" for number in range(200))),
    NamedList("names", ("example.org",)),
)


@pytest.fixture
def ground() -> Ground:
    return Ground(house(), (), NEIGHBOURS, LISTS)


def test_a_network_of_netifd_is_its_device_with_a_known_neighbour_in_each_family(ground):
    side = ground.who("lan")
    assert side.devices == {"br-lan"}
    assert side.ends == (End("br-lan", 4, "192.168.1.77"), End("br-lan", 6, "fd00:1::2"))
    assert ground.who("br-lan") == side


def test_nobody_met_is_the_router(ground):
    assert ground.whom("br-guest").ends == (End("br-guest", 4, "192.168.3.2"),)


def test_a_device_that_leads_out_means_somebody_on_the_internet_who_is_not_near(ground):
    assert ground.whom("wan0").ends == (End("wan0", 4, "203.0.113.77"), End("wan0", 6, "2001:db8:77::77"))
    assert ground.whom("tun0").ends == (End("tun0", 4, "203.0.113.77"),)


def test_each_device_of_several_next_hops_leads_out():
    routes = (Route(4, 254, "default", "multipath", "198.51.100.1", "wan0", others=(("", "bare"),)),)
    view = house()
    ground = Ground(View(view.links, view.addresses, routes, view.logical), (), NEIGHBOURS, LISTS)
    assert ground.leads_out("wan0", 4) and ground.leads_out("bare", 4) and not ground.leads_out("bare", 6)
    assert [end.device for end in ground.whom("bare").ends] == ["bare"]


def test_a_tunnel_without_a_network_of_its_own_means_who_is_routed_there(ground):
    assert ground.whom("wg0").ends == (End("wg0", 4, "10.8.0.2"),)


def test_an_address_comes_in_by_the_device_that_main_knows_and_ours_is_the_router_itself(ground):
    assert ground.who("10.20.3.4").ends == (End("br-lan", 4, "10.20.3.4"),)
    assert ground.who("192.168.3.1").ends == (End("lo", 4, "192.168.3.1"),)
    assert ground.whom("10.20.3.4").devices == frozenset()
    assert ground.who("8.8.8.8").ends == (End("wan0", 4, "8.8.8.8"),)


def test_a_range_means_somebody_in_each_network_near_that_it_meets(ground):
    assert ground.who("192.168.0.0/16").ends == (End("br-lan", 4, "192.168.1.77"), End("br-guest", 4, "192.168.3.2"))
    assert ground.who("@homes").ends == ground.who("192.168.0.0/16").ends
    assert ground.who("10.20.0.0/16").ends == (End("br-lan", 4, "10.20.0.1"),)


def test_a_list_means_some_of_its_addresses(ground):
    assert [end.address for end in ground.whom("@office").ends] == ["10.20.0.1", "2001:db8:5::7"]
    assert len(ground.whom("@many").ends) == MOST_ENDS


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("nowhere", "nowhere: no network or device has that name"),
        ("gone", "gone: its device ppp9 is not there"),
        ("bare", "bare: bare has no address"),
        ("@names", "@names has no addresses"),
        ("@none", "@none has no addresses"),
    ],
)
def test_who_cannot_be_found_is_said(ground, word, problem):
    assert ground.who(word).problem == problem


def test_who_comes_in_by_no_device_is_said():
    view = house()
    without = View(view.links, view.addresses, tuple(one for one in view.routes if one.destination != "default"))
    assert Ground(without).who("8.8.8.8").problem == "no route says by which device 8.8.8.8 comes in"
