"""Changes of the network and of nft tables are told, with their owner, and losses are admitted."""

from __future__ import annotations

import asyncio
import select
import time

import pytest

from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_watch import Change, Watch
from netpolicy.dataplane.state import Route, RoutingRule
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def watch():
    with private_netns():
        run("ip", "link", "add", "wan", "type", "veth", "peer", "name", "far")
        opened = Watch()
        yield opened
        opened.close()


def until(watch: Watch, wanted: str, seconds: float = 20.0) -> Change:
    """The first change whose text holds the words; fails with all that was told instead."""
    told: list[Change] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        select.select([watch], [], [], deadline - time.monotonic())
        found = watch.read()
        told += found
        for change in found:
            if wanted in change.text:
                return change
    raise AssertionError(f"{wanted!r} was not told: {told}")


def test_nothing_is_told_when_nothing_happens(watch):
    assert watch.read() == []
    assert select.select([watch], [], [], 0)[0] == []


def test_links_and_addresses_are_told(watch):
    run("ip", "link", "set", "wan", "up")
    assert until(watch, "link wan changed (up").kind == "link"
    run("ip", "address", "add", "10.7.0.2/24", "dev", "wan")
    assert until(watch, "address 10.7.0.2/24 dev wan added") == Change(
        "address", False, "address 10.7.0.2/24 dev wan added"
    )
    run("ip", "address", "add", "fd07::2/64", "dev", "wan")
    assert until(watch, "fd07::2/64").kind == "address"
    run("ip", "link", "del", "wan")
    assert until(watch, "link wan deleted").kind == "link"


def test_a_qdisc_that_comes_and_goes_is_told(watch):
    for word in ("add", "del"):
        run("tc", "qdisc", word, "dev", "wan", "ingress")
        found = until(watch, "traffic control of wan changed")
        assert (found.kind, found.device) == ("tc", "wan")


@pytest.mark.parametrize("family", [4, 6])
def test_routes_and_rules_are_told_with_their_owner(watch, family):
    netlink = open_netlink("builtin")
    netlink.add_route(Route(family, 7001, "default", "unreachable"))
    change = until(watch, "unreachable default table 7001")
    assert (change.kind, change.own) == ("route", True)
    netlink.add_rule(RoutingRule(family, 7001, 7001, 0x01000000, 0x37000000))
    change = until(watch, "priority 7001 fwmark 0x01000000/0x37000000 lookup 7001")
    assert (change.kind, change.own) == ("rule", True)
    run("ip", f"-{family}", "rule", "del", "priority", "7001")
    assert until(watch, "deleted").own
    run("ip", f"-{family}", "rule", "add", "priority", "100", "lookup", "main")
    assert not until(watch, "priority 100 lookup 254").own
    run("ip", f"-{family}", "route", "add", "unreachable", "default", "table", "7002")
    assert not until(watch, "table 7002").own
    netlink.close()


def test_nft_tables_are_told_with_their_owner(watch):
    run("nft", "add table inet netpolicy; add chain inet netpolicy classify")
    assert until(watch, "chain added in table inet netpolicy").own
    run("nft", "add table inet fw4; add set inet fw4 s { type ipv4_addr; }")
    assert not until(watch, "set added in table inet fw4").own
    run("nft", "add table ip netpolicy")
    assert not until(watch, "table added in table ip netpolicy").own
    run("nft", "delete table inet netpolicy")
    assert until(watch, "table deleted in table inet netpolicy") == Change(
        "table", True, "table deleted in table inet netpolicy"
    )
    run("nft", "delete table ip netpolicy")
    assert until(watch, "table deleted in table ip netpolicy").kind == "nft"


def test_a_thousand_new_elements_are_one_change(watch):
    run("nft", "add table inet netpolicy; add set inet netpolicy s { type ipv4_addr; }")
    until(watch, "set added")
    elements = ", ".join(f"10.0.{n >> 8}.{n & 255}" for n in range(1000))
    run("nft", "-f", "-", text=f"add element inet netpolicy s {{ {elements} }}")
    told: list[Change] = []
    while select.select([watch], [], [], 0.2)[0]:
        told += watch.read()
    assert told.count(Change("nft", True, "elements added in table inet netpolicy")) == 1


def test_a_storm_beyond_the_buffer_is_told_as_an_overrun_and_the_watch_lives_on():
    with private_netns():
        watch = Watch(receive_buffer=4096)
        run("ip", "-batch", "-", text="".join(f"route add unreachable 10.{n}.0.0/16\n" for n in range(200)))
        assert until(watch, "read everything again").kind == "overrun"
        while watch.read():
            pass
        run("ip", "route", "add", "unreachable", "192.0.2.0/24")
        assert until(watch, "192.0.2.0/24").kind == "route"
        watch.close()


def test_it_serves_an_asyncio_loop(watch):
    async def wait_for_a_link() -> list[Change]:
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[list[Change]] = loop.create_future()
        loop.add_reader(watch.fileno(), lambda: heard.done() or heard.set_result(watch.read()))
        run("ip", "link", "set", "wan", "up")
        try:
            return await asyncio.wait_for(heard, 20)
        finally:
            loop.remove_reader(watch.fileno())

    assert any(change.kind == "link" for change in asyncio.run(wait_for_a_link()))


def test_closing_twice_is_fine(watch):
    watch.close()
    watch.close()


@pytest.mark.parametrize(("handle", "own"), [("4e50", True), ("9", False)])
def test_a_queue_that_is_taken_off_a_device_is_told_with_its_owner_and_adjusting_one_is_not(watch, handle, own):
    queue = ("dev", "wan", "root", "handle", f"{handle}:", "pfifo", "limit")
    run("tc", "qdisc", "add", *queue, "10")
    run("tc", "qdisc", "change", *queue, "20")
    assert {change.kind for change in watch.read()} == {"tc"}
    run("tc", "qdisc", "del", "dev", "wan", "root")
    found = until(watch, f"queue {handle}: of wan deleted")
    assert (found.kind, found.own, found.device) == ("queue", own, "wan")
