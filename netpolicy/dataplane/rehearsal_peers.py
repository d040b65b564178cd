"""The world around cloned routers: every neighbour, near and far, that probes need, in one process.

Sends the first frame of each probe, answers whatever comes out at the other end, and notes where the answer goes.
Never waits for what has been decided. Frames: `rehearsal_packet`; sockets: packet(7), ip(7), ipv6(7).
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from netpolicy.dataplane import rehearsal_packet as packet
from netpolicy.dataplane.rehearsal_clone import Clone, End, far_name
from netpolicy.dataplane.rehearsal_packet import Asked, Ends, Seen
from netpolicy.dataplane.rehearsal_probe import (
    ANSWERED,
    ASTRAY,
    FORWARDED,
    ONE_WAY,
    REFUSED,
    ROUTER_ITSELF,
    SILENT,
    UNSENT,
    Probe,
    Result,
)

# What is decided takes microseconds; this long is waited for what is not. Frames are repeated once, after a third.
SILENCE_SECONDS = 0.3
AGAIN_SECONDS = 0.1
# Looks at what came while we were held up: a connection takes four.
MOST_LATE = 100
RECEIVE_BUFFER = 1 << 20
READ_AT_ONCE = 256

FIRST_PORT = 33000
MOST_PROBES = 1000

EVERY_PROTOCOL = 3  # ETH_P_ALL
OUTGOING = 4  # PACKET_OUTGOING: what we sent ourselves
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50


@dataclass(slots=True)
class _Attempt:
    """One probe in one clone, under way."""

    probe: Probe
    clone: Clone
    token: int
    port: int
    mac: bytes = b""
    has_neighbour: bool = False  # it is known who brings its frame, so the answer has to go there
    frame: bytes = b""
    end: End | None = None
    own: socket.socket | None = None
    left_by: str = ""
    result: Result | None = field(default=None)


def own_socket(probe: Probe) -> socket.socket:
    """The socket of a connection that the router opens, in the namespace where this is called. Raises OSError."""
    family = socket.AF_INET6 if ":" in probe.destination else socket.AF_INET
    if probe.protocol == "icmp":
        number = packet.ICMP if family == socket.AF_INET else packet.ICMPV6
        return socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, number)
    kind = socket.SOCK_STREAM if probe.protocol == "tcp" else socket.SOCK_DGRAM
    return socket.socket(family, kind | socket.SOCK_NONBLOCK)


class Peers:
    """All neighbours of some clones. To be made, and only made, in the namespace of the far ends."""

    def __init__(self, clones: Sequence[Clone], silence: float = SILENCE_SECONDS) -> None:
        self._silence = silence
        self._ends = {end.far_index: end for clone in clones for end in clone.ends.values()}
        self._clones = {clone.number: clone for clone in clones}
        self._addresses: dict[bytes, str] = {}  # that were asked for, by the MAC address we gave
        self._told: dict[tuple[str, str], str] = {}  # MAC addresses that probes name
        self._attempts: dict[int, _Attempt] = {}
        self._wire = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(EVERY_PROTOCOL)
        )
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wire, selectors.EVENT_READ, self._read_wire)
        for clone in clones:
            for server in clone.servers:
                _tell_destination(server)
                self._selector.register(server, selectors.EVENT_READ, partial(_echo, server))

    def run(self, probes: Sequence[Probe], own: Iterable[dict[int, socket.socket]]) -> list[list[Result]]:
        """Every probe in every clone, all at once; the results by clone. `own`: sockets by the place of the probe."""
        made = [
            [self._attempt(probe, clone, place, sockets.get(place)) for place, probe in enumerate(probes)]
            for clone, sockets in zip(self._clones.values(), own, strict=True)
        ]
        everything = [attempt for attempts in made for attempt in attempts]
        self._send(everything)
        self._wait(everything, AGAIN_SECONDS)
        self._send(everything)
        self._wait(everything, self._silence - AGAIN_SECONDS)
        return [[_final(attempt) for attempt in attempts] for attempts in made]

    def _attempt(self, probe: Probe, clone: Clone, place: int, own: socket.socket | None) -> _Attempt:
        token = int.from_bytes(os.urandom(3), "big") << 8 & 0x7FFFFF00
        while token in self._attempts:
            token += 1
        made = self._attempts[token] = _Attempt(probe, clone, token, FIRST_PORT + place, own=own)
        if probe.device == ROUTER_ITSELF:
            if own is None:
                made.result = Result(UNSENT, ROUTER_ITSELF)
            return made
        end = clone.ends.get(probe.device)
        if end is None:
            made.result = Result(UNSENT, probe.device)
            return made
        made.end = end
        near = clone.world.nearest(probe.source, end.device)
        made.has_neighbour = end.talks and bool(near)
        if probe.mac:
            self._told[end.device, near or probe.source] = probe.mac
        made.mac = self._mac(end, near or probe.source)
        ends = Ends(packet.packed(probe.source), made.port, packet.packed(probe.destination), probe.port)
        made.frame = packet.question(made.mac, end.mac, probe.protocol, ends, token)
        return made

    def _mac(self, end: End, address: str) -> bytes:
        """Of the neighbour with that address, who need not exist."""
        place = (end.device, address)
        known = self._told.get(place) or self._clones[end.world].world.neighbours.get(place, "")
        mac = bytes.fromhex(known.replace(":", "")) or b"\x02\x4e" + zlib.crc32(address.encode()).to_bytes(4, "big")
        self._addresses.setdefault(mac, address)
        return mac

    def _send(self, attempts: list[_Attempt]) -> None:
        for attempt in attempts:
            if attempt.result is not None or attempt.left_by:
                continue
            if attempt.own is not None:
                self._open(attempt, attempt.own)
            elif attempt.end is not None:
                self._put(attempt.end, attempt.frame)

    def _put(self, end: End, frame: bytes) -> None:
        try:
            self._wire.sendto(frame, (far_name(end.far_index), 0))
        except OSError as error:
            if error.errno not in (errno.ENETDOWN, errno.ENOBUFS):  # a cable that is pulled stays silent
                raise

    def _open(self, attempt: _Attempt, own: socket.socket) -> None:
        """A connection of the router itself. The kernel repeats that of TCP."""
        probe = attempt.probe
        payload = packet.QUESTION + packet.TOKEN.pack(attempt.token)
        is_new = own not in self._selector.get_map()
        try:
            if is_new and probe.source:
                own.bind((probe.source, 0))
            if probe.protocol == "icmp":
                own.sendto(packet.echo(probe.destination, attempt.port, payload), (probe.destination, 0))
            elif is_new:
                refusal = own.connect_ex((probe.destination, probe.port))
                if refusal not in (0, errno.EINPROGRESS):
                    raise OSError(refusal, os.strerror(refusal))
            if probe.protocol == "udp":
                own.send(payload)
        except OSError:
            attempt.result = Result(REFUSED)
            return
        if is_new:
            event = selectors.EVENT_WRITE if probe.protocol == "tcp" else selectors.EVENT_READ
            self._selector.register(own, event, partial(self._read_own, attempt, own))

    def _wait(self, attempts: list[_Attempt], seconds: float) -> None:
        """Until all is decided, or nothing is left to be read when the time is over: we may have been held up."""
        deadline = time.monotonic() + seconds
        late = 0
        while any(attempt.result is None for attempt in attempts):
            left = deadline - time.monotonic()
            late += left <= 0
            found = self._selector.select(max(left, 0.0))
            for key, _ in found:
                key.data()
            if (left <= 0 and not found) or late > MOST_LATE:
                return

    def _read_wire(self) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                frame, sender = self._wire.recvfrom(2048)
            except BlockingIOError:
                return
            if sender[2] == OUTGOING:
                continue
            end = self._end_of(sender[0])
            found = packet.read(frame) if end else None
            if end is not None and isinstance(found, Asked):
                self._put(end, packet.neighbour(found, self._mac(end, _text(found.address))))
            elif end is not None and isinstance(found, Seen):
                self._take(end, found)

    def _end_of(self, name: str) -> End | None:
        number = name.removeprefix("far")
        return self._ends.get(int(number)) if number.isdigit() else None

    def _take(self, end: End, seen: Seen) -> None:
        """A frame of a probe, at one of the far ends."""
        attempt = self._attempts.get(seen.token) or self._of_own(end, seen)
        if attempt is None or attempt.result is not None or attempt.clone.number != end.world:
            return
        if seen.what == packet.ASKS:
            attempt.left_by = end.device
            near = seen.near if end.talks else b"\x02\x4e\0\0\0\1"
            self._put(end, packet.answer(seen, near, end.mac))
        elif attempt.end is not None:
            attempt.result = self._judge(attempt, end, seen)

    def _of_own(self, end: End, seen: Seen) -> _Attempt | None:
        """A connection of the router: the kernel chose its sequence number."""
        for attempt in self._attempts.values():
            if attempt.own is not None and attempt.probe.protocol == "tcp" and seen.what == packet.ASKS:
                same = (
                    _text(seen.ends.destination) == attempt.probe.destination and seen.ends.port == attempt.probe.port
                )
                if same and attempt.clone.number == end.world:
                    return attempt
        return None

    def _judge(self, attempt: _Attempt, end: End, seen: Seen) -> Result:
        """An answer that comes out of the router."""
        if seen.what == packet.REFUSES:
            return Result(REFUSED)
        assert attempt.end is not None
        if attempt.left_by:
            is_back = end.device == attempt.end.device
            return Result(FORWARDED if is_back else ONE_WAY, attempt.left_by)
        if end.device != attempt.end.device:
            return Result(ASTRAY, end.device)
        if attempt.has_neighbour and seen.near != attempt.mac:
            return Result(ASTRAY, end.device, self._addresses.get(seen.near, seen.near.hex(":")))
        return Result(ANSWERED)

    def _read_own(self, attempt: _Attempt, own: socket.socket) -> None:
        """Something came to a connection that the router opened."""
        if attempt.probe.protocol == "tcp":
            refused = own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        else:
            try:
                refused = False
                if packet.ANSWER + packet.TOKEN.pack(attempt.token) not in own.recv(2048):
                    return
            except BlockingIOError:
                return
            except OSError:
                refused = True
        self._selector.unregister(own)
        if attempt.result is None:
            by = Result(FORWARDED, attempt.left_by) if attempt.left_by else Result(ANSWERED)
            attempt.result = Result(REFUSED) if refused else by


def _final(attempt: _Attempt) -> Result:
    if attempt.result is not None:
        return attempt.result
    return Result(ONE_WAY, attempt.left_by) if attempt.left_by else Result(SILENT)


def _text(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def _tell_destination(server: socket.socket) -> None:
    """So that the answer comes from the address that was asked."""
    if server.family == socket.AF_INET:
        server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        server.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)


def _echo(server: socket.socket) -> None:
    """Answers a datagram to a port of the router."""
    try:
        data, extra, _, sender = server.recvmsg(2048, 256)
        if not data.startswith(packet.QUESTION):
            return
        told = [
            (level, kind, _from(level, value)) for level, kind, value in extra if kind in (IP_PKTINFO, IPV6_PKTINFO)
        ]
        server.sendmsg([packet.ANSWER + data[len(packet.QUESTION) :]], told, 0, sender)
    except OSError:
        return  # refused on its way out, or gone


def _from(level: int, told: bytes) -> bytes:
    """In the place of "it came to": "it goes from". The routes decide the device."""
    if level == socket.IPPROTO_IP:
        return b"\0\0\0\0" + told[4:8] + b"\0\0\0\0"
    return told[:16] + b"\0\0\0\0"
