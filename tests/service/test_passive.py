"""Which connections of conntrack are whose, and for which line they speak."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from netpolicy.core.model import Settings
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink import NetlinkError
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.state import Address, Link, Neighbour
from netpolicy.flows.losses import ANSWERED, CUT, News
from netpolicy.flows.model import CONFIRMED, OVERRUN, SEEN_REPLY, Flow, FlowEvent
from netpolicy.flows.seen import CLOSED, OPEN, RESET, Measured, Side
from netpolicy.outbounds.line_delay import ACKNOWLEDGED_MS
from netpolicy.outbounds.line_evidence import Evidence
from netpolicy.outbounds.lines import View
from netpolicy.service.inspector_feed import packed
from netpolicy.service.passive import Passive

MARKS = Marks(Settings().fwmark_mask)
LATE = 0.3


class Net:
    """The neighbour table."""

    def __init__(self) -> None:
        self.known = (Neighbour(4, "br-lan", "192.168.1.10", "02:00:00:00:00:0a"),
                      Neighbour(6, "br-lan", "fd00:1::10", "02:00:00:00:00:0a"),
                      Neighbour(4, "br-lan", "192.168.1.11", "02:00:00:00:00:0b"))  # fmt: skip
        self.reads = 0

    def neighbours(self) -> tuple[Neighbour, ...]:
        self.reads += 1
        if self.reads > 100:
            raise NetlinkError("read too often")
        return self.known


class Lines:
    def __init__(self) -> None:
        self.found = {"wan": Evidence()}
        self.weighed: list[str] = []

    def evidence(self, name: str) -> Evidence | None:
        return self.found.get(name)

    def weigh_later(self, name: str) -> None:
        self.weighed.append(name)


def passive() -> tuple[Passive, Lines, Net]:
    addresses = (Address(4, "br-lan", "192.168.1.1", 24), Address(6, "br-lan", "fd00:1::1", 64),
                 Address(4, "wana", "203.0.113.2", 24))  # fmt: skip
    lines, net = Lines(), Net()
    engine = SimpleNamespace(
        settings=Settings(), view=View({}, addresses, ()), numbers={"wan": 1, "wan/slow": 3, "other": 2}, lines=lines,
        states=(SimpleNamespace(device="wana"),), netlink=net,
    )  # fmt: skip
    made = Passive(engine)  # type: ignore[arg-type]
    made.turned()
    return made, lines, net


def flow(
    number: int, source: str, target: str = "198.51.100.9", mark: int = 1, protocol: int = 6, status: int = 0
) -> Flow:
    bits = MARKS.bits(mark) | MARKS.done
    family = 6 if ":" in source else 4
    return Flow(number, family, protocol, source, 40000, target, 443, target, 443, source, 40000, bits,
                status=CONFIRMED | status)  # fmt: skip


async def waiting(*flows: Flow) -> Evidence:
    made, lines, _ = passive()
    made.heard([FlowEvent("new", one) for one in flows])
    return lines.found["wan"]


async def clients(*sources: str) -> int:
    evidence = await waiting(*(flow(number, source) for number, source in enumerate(sources, 1)))
    doubt = evidence.doubt(asyncio.get_running_loop().time() + 1, LATE)
    return doubt.clients if doubt is not None else 0


async def test_only_tcp_of_clients_by_a_line_counts():
    for other in (
        flow(1, "192.168.1.10", mark=2), flow(1, "192.168.1.10", mark=0), flow(1, "192.168.1.10", protocol=17),
        flow(1, "203.0.113.2"), flow(1, "192.168.1.1"), flow(1, "198.51.100.7"), flow(0, "192.168.1.10"),
    ):  # fmt: skip
        assert len(await waiting(other)) == 0, other
    assert len(await waiting(flow(1, "192.168.1.10"))) == 1
    assert len(await waiting(flow(1, "192.168.1.10", mark=3))) == 1, "with a limit of speed"


async def test_a_client_is_its_mac_address_and_whom_nobody_knows_is_none():
    assert await clients("192.168.1.10", "fd00:1::10") == 1
    assert await clients("192.168.1.10", "192.168.1.11") == 2
    assert await clients("192.168.1.10", *(f"192.168.1.{number}" for number in range(50, 150))) == 1
    assert await clients(*(f"fd00:1::{number:x}" for number in range(50, 150))) == 0


async def test_the_neighbour_table_is_not_read_for_each_packet():
    made, _, net = passive()
    made.heard([FlowEvent("new", flow(number, f"192.168.1.{number % 200 + 20}")) for number in range(1, 1000)])
    assert net.reads == 1


async def test_an_answer_ends_the_waiting_and_lost_events_do():
    made, lines, _ = passive()
    evidence = lines.found["wan"]
    made.heard([FlowEvent("new", flow(number, "192.168.1.10")) for number in (1, 2, 3)])
    assert len(evidence) == 3 and lines.weighed[0] == "wan"
    made.heard([FlowEvent("update", flow(1, "192.168.1.10", status=SEEN_REPLY))])
    made.heard([FlowEvent("destroy", flow(2, "192.168.1.10"))])
    assert len(evidence) == 1 and evidence.ends(9) == [("198.51.100.9", 443)]
    made.heard([OVERRUN])
    assert len(evidence) == 0


async def test_round_trips_are_put_to_the_line_they_were_measured_by():
    made, lines, _ = passive()
    for milliseconds in (10.0, 250.0):
        for client, remote in (("192.168.1.10", n) for n in "abc"):
            made.timed("wan", client, remote, milliseconds)
        for client, remote in (("192.168.1.11", n) for n in "cde"):
            made.timed("wan", client, remote, milliseconds)
        made.timed("elsewhere", "192.168.1.10", "a", 1.0)
    assert lines.found["wan"].delays.excess(asyncio.get_running_loop().time()) == 240.0


async def test_whoever_lies_on_an_ethernet_of_the_router_says_nothing_of_the_line():
    """A modem's own page answers also when the line behind it is dead."""
    made, lines, _ = passive()
    wana = Link(2, "wana", True, True, "02:00:00:00:00:01")
    made._engine.view = replace(made._engine.view, links={"wana": wana, "br-lan": wana})
    made.turned()
    made.heard([FlowEvent("new", flow(1, "192.168.1.10", "203.0.113.1")),
                FlowEvent("new", flow(2, "192.168.1.10", "198.51.100.9"))])  # fmt: skip
    assert lines.weighed == ["wan"]


