"""What a change of rules does to connections that are open: real TCP, real conntrack, hundreds of them.

Not one byte of a connection that stays may be lost, and not one entry of it be replaced.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator

import pytest

from netpolicy.flows import ctnetlink
from netpolicy.flows.model import TCP, FlowEvent
from netpolicy.flows.watch import FlowWatch
from netpolicy.service.connections import Connections
from tests.kernel.streams import (
    FIREWALL,
    LINES,
    SERVER,
    Place,
    Stream,
    classes,
    in_a_hurry,
    place,
    spread,
    steady_datagrams,
)  # fmt: skip
from tests.netns import needs_root, run
from tests.service.open_flows import rule
from tests.service.parts import House

pytestmark = [pytest.mark.kernel, needs_root]

ROUNDS = 10  # of words both ways in each connection, after a reload that they talk through
VIDEO = rule("video", "+dest_port=443", "route=wan_b")
CALLS = rule("calls", "+dest_port=5060", "switch_route=wan_b")
CALLS_BY_A = rule("calls", "+dest_port=5060", "switch_route=wan_a")


class Street:
    """The place, an engine that rules it, and the events of its connections on the way to the service."""

    def __init__(self, where: Place, house: House) -> None:
        self.place = where
        self.house = house
        self.watch = FlowWatch()
        self.connections = Connections(house.engine, self.watch.table)
        self._ended: set[tuple[str, int]] = set()

    def hear(self, events: list[FlowEvent]) -> None:
        for event in events:
            if event.flow is not None and event.kind == "new":
                self.connections.note_new(event.flow, 0.0)
            elif event.flow is not None and event.kind == "destroy" and event.flow.protocol == TCP:
                self._ended.add((event.flow.source, event.flow.source_port))

    async def forgotten(self, streams: list[Stream]) -> set[tuple[str, int]]:
        """The ends of those whose entry was deleted, by the kernel's own word. An id says less: it may come back."""
        for _ in range(1000):
            if not select.select([self.watch], [], [], 0)[0]:
                break
            await asyncio.sleep(0)
        return self._ended & {one.ends for one in streams}

    async def load(self, *rules: str) -> None:
        assert await self.house.load(LINES + "".join(rules)) == ""

    async def change_under(self, streams: list[Stream], *rules: str) -> None:
        """Other rules while all of them talk."""
        await self.change_config_under(streams, LINES + "".join(rules))

    async def change_config_under(self, streams: list[Stream], config: str) -> None:
        loaded = asyncio.Event()
        talking = [asyncio.create_task(one.talk(ROUNDS, loaded)) for one in streams]
        assert await self.house.load(config) == ""
        loaded.set()
        await asyncio.gather(*talking)


@pytest.fixture
async def street(tmp_path) -> AsyncIterator[Street]:
    with place() as where:
        built = Street(where, House(tmp_path, LINES))
        built.watch.attach(asyncio.get_running_loop(), built.hear)
        yield built
        built.watch.close()


async def test_a_plain_route_moves_nothing(street):
    await street.load(VIDEO)
    streams = spread(street.place, 443, 24) + spread(street.place, 80, 24)
    before = street.place.flows()
    await street.change_under(
        streams, rule("video", "+dest_port=443", "route=wan_a"), rule("all", "any=1", "route=wan_b")
    )
    after = street.place.flows()
    assert await street.forgotten(streams) == set()
    assert {ends: flow.mark for ends, flow in before.items()} == {ends: flow.mark for ends, flow in after.items()}
    assert [one.error for one in streams if one.error] == []
    fresh = street.place.open(443)
    assert classes([street.place.flows()[fresh.ends]]) == [1]


async def test_a_new_block_cuts_exactly_what_it_names_while_the_others_lose_no_byte(street):
    await street.load(VIDEO)
    streams = spread(street.place, 443, 120) + spread(street.place, 80, 120)
    assert len(street.place.flows()) == 240
    await street.change_under(
        streams, VIDEO, rule("stop", "+dest_port=443", "+src_addr=192.168.1.12", "+src_addr=fd00:1::12", "block=reject",
                             priority=90))  # fmt: skip
    cut = {one.ends for one in streams if one.port == 443 and one.ends[0] in ("192.168.1.12", "fd00:1::12")}
    assert len(cut) == 14 or len(cut) == 15
    assert {one.ends for one in streams if one.error} == cut
    assert await street.forgotten(streams) == cut
    assert min(one.received for one in streams if one.ends not in cut) > ROUNDS * 128
    assert f"{len(cut)} open connections are decided again by the new rules" in street.house.said("info")


async def test_a_block_bites_also_where_only_the_server_speaks(street):
    """Its packet comes first and looks like a connection from outside: the client's answers are cut."""
    await street.load(VIDEO)
    streams = spread(street.place, 443, 32)
    for one in streams:
        one.is_near_silent = True
    await street.change_under(streams, VIDEO, rule("stop", "+dest_port=443", "block=reject", priority=90))
    assert all(one.error for one in streams)


