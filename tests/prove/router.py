"""A router in an anonymous namespace that serves many rule sets, and the ends that send to it.

LANs `lan` and `guest`, lines `wanb` (both families) and `wanc` (IPv4), five routing tables of
somebody else's. Packets go in by AF_PACKET at the far ends and by raw sockets as the router's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from netpolicy.core.address import format_address, parse_range
from netpolicy.dataplane.kernel import Kernel, Plan
from netpolicy.dataplane.learned_sets import is_learned, set_name
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import AddElements
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.state import Link
from netpolicy.outbounds.lines import LogicalInterface, View
from netpolicy.service.name_index import NameIndex, fields_of
from tests.netns import Namespace, connect
from tests.prove import witness
from tests.prove.packet import Sample
from tests.prove.scene import LOGICAL, TABLES, Values
from tests.prove.values import DEVICES
from tests.prove.witness import Witness

LINES = ("wanb", "wanc")
ROUTER_MAC = "02:00:00:00:01:01"

_NETWORK = """
addr add 192.168.1.1/24 dev lan
addr add 192.168.3.1/24 dev guest
addr add 198.51.100.2/24 dev wanb
addr add 203.0.113.2/24 dev wanc
addr add fd00:1::1/64 dev lan nodad
addr add fd00:3::1/64 dev guest nodad
addr add 2001:db8:b::2/64 dev wanb nodad
route add default via 198.51.100.1 dev wanb
route add default via 2001:db8:b::1 dev wanb
"""
_TABLES = "".join(
    f"route add default via {gateway} dev wanb table {number}\n"
    for number in TABLES
    for gateway in ("198.51.100.1", "2001:db8:b::1")
)

# A veth takes what arrives in turns; more at a time than this could overflow its queue (1000).
BURST = 250
PATIENCE = 10.0  # seconds without news after which a packet counts as lost: the machine may be busy with others


class Router:
    """The router under test. One at a time in a thread; its namespace is entered for every use."""

    def __init__(self) -> None:
        self.here = Namespace()
        self.there = Namespace()
        for name in DEVICES:
            connect(self.here, name, self.there, f"to_{name}")
        # No link-local addresses: they appear some time later, in the middle of a comparison.
        quiet = "".join(f"link set {name} addrgenmode none address {ROUTER_MAC}\n" for name in DEVICES)
        self.here.run("ip", "-batch", "-", text=quiet + _NETWORK + _TABLES)
        self.here.sysctl("net/ipv4/ip_forward", 1)
        self.here.sysctl("net/ipv6/conf/all/forwarding", 1)
        self.here.run("nft", "-f", "-", text=witness.table(LINES, DEVICES))
        self._loop = asyncio.new_event_loop()
        with self._inside():
            self.kernel = self._new_kernel()
            self.witness = Witness()
            self._own = {4: _raw_socket(socket.AF_INET), 6: _raw_socket(socket.AF_INET6)}
            netlink = open_netlink("builtin")
            self._links = {link.name: link for link in netlink.links()}
            self._addresses, self._routes = netlink.addresses(), netlink.routes()
        with self.there.entered():
            self._wires = {name: socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for name in DEVICES}
            for name, wire in self._wires.items():
                wire.bind((f"to_{name}", 0))

    def close(self) -> None:
        for opened in (*self._own.values(), *self._wires.values(), self.witness):
            opened.close()
        self._loop.close()
        self.here.close()
        self.there.close()

    # -- the network as the product sees it --------------------------------------------------------

    def view(self, down: Iterable[str] = ()) -> View:
        """What the network looks like with these devices without carrier and these tables empty."""
        links = {name: _without_carrier(link) if name in down else link for name, link in self._links.items()}
        routes = tuple(route for route in self._routes if str(route.table) not in down)
        logical = {
            name: LogicalInterface(device, device not in down, {4: "203.0.113.1"} if device == "wanc" else {})
            for name, device in LOGICAL.items()
        }
        return View(links, self._addresses, routes, logical)

    # -- the kernel under test ---------------------------------------------------------------------

    def load(self, policy: Policy) -> Plan:
        """Leads the kernel to the policy by what differs; the plan that did."""
        return self._run(self._load(policy))

    def learn(self, policy: Policy, heard: Iterable[tuple[str, Values]], known: set[str]) -> set[str]:
        """Fills the sets of names that are not `known`; those that are there now. What is in one must stay there."""
        index = NameIndex(fields_of(policy.entries.rules))
        told: dict[str, list[Element]] = {}
        for name, addresses in heard:
            for family, number, _ in map(parse_range, addresses):
                for base in index.bases(name):
                    key = number.to_bytes(4 if family == 4 else 16, "big")
                    told.setdefault(set_name(base, family), []).append(Element(key, timeout_ms=600_000))
        with self._inside(), NftLink(TABLE) as link:
            there = {name for name in link.sets() if is_learned(name)}
            for name in sorted((there - known) & set(told)):
                link.commit([AddElements(name, told[name])])
        return there

    def plan(self, policy: Policy) -> Plan:
        return self._run(self.kernel.plan(policy))

    def counters(self) -> dict[str, tuple[int, int]]:
        return self._run(self.kernel.counters())

    def clear(self) -> None:
        """Nothing of ours is in the kernel: the next load is a cold one, by a daemon that knows nothing."""
        self._run(self.kernel.remove())
        self.restart()

    def restart(self) -> None:
        """What is in the kernel stays, and nobody remembers how it came there."""
        with self._inside():
            self.kernel = self._new_kernel()

    @staticmethod
    def _new_kernel() -> Kernel:
        return Kernel(open_netlink("builtin"))

    async def _load(self, policy: Policy) -> Plan:
        plan = await self.kernel.plan(policy)
        if not plan.is_empty:
            await self.kernel.apply(plan)
        return plan

    def _run(self, work):
        with self._inside():
            return self._loop.run_until_complete(work)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """In the router's namespace, with a loop whose child processes are looked after."""
        with self.here.entered():
            yield

    # -- packets -----------------------------------------------------------------------------------

    def send(self, samples: list[Sample]) -> tuple[dict[int, int], dict[int, int]]:
        """Sends the packets: marks by number as the witness saw them, and errno by number of those not sent."""
        seen: dict[int, int] = {}
        refused: dict[int, int] = {}
        self.witness.forget()
        for start in range(0, len(samples), BURST):
            burst = samples[start : start + BURST]
            for sample in burst:
                code = self._send(sample)
                if code not in (0, errno.EPERM):  # the witness's own drop is told as EPERM
                    refused[sample.number] = code
            wanted = {sample.number for sample in burst if sample.number not in refused}
            seen.update(self.witness.read(wanted, PATIENCE))
        return seen, refused

    def _send(self, sample: Sample) -> int:
        facts = sample.facts
        try:
            if sample.device:
                kind = b"\x08\x00" if facts.family == 4 else b"\x86\xdd"
                ends = bytes.fromhex((ROUTER_MAC + facts.src_mac).replace(":", ""))
                self._wires[sample.device].send(ends + kind + sample.data)
            else:
                target = format_address(*facts.dest_addr)
                self._own[facts.family].sendto(sample.data, (target, 0) if facts.family == 4 else (target, 0, 0, 0))
        except OSError as error:
            return error.errno or errno.EIO
        return 0


def _raw_socket(family: int) -> socket.socket:
    """Sends packets as they are, with the foreign bit that the witness asks for."""
    made = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", witness.OURS))
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return made


def _without_carrier(link: Link) -> Link:
    return Link(link.index, link.name, link.up, False, link.mac, link.kind)
