"""Addresses, routes and rules said again to an empty namespace are listed there as they were here."""

from __future__ import annotations

import re

import pytest

from netpolicy.dataplane import rehearsal_replay as replay
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.rehearsal_clone import QUIET, write_settings
from netpolicy.dataplane.rehearsal_world import read
from tests.netns import needs_root, private_netns, run
from tests.router import DEVICES, await_local_routes

pytestmark = [pytest.mark.kernel, needs_root]

ODD = """
addr add 192.168.1.2/24 dev lan
addr add 10.0.8.1 peer 10.0.8.2/32 dev wanb
addr add 172.16.0.1/12 dev lan noprefixroute
addr add 2001:db8:5::1/128 dev lo
addr add fe80::77/64 dev lan nodad
route add 10.1.0.0/16 nexthop via 192.0.2.1 dev wana weight 2 nexthop via 198.51.100.1 dev wanb
route add 10.2.0.0/16 via 203.0.113.1 dev wana onlink mtu 1300
route add 10.3.0.0/16 via 10.2.0.9 dev wana onlink src 192.0.2.2 metric 70 table 300
route add blackhole 10.4.0.0/16
route add local 10.5.0.0/16 dev lo
route add prohibit 2001:db8:99::/48
route add 2001:db8:7::/48 nexthop via 2001:db8:b::5 nexthop via 2001:db8:b::6
route add default via fe80::1 dev wanb metric 512
rule add priority 100 not from 10.0.0.0/8 iif lan tos 0x10 lookup 300
rule add priority 101 to 10.1.0.0/16 ipproto tcp dport 80-90 uidrange 0-5 lookup 300
rule add priority 102 lookup main suppress_prefixlength 0
rule add priority 103 fwmark 0x10/0xff oif nowhere blackhole
rule add priority 104 goto 105
rule add priority 105 nop
"""
ODD_ADDRESSES = ("2001:db8:5::1", "fe80::77")


def listing():
    words = [["-4", "addr"], ["-6", "addr"], ["-4", "rule"], ["-6", "rule"]]
    words += [[family, "route", "show", "table", "all"] for family in ("-4", "-6")]
    text = "\n".join(run("ip", *one) for one in words)
    text = "\n".join(line for line in text.splitlines() if " state " not in line)  # links are no matter here
    text = "\n".join(sorted(line for line in text.splitlines() if "_far" not in line.split("@")[0].split("dev")[-1]))
    return re.sub(r"^\d+: |@\S+|link-netnsid \d+| linkdown| nodad", "", text, flags=re.M)


def there(world):
    """An empty namespace with the same devices under other numbers; the numbers there by those here."""
    run("ip", "link", "add", "first", "type", "veth", "peer", "name", "second")
    write_settings(QUIET)
    for name in DEVICES:
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}_far")
        run("ip", "link", "set", name, "addrgenmode", "none", "up")
        run("ip", "link", "set", f"{name}_far", "addrgenmode", "none", "up")
    await_local_routes(*[f"ff00::/8 dev {end} " for name in DEVICES for end in (name, f"{name}_far")])
    numbers = {
        line.split(": ")[1].split("@")[0]: int(line.split(":")[0]) for line in run("ip", "-o", "link").splitlines()
    }
    return {device.index: numbers[device.name] for device in world.devices}


def test_everything_is_listed_there_as_it_is_here(here):
    run("ip", "-batch", "-", text=ODD)
    await_local_routes(*[f"local {address} " for address in ODD_ADDRESSES])
    wanted, world = listing(), read()
    with private_netns():
        numbers = there(world)
        kernel = KernelSocket(ROUTE)
        notes = replay.addresses(kernel, world.address_messages, numbers)
        notes += replay.routes(kernel, world.route_messages, numbers)
        notes += replay.rules(kernel, world.rule_messages)
        kernel.close()
        await_local_routes(*[f"local {address} " for address in (*ODD_ADDRESSES, "fd00:1::1", "2001:db8:b::2")])
        assert listing() == wanted
    assert notes == []


def test_rules_that_were_deleted_here_are_deleted_there(here):
    run("ip", "rule", "del", "lookup", "main")
    world = read()
    with private_netns():
        kernel = KernelSocket(ROUTE)
        assert replay.rules(kernel, world.rule_messages) == []
        kernel.close()
        assert "lookup main" not in run("ip", "rule")


def test_devices_that_are_not_there_are_passed_over_and_refusals_are_noted_shortly(here):
    for number in range(9):
        run("ip", "route", "add", f"10.{number}.0.0/24", "via", "192.168.1.77")
    world = read()
    with private_netns():
        kernel = KernelSocket(ROUTE)
        assert replay.routes(kernel, world.route_messages, {}) == []
        without_addresses = {device.index: 1 for device in world.devices}
        notes = replay.routes(kernel, world.route_messages, without_addresses)
        kernel.close()
    assert len(notes) == replay.MOST_NOTES + 1 and "more routes of others are left out" in notes[-1]
