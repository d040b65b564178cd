"""A group that balances: which line each of two thousand new connections gets, and what happens when one dies.

By the classes in conntrack, which is where the kernel keeps what it decided.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolicy.dataplane.policy import USUAL_MARKS
from netpolicy.flows import ctnetlink
from netpolicy.flows.model import UDP
from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.kernel.streams import CLIENTS, SERVER, Place, place

pytestmark = pytest.mark.kernel

PORT = 4790
PORTS = itertools.count(20_000)
BURST = 200  # more at a time are lost where nobody has told the address of the next hop yet
REMEMBERED = 600  # seconds for which conntrack knows what was asked, for a machine that does much else
CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option inspector 'off'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
	option weight '3'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
config outbound 'both'
	option type 'group'
	option strategy '{strategy}'
	option sticky '{sticky}'
	list member 'wan_a'
	list member 'wan_b'
config rule 'all'
	option priority '10'
	list dest_port '4790'
	list proto 'udp'
	option route 'both'
"""


def send(where: Place, count: int, family: int = 4, client: int = 10) -> Counter[int]:
    """The classes of so many new flows."""
    before = Counter(classes())
    there = before.total()
    kind = {4: socket.AF_INET, 6: socket.AF_INET6}[family]
    address = {4: f"192.168.1.{client}", 6: f"fd00:1::{client}"}[family]
    for sent in range(0, count, BURST):
        burst = min(BURST, count - sent)
        with where.client.entered():
            for _ in range(burst):
                with socket.socket(kind, socket.SOCK_DGRAM) as one:
                    one.bind((address, next(PORTS)))  # the kernel would choose some twice
                    one.sendto(b"?", (SERVER[family], PORT))
        until(lambda: len(classes()) >= there + sent + burst)  # noqa: B023 - asked at once
    return Counter(classes()) - before


def classes() -> list[int]:
    found = [one for one in ctnetlink.dump() if one.protocol == UDP and one.destination_port == PORT]
    return [USUAL_MARKS.number(one.mark) for one in found]


@contextlib.contextmanager
def balancing(folder: Path, config: str, ipv6_by_a: bool = False) -> Iterator[tuple[Place, Netpolicyd]]:
    """The place, and a daemon in it."""
    with place() as where:
        if not ipv6_by_a:
            where.router.run("ip", "-6", "route", "del", "default")
        with netpolicyd(folder, config) as daemon:
            daemon.settled()  # and conntrack at work
            where.router.sysctl("net/netfilter/nf_conntrack_udp_timeout", REMEMBERED)
            yield where, daemon


def test_three_to_one_is_three_to_one_and_a_line_that_dies_leaves_all_to_the_other(tmp_path):
    with balancing(tmp_path, CONFIG.format(strategy="balance", sticky=0)) as (where, daemon):
        numbers = {one["name"]: one["class"] for one in daemon.settled()["outbounds"]}
        a, b = numbers["wan_a"], numbers["wan_b"]
        found = send(where, 2000)
        assert abs(found[a] - 1500) <= 30 and abs(found[b] - 500) <= 10  # two in a hundred
        assert daemon.call("status")["inspector"]["disagreements"] == 0
        # The other family has one line.
        assert set(send(where, 20, 6)) == {b}
        # Shares are changed while it runs, and are exact at once.
        assert daemon.call("outbound_set", name="wan_b", weight=2)["ok"]
        assert send(where, 500) == {a: 300, b: 200}
        assert daemon.call("outbound_set", name="wan_b", weight=0)["ok"]
        where.server.run("ip", "link", "set", "eth0", "down")
        until(lambda: not next(one["up"] for one in daemon.call("outbounds")["outbounds"] if one["name"] == "wan_a"))
        daemon.settled()
        assert set(send(where, 20)) == {b}


def test_a_group_uses_for_each_family_a_line_that_has_it(tmp_path):
    with balancing(tmp_path, CONFIG.format(strategy="failover", sticky=0)) as (where, daemon):
        numbers = {one["name"]: one["class"] for one in daemon.settled()["outbounds"]}
        assert set(send(where, 10)) == {numbers["wan_a"]}
        assert set(send(where, 10, 6)) == {numbers["wan_b"]}
        for address, goes in ((SERVER[4], "wan_a"), (SERVER[6], "wan_b")):
            told = daemon.call("decide", facts={"dest_addr": address, "proto": "udp", "dest_port": "4790"})
            assert (told["rule"], told["outbound"]) == ("all", goes)


def test_a_client_stays_with_its_line_while_it_makes_connections_and_over_a_reload(tmp_path):
    with balancing(tmp_path, CONFIG.format(strategy="balance", sticky=REMEMBERED), ipv6_by_a=True) as (where, daemon):
        numbers = {one["name"]: one["class"] for one in daemon.settled()["outbounds"]}
        lines: Counter[int] = Counter()
        kept: dict[tuple[int, int], int] = {}
        for client in CLIENTS:
            for family in (4, 6):
                ((kept[client, family], count),) = send(where, 5, family, client).items()
                assert count == 5
                lines[kept[client, family]] += 1
        assert lines == {numbers["wan_a"]: 12, numbers["wan_b"]: 4}  # three to one of sixteen clients
        assert daemon.call("reload")["ok"] and daemon.call("plan")["changes"] == []
        for (client, family), number in kept.items():
            assert set(send(where, 2, family, client)) == {number}
        assert daemon.call("status")["inspector"]["disagreements"] == 0