async def test_a_silent_block_stops_a_download_when_its_window_is_full(street):
    """The client is never told, and what its answers allowed before still arrives; then no more."""
    await street.load(VIDEO)
    streams = spread(street.place, 443, 8)
    await street.load(VIDEO, rule("stop", "+dest_port=443", "block=drop", priority=90))
    assert all(await asyncio.gather(*(_is_stuck(one) for one in streams)))


async def _is_stuck(one: Stream) -> bool:
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(one.far, b"x" * 20_000_000), 0.5)
    except (OSError, asyncio.TimeoutError):
        return True
    return False


@pytest.mark.parametrize(
    ("before", "after", "moved_to"),
    [
        ((), (CALLS,), [2]),  # new
        ((CALLS_BY_A,), (CALLS,), [2]),  # changed
        ((rule("calls", "+dest_port=5060", "route=wan_a"),), (CALLS,), [2]),  # a plain one that now moves
        ((CALLS,), (), [0]),  # gone
        ((CALLS,), (rule("rest", "any=1", "route=wan_a", priority=1),), [1]),  # gone, and another one decides
    ],
)
async def test_switch_route_moves_exactly_its_own_connections_and_they_live(street, before, after, moved_to):
    await street.load(*before)
    calls, others = spread(street.place, 5060, 24), spread(street.place, 80, 24)
    await street.change_under(calls + others, *after)
    new = street.place.flows()
    own = {one.ends for one in calls}
    assert await street.forgotten(calls + others) == own
    assert classes(new[ends] for ends in own if ends in new) in (moved_to, [])
    assert [one.error for one in calls + others if one.error] == []


async def test_a_connection_moves_also_when_its_server_speaks_first(street):
    await street.load(CALLS_BY_A)
    streams = [street.place.open(5060, family=family) for family in (4, 6)]
    await street.load(CALLS)
    assert not {one.ends for one in streams} & set(street.place.flows())
    for one in streams:
        one.is_near_silent = True
        await one.talk(20)
        one.is_near_silent = False
        await one.talk(20)
        assert one.error == ""
    turned = {(flow.destination, flow.destination_port): flow for flow in street.place.flows().values()}
    assert classes(turned[one.ends] for one in streams) == [2]


async def test_when_a_line_goes_only_its_own_connections_are_forgotten(street):
    await street.load(VIDEO, rule("mail", "+dest_port=25", "route=wan_a"))
    by_b, by_a, direct = (spread(street.place, port, 24) for port in (443, 25, 80))
    street.place.router.run("ip", "link", "set", "wanb", "down")
    assert await street.house.engine.reconcile("link") == ""
    assert await street.forgotten(by_b + by_a + direct) == {one.ends for one in by_b}
    await asyncio.gather(*(one.talk(20) for one in by_a + direct))
    assert [one.error for one in by_a + direct if one.error] == []


async def test_when_an_outbound_gets_another_device_only_its_own_connections_are_forgotten(street):
    await street.load(VIDEO)
    by_b, direct = spread(street.place, 443, 24), spread(street.place, 80, 24)
    swapped = LINES.replace("interface 'wanb'", "interface 'wana'").replace("198.51.100.1", "192.0.2.1")
    assert await street.house.load(swapped.replace("2001:db8:b::1", "2001:db8:a::1") + VIDEO) == ""
    assert await street.forgotten(by_b + direct) == {one.ends for one in by_b}
    await asyncio.gather(*(one.talk(20) for one in by_b + direct))
    assert [one.error for one in by_b + direct if one.error] == []
    assert classes(street.place.flows()[one.ends] for one in by_b) == [2]


async def test_a_default_that_becomes_block_cuts_what_no_rule_names(street):
    await street.load(VIDEO)
    named, rest = spread(street.place, 443, 24), spread(street.place, 80, 24)
    blocking = LINES.replace("option enabled '1'", "option enabled '1'\n\toption default 'block'")
    await street.change_config_under(named + rest, blocking + VIDEO)
    assert {one.ends for one in named + rest if one.error} == {one.ends for one in rest}


FLOWTABLE = """
table inet fast {
	flowtable f { hook ingress priority filter; devices = { lan, wana, wanb }; }
	chain forward { type filter hook forward priority filter; policy accept;
		ct state established flow add @f
	}
}
"""


async def test_a_connection_that_bypasses_the_rules_ends_with_its_entry_too(street):
    try:
        run("nft", "-f", "-", text=FLOWTABLE)
    except AssertionError as refused:
        pytest.skip(f"this kernel has no flowtables (CONFIG_NF_FLOW_TABLE, kmod-nft-offload): {refused}")
    await street.load(VIDEO)
    stopped, others = spread(street.place, 443, 24), spread(street.place, 80, 24)
    await asyncio.gather(*(one.talk(5) for one in stopped + others))
    assert all(flow.is_offloaded for flow in street.place.flows().values())
    await street.change_under(stopped + others, VIDEO, rule("stop", "+dest_port=443", "block=reject", priority=90))
    assert {one.ends for one in stopped + others if one.error} == {one.ends for one in stopped}


