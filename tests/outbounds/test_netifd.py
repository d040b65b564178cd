"""netifd's dump: what it says is taken, what is odd is left out."""

from __future__ import annotations

import json
from pathlib import Path

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


# Entries of the dump as netifd of July 2026 gave them in each situation, without what nobody reads.
SEEN = json.loads((Path(__file__).parents[1] / "data/netifd.json").read_text())


@pytest.mark.parametrize(
    ("situation", "found"),
    [
        ("static", LogicalInterface("eth1", True, {4: "203.0.113.1"})),
        ("alias", LogicalInterface("eth1", True, {6: "2001:db8:a::1"})),
        ("alias of one that is down", LogicalInterface("", False, {}, "NO_DEVICE")),
        ("waits for a lease", LogicalInterface("eth2", False)),
        ("lease", LogicalInterface("eth2", True, {4: "198.51.100.1"})),
        ("lease, defaultroute 0", LogicalInterface("eth2", True, {4: "198.51.100.9"})),
        ("lease, ip4table 200", LogicalInterface("eth2", True, {4: "198.51.100.9"})),
        # `config route` of the same network comes first in the list.
        ("a default of another table", LogicalInterface("eth2", True, {4: "198.51.100.1"})),
        ("a default of a higher metric", LogicalInterface("eth2", True, {4: "198.51.100.1"})),
    ],
)
def test_what_netifd_really_says_is_understood(situation, found):
    entry = SEEN[situation]
    assert parse_dump({"interface": [entry]}) == {entry["interface"]: found}


def test_a_default_of_another_table_alone_tells_the_gateway_and_comes_after_an_inactive_one():
    other = {"target": "0.0.0.0", "mask": 0, "nexthop": "198.51.100.9", "table": 100}
    assert parse_dump({"interface": [{**WAN, "route": [other]}]})["wan"].gateways == {4: "198.51.100.9"}
    inactive = {"route": [{"mask": 0, "nexthop": "10.1.1.9"}]}
    both = parse_dump({"interface": [{**WAN, "route": [other], "inactive": inactive}]})["wan"].gateways
    assert both == {4: "10.1.1.9"}
    own = parse_dump({"interface": [{**WAN, "ip4table": 100, "route": [other], "inactive": inactive}]})["wan"].gateways
    assert own == {4: "198.51.100.9"}


@pytest.mark.parametrize("name", ['wan" accept; flush ruleset; #', "eth*", "a b", "x" * 16, "a\n", "a\\", "../x", ""])
def test_a_device_that_the_kernel_could_not_have_is_none(name):
    """It would be written into a rule's text."""
    assert parse_dump({"interface": [{**WAN, "l3_device": name, "device": name}]})["wan"].device == ""


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["interface", "route", "inactive", "errors", "mask", "nexthop", "device", "metric", "table"]
            ),
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