MACS = {"192.168.1.10": "02:00:00:00:00:0a", "192.168.1.11": "02:00:00:00:00:0b"}


def told(client: str, remote: str, *, final: bool = False, state: str = OPEN, mac: str = "", srtt: int = 0) -> Measured:
    hardware = bytes.fromhex((mac or MACS.get(client, "")).replace(":", ""))
    up, down = Side(packets=9, srtt_us=srtt), Side(packets=9, resets=int(state == RESET))
    return Measured((packed(client), packed(remote), 40000, 443, 6), state, up, down, final=final, mac=hardware)


async def test_open_connections_speak_for_and_against_the_line_they_leave_by():
    made, lines, _ = passive()
    stalls = lines.found["wan"].stalls
    for client, remote in (("192.168.1.10", "198.51.100.1"), ("192.168.1.11", "198.51.100.2")):
        made.went_on("wan", client, remote, told(client, remote), 2)
    made.went_on("elsewhere", "192.168.1.10", "198.51.100.3", told("192.168.1.10", "198.51.100.3"), 2)
    now = asyncio.get_running_loop().time() + 5
    assert stalls.in_vain(stalls.heard_last(), now) == {
        MACS["192.168.1.10"]: {("198.51.100.1", 443)},
        MACS["192.168.1.11"]: {("198.51.100.2", 443)},
    }
    assert lines.weighed == ["wan", "wan"]
    cut = told("192.168.1.10", "198.51.100.1", final=True, state=RESET)
    made.went_on("wan", "192.168.1.10", "198.51.100.1", cut, 0)
    assert len(stalls) == 2
    over = told("192.168.1.11", "198.51.100.2", final=True, state=CLOSED)
    made.went_on("wan", "192.168.1.11", "198.51.100.2", over, 3)
    assert len(stalls) == 1 and stalls.heard_last() == float("-inf")
    made.went_on("wan", "192.168.1.11", "198.51.100.4", told("192.168.1.11", "198.51.100.4"), 0)
    assert stalls.heard_last() > 0


async def test_an_open_connection_from_the_mac_address_of_another_one_is_nobodys():
    made, lines, _ = passive()
    forged = told("192.168.1.11", "198.51.100.2", mac=MACS["192.168.1.10"])
    made.went_on("wan", "192.168.1.11", "198.51.100.2", forged, 9)
    made.went_on("wan", "192.168.1.11", "198.51.100.2", forged, 0)
    made.went_on("wan", "192.168.1.99", "198.51.100.2", told("192.168.1.99", "198.51.100.2"), 9)
    stalls = lines.found["wan"].stalls
    assert len(stalls) == 0 and stalls.heard_last() == float("-inf") and lines.weighed == []


async def test_how_long_open_connections_are_acknowledged_after_is_put_to_the_line():
    made, lines, _ = passive()
    for milliseconds in (20, 320):
        for client, remotes in (("192.168.1.10", "123"), ("192.168.1.11", "345")):
            for number in remotes:
                remote = f"198.51.100.{number}"
                made.went_on("wan", client, remote, told(client, remote, srtt=milliseconds * 1000), 0)
    assert lines.found["wan"].delays.excess(asyncio.get_running_loop().time()) == 300.0 - ACKNOWLEDGED_MS


def lose(made: Passive, mark: int, *clients: str, mac: str = "", remote: str = "198.51.100.{}", new: News) -> None:
    for client in clients:
        for number in range(8):
            far = remote.format(number)
            made.lost(MARKS.bits(mark) | MARKS.done, client, far, told(client, far, mac=mac), new)


async def test_what_clients_lose_is_put_to_the_line_but_not_what_a_limit_drops_or_another_one_forges():
    made, lines, _ = passive()
    evidence, both = lines.found["wan"], ("192.168.1.10", "192.168.1.11")
    new = News((20, 100), (10, 100), CUT)
    lose(made, 3, *both, new=new)  # a throttle drops
    lose(made, 2, *both, new=new)
    lose(made, 1, *both, mac="02:00:00:00:00:77", new=new)
    lose(made, 1, "192.168.1.1", "198.51.100.7", new=new)
    assert [len(one) for one in (evidence.sent, evidence.received, evidence.cuts)] == [0, 0, 0]
    assert lines.weighed == []
    lose(made, 1, *both, new=new)
    now = asyncio.get_running_loop().time()
    assert [one.found(now).share for one in (evidence.sent, evidence.received)] == [0.2, 0.1]
    assert evidence.cuts.found(now).share == 1.0 and set(lines.weighed) == {"wan"}
    lose(made, 1, *both, new=News(None, None, ANSWERED))
    assert evidence.cuts.found(now).share < 0.6


async def test_however_many_addresses_of_ipv6_a_server_has_it_is_one():
    made, lines, _ = passive()
    lose(made, 1, "192.168.1.10", "192.168.1.11", remote="2001:db8:5::{}", new=News(None, (9, 100), ""))
    assert len(lines.found["wan"].received) == 2
