"""Who must be able to open a new connection to this router's administration, also after a change.

Names end points; never tries them and never decides whether a change may stand. Those who administer now, those who
did lately, and for a router that nobody administers at this moment one machine per network behind it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace

from netpolicy.core.address import V4, V6, parse_address
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import Neighbour, NetlinkError
from netpolicy.flows.administration import Sight
from netpolicy.flows.inside import Subnet, somebody_in

NOW, LATELY, LIKELY = "now", "lately", "likely"

# A web server closes an idle connection after some twenty seconds, a person reads a page for some minutes.
MEMORY_SECONDS = 1800.0
MEMORY_LIMIT = 64

EVERYWHERE = {V4: "0.0.0.0", V6: "::"}  # noqa: S104 (compared, not bound)


@dataclass(frozen=True, slots=True)
class Peer:
    """An end point, and what it dials. `why`: now (a connection is open), lately, likely (one for its network)."""

    source: str
    source_port: int  # of the connection that is open; 0 where there is none
    destination: str
    port: int
    service: str
    device: str = ""  # that the peer is reached by; "" where it is not known
    why: str = NOW

    @property
    def road(self) -> tuple[str, str, int]:
        """What a new connection of this peer has in common with the present one."""
        return self.source, self.destination, self.port


class Memory:
    """Who administered lately. Bounded; the oldest is forgotten first."""

    def __init__(self, seconds: float = MEMORY_SECONDS, limit: int = MEMORY_LIMIT) -> None:
        self._seconds = seconds
        self._limit = limit
        self._seen: dict[tuple[str, str, int], tuple[float, Peer]] = {}

    def note(self, peers: Iterable[Peer], now: float) -> None:
        """These administer at `now` (seconds of a clock that never jumps)."""
        for peer in peers:
            self._seen.pop(peer.road, None)
            self._seen[peer.road] = (now, replace(peer, source_port=0, why=LATELY))
        for road in list(self._seen)[: -self._limit]:
            del self._seen[road]

    def known(self, now: float) -> tuple[Peer, ...]:
        """Those of the last half hour."""
        return tuple(peer for seen, peer in self._seen.values() if now - seen <= self._seconds)


def administrators(sight: Sight, neighbours: Iterable[Neighbour], lately: Iterable[Peer] = ()) -> tuple[Peer, ...]:
    """Everybody, each road once: open connections first, then remembered ones, then one machine per network.

    The third kind is a question, not a promise: it counts only where it was answered before the change.
    """
    found: dict[tuple[str, str, int], Peer] = {}
    for peer in (*peers(sight), *lately, *likely(sight, neighbours)):
        found.setdefault(peer.road, peer)
    return tuple(found.values())


def peers(sight: Sight) -> tuple[Peer, ...]:
    """Who has an established connection from outside, one per road."""
    found: dict[tuple[str, str, int], Peer] = {}
    for one in sight.connections.values():
        if one.is_established and not sight.is_own(one.source):
            device = device_of(one.source, sight.inside)
            peer = Peer(one.source, one.source_port, one.destination, one.port, one.service, device)
            found.setdefault(peer.road, peer)
    return tuple(found.values())


def likely(sight: Sight, neighbours: Iterable[Neighbour]) -> tuple[Peer, ...]:
    """One machine of each network behind the router, to each port of administration that is served there.

    Without it a change made from the console, at night by a timer or over a line from outside could lock the
    whole LAN out, because nobody of it was connected.
    """
    known = tuple(neighbours)
    found = []
    for subnet in sight.inside:
        source = somebody_in(subnet, known, sight.own)
        for port in sight.ports if source else ():
            if subnet.own in port.addresses or EVERYWHERE[subnet.family] in port.addresses or "::" in port.addresses:
                found.append(Peer(source, 0, subnet.own, port.number, port.service, subnet.device, LIKELY))
    return tuple(found)


def device_of(address: str, inside: Iterable[Subnet]) -> str:
    """The device that the address is reached by: that of its network, else what the kernel's routes say; "" unknown."""
    for subnet in inside:
        if subnet.holds(address):
            return subnet.device
    return _routed(address)


def _routed(address: str) -> str:
    try:
        family, number = parse_address(address)
    except ValueProblem:
        return ""
    size = 4 if family == V4 else 16
    kernel_family = socket.AF_INET if family == V4 else socket.AF_INET6
    body = codec.RTMSG.pack(kernel_family, size * 8, 0, 0, 0, 0, 0, 0, 0)
    body += wire.attribute(codec.RTA_DST, number.to_bytes(size, "big"))
    try:
        kernel = KernelSocket(ROUTE)
    except NetlinkError:
        return ""
    try:
        answers = kernel.request("look up a route", codec.GETROUTE, 0, body)
        index = next((_index(one.payload) for one in answers if one.kind == codec.NEWROUTE), 0)
        return socket.if_indextoname(index) if index else ""
    except (NetlinkError, OSError):
        return ""
    finally:
        kernel.close()


def _index(payload: bytes) -> int:
    return wire.number(wire.attributes(payload, codec.RTMSG.size).get(codec.RTA_OIF))
