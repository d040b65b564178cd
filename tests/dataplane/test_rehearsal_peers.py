"""The neighbours of a clone: who they are to the router, and what a probe costs."""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import time
from types import SimpleNamespace

import pytest

from netpolicy.dataplane import rehearsal_peers
from netpolicy.dataplane.rehearsal import Probe, rehearse
from netpolicy.dataplane.rehearsal_peers import Peers
from tests.dataplane.rehearsed import NOTHING, SSH4, WEB4, text, texts
from tests.netns import needs_root, run

pytestmark = [pytest.mark.kernel, needs_root]


async def test_a_neighbour_has_the_mac_address_that_is_known_of_it(here):
    run("ip", "neigh", "add", "192.168.1.5", "lladdr", "02:00:00:00:00:05", "dev", "lan")
    shut = text("ether saddr 02:00:00:00:00:05 drop")
    assert await texts(shut, SSH4, Probe("lan", "192.168.1.6", "192.168.1.1", "tcp", 22)) == ["silent", "answered"]


async def test_a_probe_may_bring_its_own_mac_address_and_the_answer_goes_there(here):
    shut = text("ether saddr 02:00:00:00:00:07 drop")
    seven = Probe("lan", "192.168.1.5", "192.168.1.1", "tcp", 22, "02:00:00:00:00:07")
    eight = Probe("lan", "192.168.1.6", "192.168.1.1", "tcp", 22, "02:00:00:00:00:08")
    assert await texts(shut, seven, eight) == ["silent", "answered"]


async def test_an_answer_that_is_dropped_on_its_way_back_is_told(here):
    assert await texts(text('iifname "wana" drop', "forward"), WEB4) == [
        "forwarded via wana, the answer does not come back"
    ]


async def test_an_answer_that_goes_to_another_device_than_the_question_came_from_is_told(here):
    run("ip", "route", "add", "default", "dev", "wanb", "table", "333")
    run("ip", "rule", "add", "priority", "50", "iif", "wana", "to", "192.168.1.0/24", "lookup", "333")
    assert await texts(NOTHING, WEB4) == ["forwarded via wana, the answer does not come back"]


async def test_a_gateway_that_is_known_by_its_link_local_address_is_found(here):
    here.sysctl("net/ipv6/conf/all/forwarding", 1)
    for device in ("lan", "wanb"):
        run("ip", "addr", "add", "fe80::2/64", "dev", device, "nodad")
    run("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "wanb")
    probe = Probe("lan", "fd00:1::5", "2001:db8:ff::7", "tcp", 443)
    assert await texts(NOTHING, probe) == ["forwarded via wanb"]


async def test_a_device_without_mac_addresses_takes_and_brings_packets(here):
    tun = open_tun("ppp0")
    run("ip", "addr", "add", "10.64.0.2", "peer", "10.64.0.1/32", "dev", "ppp0")
    run("ip", "link", "set", "ppp0", "up")
    run("ip", "route", "replace", "default", "dev", "ppp0")
    probes = WEB4, Probe("ppp0", "203.0.113.9", "10.64.0.2", "tcp", 22)
    assert await texts(NOTHING, *probes) == ["forwarded via ppp0", "answered"]
    os.close(tun)


def open_tun(name):
    """A tunnel device that somebody serves, so that it has a carrier."""
    opened = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(opened, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN, IFF_NO_PI
    return opened


@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
async def test_translated_connections_are_followed(here, protocol):
    probe = Probe("lan", "192.168.1.5", "203.0.113.7", protocol, 443)
    run("nft", "add table ip nat { chain p { type nat hook postrouting priority 100; oifname wana masquerade; }; }")
    assert await texts(NOTHING, probe) == ["forwarded via wana"]


async def test_a_port_that_is_forwarded_inside_is_forwarded_there(here):
    run(
        "nft",
        "add table ip nat { chain p { type nat hook prerouting priority -100; tcp dport 80 dnat to 192.168.1.9; }; }",
    )
    assert await texts(NOTHING, Probe("wana", "192.0.2.8", "192.0.2.2", "tcp", 80)) == ["forwarded via lan"]


async def test_a_hundred_probes_at_once_are_not_mixed_up(here):
    shut = text("tcp dport { 1000-1049 } reject with tcp reset")
    probes = [Probe("lan", f"192.168.1.{5 + n % 7}", "192.168.1.1", "tcp", 1000 + n) for n in range(100)]
    found = (await rehearse([shut], probes)).results[0]
    assert [one.kind for one in found] == ["refused"] * 50 + ["answered"] * 50


async def test_only_silence_is_waited_for(here):
    began = time.process_time(), time.monotonic()
    await texts(text("drop"), *[SSH4] * 50)
    assert time.monotonic() - began[1] < 14
    assert await texts(NOTHING, SSH4) == ["answered"]


async def test_a_line_without_carrier_forwards_nothing(here):
    run("ip", "link", "set", "wana_far", "down")
    run("ip", "route", "del", "default")
    run("ip", "route", "add", "default", "via", "192.0.2.1", "dev", "wana")
    found = await texts(NOTHING, WEB4)
    assert found in (["silent"], ["refused"])


class Scripted:
    """A selector of which the first looks find something; what is read then leads to more."""

    def __init__(self, *found):
        self.found = list(found)
        self.asked = []

    def select(self, seconds):
        self.asked.append(seconds)
        return [(SimpleNamespace(data=self.found.pop(0)), 0)] if self.found else []


@pytest.mark.parametrize("answers", [True, False])
def test_one_that_was_held_up_reads_what_came_meanwhile_before_it_calls_it_silence(monkeypatch, answers):
    attempt = SimpleNamespace(result=None)
    peers = Peers.__new__(Peers)
    peers._selector = Scripted(lambda: None, lambda: None, lambda: answers and setattr(attempt, "result", "answered"))
    clock = itertools.count(0.0, 1.0)  # a second between any two looks at it
    monkeypatch.setattr(rehearsal_peers, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    peers._wait([attempt], 0.2)
    assert attempt.result == ("answered" if answers else None)
    assert peers._selector.asked == [0.0] * (3 if answers else 4)


def test_a_line_that_never_rests_is_not_read_for_ever(monkeypatch):
    peers = Peers.__new__(Peers)
    peers._selector = Scripted(*[lambda: None] * 1000)
    monkeypatch.setattr(rehearsal_peers, "time", SimpleNamespace(monotonic=itertools.count(0.0, 1.0).__next__))
    peers._wait([SimpleNamespace(result=None)], 0.2)
    assert len(peers._selector.asked) == rehearsal_peers.MOST_LATE + 1
