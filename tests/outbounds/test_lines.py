"""Whether a line can be used, and by which gateway: from what kernel and netifd show."""

from __future__ import annotations

import pytest

from netpolicy.core.model import Outbound
from netpolicy.dataplane.policy import Hop
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.state import Address, Link, Route
from netpolicy.outbounds.lines import LineState, LogicalInterface, View, line_states

WAN = Link(2, "wan0", True, True, "02:00:00:00:00:01")
TUN = Link(3, "tun0", True, True)
VIEW = View(
    {"wan0": WAN, "tun0": TUN},
    (Address(4, "wan0", "192.0.2.2", 24), Address(6, "wan0", "2001:db8::2", 64), Address(4, "tun0", "10.8.0.2", 32)),
    (Route(4, 254, "192.0.2.0/24", device="wan0", protocol=2),
     Route(4, 254, "default", gateway="192.0.2.1", device="wan0", metric=10, protocol=3),
     Route(4, 254, "default", gateway="192.0.2.99", device="wan0", metric=20, protocol=3),
     Route(6, 254, "default", gateway="fe80::1", device="wan0", protocol=9)),
)  # fmt: skip


def state(view: View = VIEW, **options: object) -> LineState:
    given = {"interface": "wan0", **options}
    return line_states([Outbound("line", "interface", **given)], view)[0]  # type: ignore[arg-type]


def test_gateways_are_learned_from_the_routes_of_others():
    assert state().hops == (Hop(4, "192.0.2.1"), Hop(6, "fe80::1"))
    assert state().up and "IPv4 and IPv6" in state().reason


def test_of_several_next_hops_each_device_has_its_own():
    both = (("192.0.2.7", "wan0"), ("10.8.0.1", "tun0"))
    first = Route(4, 254, "default", "multipath", *both[0], metric=5, protocol=3, others=both[1:])
    second = replace(first, gateway="10.8.0.1", device="tun0", others=(both[0],))
    for route in (first, second):
        view = replace(VIEW, routes=(*VIEW.routes, route))
        assert state(view).gateway(4) == "192.0.2.7", "the metric is better than that of the others"
        assert state(view, interface="tun0").hops == (Hop(4, "10.8.0.1"),)
    straight = replace(second, gateway="", others=(("", "wan0"),))
    assert state(replace(VIEW, routes=(straight,))).hops == (Hop(4, ""),)
    ours = replace(second, protocol=78)
    assert not state(replace(VIEW, routes=(ours,))).up


def test_our_own_routes_teach_nothing():
    routes = tuple(replace(route, protocol=78) for route in VIEW.routes)
    assert not state(replace(VIEW, routes=routes)).up


def test_a_configured_gateway_wins_when_it_is_near():
    assert state(gateway="192.0.2.7").gateway(4) == "192.0.2.7"
    assert state(gateway6="fe80::7").gateway(6) == "fe80::7"
    far = state(gateway="198.51.100.1", gateway6="2001:db8:ffff::1")
    assert not far.up and "198.51.100.1, 2001:db8:ffff::1 is not on a subnet of wan0" in far.reason


def test_a_gateway_of_no_subnet_counts_where_main_has_it_and_an_own_address_never():
    onlink = (Route(4, 254, "default", gateway="10.99.0.1", device="wan0", metric=5, protocol=4),)
    logical = {"wan0": LogicalInterface("wan0", True, {4: "10.99.0.1"})}
    for given in ({}, {"gateway": "10.99.0.1"}):
        assert state(replace(VIEW, routes=onlink), **given).hops == (Hop(4, "10.99.0.1"),)
    assert state(replace(VIEW, routes=onlink, logical=logical)).hops == (Hop(4, "10.99.0.1"),)
    own = state(gateway="192.0.2.2", gateway6="2001:db8:0::2")
    assert not own.up and "gateway 192.0.2.2, 2001:db8:0::2 is an address of this router" in own.reason


def test_netifd_knows_device_and_gateway():
    logical = {"wan": LogicalInterface("wan0", True, {4: "192.0.2.50"})}
    found = state(replace(VIEW, logical=logical), interface="wan")
    assert (found.device, found.gateway(4)) == ("wan0", "192.0.2.50")


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (replace(VIEW, links={}), "there is no device wan0"),
        (replace(VIEW, links={"wan0": replace(WAN, up=False)}), "wan0 is switched off"),
        (replace(VIEW, links={"wan0": replace(WAN, carrier=False)}), "wan0 has no carrier"),
        (replace(VIEW, routes=()), "no gateway is known on wan0: set option gateway or gateway6"),
        (replace(VIEW, logical={"wan0": LogicalInterface("wan0", False, {}, "NO_DEVICE")}), "wan0 is down: NO_DEVICE"),
    ],
)
def test_a_line_that_is_down_says_why(view, reason):
    found = state(view)
    assert not found.up and reason in found.reason and found.hops == ()


def test_a_network_without_a_device_has_none_of_its_own_name():
    """An alias (`device '@wan'`) of a network that is down."""
    logical = {"wan6": LogicalInterface("", False, {}, "NO_DEVICE"), "ppp": LogicalInterface("eth1", False)}
    found = [state(replace(VIEW, logical=logical), interface=name) for name in ("wan6", "ppp", "gone")]
    assert [(one.device, one.reason) for one in found] == [
        ("", "interface wan6 is down: NO_DEVICE"), ("eth1", "interface ppp is down"),
        ("gone", "there is no device gone"),
    ]  # fmt: skip


def test_a_tunnel_needs_no_gateway_but_an_address():
    assert state(interface="tun0").hops == (Hop(4, ""),)
    assert not state(replace(VIEW, addresses=()), interface="tun0").up


def test_an_address_under_test_by_the_kernel_does_not_count():
    tentative = (Address(6, "tun0", "2001:db8:1::2", 64, tentative=True),)
    assert not state(replace(VIEW, addresses=tentative), interface="tun0").up


def test_a_foreign_table_is_up_while_it_has_routes():
    view = replace(VIEW, routes=(Route(4, 100, "default", device="tun0", protocol=3),))
    full, empty, always = line_states(
        [Outbound("a", "table", table=100), Outbound("b", "table", table=101), Outbound("c", "direct")], view
    )
    assert full.up and not empty.up and empty.reason == "table 101 is empty"
    assert always.up
    assert (full.hops, full.reason) == ((Hop(4, ""),), "table 100 has routes for IPv4")


def test_a_foreign_table_whose_owner_refuses_everything_is_down():
    shut = tuple(Route(family, 100, "default", "unreachable", metric=9) for family in (4, 6))
    (found,) = line_states([Outbound("a", "table", table=100)], replace(VIEW, routes=shut))
    assert (found.up, found.hops, found.reason) == (False, (), "table 100 refuses everything")
    half = (*shut, Route(6, 100, "default", device="tun0", protocol=3))
    assert line_states([Outbound("a", "table", table=100)], replace(VIEW, routes=half))[0].hops == (Hop(6, ""),)


def test_the_lan_may_have_the_link_local_address_of_the_provider():
    mine = (*VIEW.addresses, Address(6, "br-lan", "fe80::1", 64, "link"))
    routes = tuple(route for route in VIEW.routes if route.family == 4)
    found = state(replace(VIEW, addresses=mine, routes=routes), gateway6="fe80::1")
    assert Hop(6, "fe80::1") in found.hops