async def test_a_mac_rule_cuts_the_client_that_has_that_address(street):
    await street.load(VIDEO)
    streams = spread(street.place, 80, 16)
    await asyncio.gather(*(one.talk(3) for one in streams))  # now the router knows its neighbours
    await street.change_under(streams, VIDEO, rule("kid", "+src_mac=02:00:00:00:00:0a", "block=reject"))
    assert all(one.error for one in streams)
    assert classes(street.place.flows().values()) in ([], [0], [1], [30])


async def test_another_mac_cuts_nobody(street):
    await street.load(VIDEO)
    streams = spread(street.place, 80, 16)
    await asyncio.gather(*(one.talk(3) for one in streams))
    await street.change_under(streams, VIDEO, rule("kid", "+src_mac=02:00:00:00:00:0b", "block=reject"))
    assert await street.forgotten(streams) == set() and not any(one.error for one in streams)


# A line without a device: what comes by it is told by its connection alone.
BY_TABLE = (
    LINES.split("config outbound 'wan_b'")[0]
    + """
config outbound 'vpn'
	option type 'table'
	option table '100'
"""
)


@pytest.mark.parametrize("hurries", ["the client", "the server of a client", "the server of the router"])
async def test_an_open_connection_keeps_its_class_while_somebody_takes_the_table_away(street, hurries):
    """Hooks that are deleted work on for a moment, and their maps find nothing: it would go by main for good."""
    run("ip", "route", "add", "default", "via", "198.51.100.1", "dev", "wanb", "table", "100")
    street.place.server.run("ip", "route", "replace", "192.168.1.0/24", "via", "198.51.100.2")
    by = "src_iface=lo" if hurries.endswith("router") else "src_addr=192.168.1.0/24"
    sealed = rule("tunnel", "+dest_port=5000", f"+{by}", "route=vpn", "on_fail=block")
    assert await street.house.load(BY_TABLE + sealed) == ""
    near, far = _datagrams(street.place, by_router=hurries.endswith("router"))
    table = run("nft", "list", "table", "inet", "netpolicy")
    with near, far, in_a_hurry(near if hurries == "the client" else far) as sent:
        for _ in range(40):
            await sent.more(500)
            for change in ("delete table inet netpolicy", table, f"delete table inet netpolicy\n{table}"):
                run("nft", "-f", "-", text=change)
                assert _classes_to(street.place, 5000) == [2]


def _datagrams(where: Place, by_router: bool) -> tuple[socket.socket, socket.socket]:
    """Two ends that have heard of each other."""
    with where.server.entered():
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with (where.router if by_router else where.client).entered():
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind((SERVER[4], 5000))
    near.bind(("192.168.1.1" if by_router else "192.168.1.10", 0))
    near.connect((SERVER[4], 5000))
    near.send(b"x")
    far.settimeout(20)
    far.connect(far.recvfrom(10)[1])
    return near, far


async def test_what_began_while_the_table_was_away_is_decided_once_it_is_back(street):
    sealed = rule("tunnel", "+dest_port=5000", "route=wan_b", "on_fail=block")
    refused = rule("stop", "+dest_port=5001", "block=reject")
    await street.load(sealed, refused)
    run("nft", "-f", "-", text=FIREWALL)
    run("nft", "delete", "table", "inet", "netpolicy")
    begun = [street.place.open(5000), street.place.open(5001)]
    await street.load(sealed, refused)
    await asyncio.gather(*(one.talk(2) for one in begun))
    assert begun[1].error and not begun[0].error
    assert classes([street.place.flows()[begun[0].ends]]) == [2]


def _classes_to(where: Place, port: int) -> list[int]:
    with where.router.entered():
        return classes(one for one in ctnetlink.dump() if one.destination_port == port)


@pytest.mark.parametrize("what", ["renamed", "removed, and the rule blocks"])
async def test_a_flow_of_a_sealed_line_never_leaves_by_another_while_its_outbound_goes(street, what):
    """Its class is nobody's any more: until the flow is decided again its packets go where they went, or nowhere."""
    sealed = rule("tunnel", "+dest_port=5000", "route=wan_b", "on_fail=block", priority=90)
    after = {
        "renamed": LINES.replace("wan_b", "vpn") + rule("tunnel", "+dest_port=5000", "route=vpn", "on_fail=block"),
        "removed, and the rule blocks": LINES.split("config outbound 'wan_b'")[0]
        + rule("tunnel", "+dest_port=5000", "block=drop"),
    }[what]
    await street.load(sealed)
    with steady_datagrams(street.place, 5000) as arrived:
        await arrived.more(50)
        assert await street.house.load(after) == ""
        if what == "renamed":
            await arrived.more(50)
    assert arrived["eth0"] == 0
