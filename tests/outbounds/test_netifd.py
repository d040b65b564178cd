"""netifd's dump: what it says is taken, what is odd is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.outbounds.lines import LogicalInterface
from netpolicy.outbounds.netifd import parse_dump

WAN = {
    "interface": "wan", "up": True, "l3_device": "pppoe-wan", "device": "eth1",
    "route": [{"target": "10.0.0.0", "mask": 8, "nexthop": "10.1.1.1"},
              {"target": "0.0.0.0", "mask": 0, "nexthop": "192.0.2.1"},
              {"target": "0.0.0.0", "mask": 0, "nexthop": "192.0.2.9"},
              {"target": "::", "mask": 0, "nexthop": "fe80::1"}],
}  # fmt: skip


def test_the_layer_three_device_and_the_first_gateways_are_taken():
    found = parse_dump({"interface": [WAN, {"interface": "loopback", "up": True}]})
    assert found == {"wan": LogicalInterface("pppoe-wan", True, {4: "192.0.2.1", 6: "fe80::1"})}


def test_the_error_of_an_interface_that_is_down_is_told():
    entry = {"interface": "wan", "up": False, "device": "eth1", "errors": [{"subsystem": "ppp", "code": "AUTH_FAILED"}]}
    assert parse_dump({"interface": [entry]})["wan"] == LogicalInterface("eth1", False, {}, "AUTH_FAILED")


def test_a_gateway_of_nothing_is_none():
    entry = {**WAN, "route": [{"mask": 0, "nexthop": "0.0.0.0"}, {"mask": 0, "nexthop": "::"}]}
    assert parse_dump({"interface": [entry]})["wan"].gateways == {}


def test_a_gateway_without_a_default_route_in_main_is_known_too():
    """`option defaultroute 0`, as a second line often has it; what is in main comes first."""
    inactive = {"route": [{"mask": 0, "nexthop": "10.1.1.9"}, {"mask": 0, "nexthop": "fe80::9"}]}
    assert parse_dump({"interface": [{**WAN, "route": [], "inactive": inactive}]})["wan"].gateways == {
        4: "10.1.1.9", 6: "fe80::9",
    }  # fmt: skip
    both = parse_dump({"interface": [{**WAN, "inactive": inactive}]})["wan"].gateways
    assert both == {4: "192.0.2.1", 6: "fe80::1"}


@pytest.mark.parametrize("name", ['wan" accept; flush ruleset; #', "eth*", "a b", "x" * 16, "a\n", "a\\", "../x", ""])
def test_a_device_that_the_kernel_could_not_have_is_none(name):
    """It would be written into a rule's text."""
    assert parse_dump({"interface": [{**WAN, "l3_device": name, "device": name}]})["wan"].device == ""


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["interface", "route", "inactive", "errors", "mask", "nexthop", "device"]),
            inner,
            max_size=4,
        )
    ),
)


@given(ANY)
def test_no_reply_can_break_it(reply):
    assert isinstance(parse_dump(reply), dict)
    entry = {"interface": "x", "route": [reply], "errors": [reply], "inactive": reply}
    assert isinstance(parse_dump({"interface": [entry, reply]}), dict)
