"""The world as it is read: nothing of ours, everything of others."""

from __future__ import annotations

import socket

import pytest

from netpolicy.dataplane import rehearsal_world as worlds
from netpolicy.dataplane.rehearsal_world import Unrehearsable, read
from tests.netns import needs_root, run

pytestmark = [pytest.mark.kernel, needs_root]


def test_devices_with_what_makes_them_and_members_of_bridges_told(here):
    run("ip", "link", "add", "br-lan", "type", "bridge")
    run("ip", "link", "set", "lan_far", "master", "br-lan")
    run("ip", "link", "set", "wana", "mtu", "1400", "address", "02:00:00:00:00:aa")
    run("ip", "link", "set", "wanb_far", "down")
    found = {device.name: device for device in read().devices}
    assert found["lan_far"].is_member and not found["lan"].is_member and not found["br-lan"].is_member
    assert (found["wana"].mtu, found["wana"].mac.hex()) == (1400, "0200000000aa")
    assert found["wanb"].up and not found["wanb"].carrier and not found["wanb_far"].up


def test_ours_is_left_out(here):
    before = read()
    run("nft", "-f", "-", text="table inet netpolicy { chain x { }; }")
    run("ip", "route", "add", "10.77.0.0/16", "via", "192.168.1.9", "proto", "78")
    run("ip", "rule", "add", "priority", "7001", "fwmark", "1", "lookup", "7001", "protocol", "78")
    after = read()
    assert (after.route_messages, after.rule_messages, after.tables) == (
        before.route_messages,
        before.rule_messages,
        before.tables,
    )
    assert len(after.tables) == 2


def test_who_brings_a_packet_is_itself_a_gateway_or_nobody_known(here):
    world = read()
    assert world.nearest("192.168.1.5", "lan") == "192.168.1.5"
    assert world.nearest("10.9.0.4", "lan") == "192.168.1.77"
    assert world.nearest("203.0.113.5", "wana") == "192.0.2.1"
    assert world.nearest("203.0.113.5", "wanb") == ""
    assert world.nearest("fd00:1::5", "lan") == "fd00:1::5"


def test_each_of_several_next_hops_brings_packets_in_by_its_device(here):
    run("ip", "route", "replace", "default", "nexthop", "via", "192.0.2.1", "dev", "wana",
        "nexthop", "via", "198.51.100.1", "dev", "wanb")  # fmt: skip
    world = read()
    assert world.nearest("203.0.113.5", "wana") == "192.0.2.1"
    assert world.nearest("203.0.113.5", "wanb") == "198.51.100.1"


def test_neighbours_settings_and_open_ports_are_known(here):
    run("ip", "neigh", "add", "192.168.1.5", "lladdr", "02:00:00:00:00:05", "dev", "lan")
    here.sysctl("net/ipv4/conf/lan/rp_filter", 2)
    with socket.create_server(("192.168.1.1", 2222)), socket.create_server(("127.0.0.1", 2223)):
        world = read()
    assert world.neighbours["lan", "192.168.1.5"] == "02:00:00:00:00:05"
    assert world.settings["ipv4/conf/lan/rp_filter"] == "2" and world.settings["ipv4/ip_forward"] == "1"
    assert ("tcp", 4, 2222) in world.listening and ("tcp", 4, 2223) not in world.listening


def test_too_much_is_not_rehearsed(here, monkeypatch):
    monkeypatch.setattr(worlds, "MOST_TEXT", 100)
    with pytest.raises(Unrehearsable, match="longer than"):
        read()
    monkeypatch.setattr(worlds, "MOST_ROUTES", 2)
    with pytest.raises(Unrehearsable, match="more than 2 routes"):
        read()


def test_what_nft_says_against_a_text_is_told():
    with pytest.raises(ValueError, match="syntax error"):
        worlds.run_nft("nft", "nonsense\n")
