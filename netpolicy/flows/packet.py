"""The tier without eBPF: packet sockets that take the beginnings and ends of connections, and their first words.

Never changes or holds up a packet, never decides, and follows no device by itself: whoever owns it says which.
Its face is that of the eBPF tier; of bytes and packets it knows nothing, those are conntrack's.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Iterator

from netpolicy.flows import packet_filter
from netpolicy.flows.handshakes import SEQUENCES, Handshakes, Origin
from netpolicy.flows.packet_filter import DNS_PORT, LAN, TCP, Wanted
from netpolicy.flows.packet_frame import FIN, RST, SYN, Frame, parse
from netpolicy.flows.packet_ring import BLOCKS, Captured, Refused, Ring
from netpolicy.flows.seen import (
    BEGINNING,
    DNS_ANSWER,
    DNS_ANSWERING,
    DNS_ASKING,
    DNS_QUERY,
    QUIC,
    Measured,
    Payload,
    SeenKey,
)

WAY = "packet"
AT_ONCE = 500  # packets of one `drain`: some milliseconds

# Of a QUIC connection so many first datagrams, and so many connections at a time. A port comes back after a while.
QUIC_DATAGRAMS, QUIC_LIMIT, QUIC_SECONDS = 3, 1024, 30.0


class PacketInspector:
    """Not for several threads at once. Call `drain` when `fileno` is readable, `sweep` every second or some."""

    def __init__(
        self,
        on_payload: Callable[[Payload], None],
        on_measured: Callable[[Measured], None],
        switches: Wanted,
        blocks: int = BLOCKS,
    ) -> None:
        """`blocks` of 64 kB for each device. OSError."""
        self._on_payload = on_payload
        self._on_measured = on_measured
        self._switches = switches
        self._blocks = blocks
        self._poll = select.epoll()
        self._rings: dict[str, tuple[Ring, str]] = {}
        self._handshakes = Handshakes()
        self._first_words = FirstDatagrams()
        self._gone = {"packets": 0, "lost": 0, "full": 0}  # counted by rings that are closed
        self._unreadable = 0

    def set_switches(self, switches: Wanted) -> None:
        """What is copied from now on. OSError."""
        self._switches = switches
        for ring, role in self._rings.values():
            ring.set_filter(packet_filter.program(role, switches))

    def attach(self, name: str, role: str = LAN) -> str:
        """See that the device is watched; by which way. May be repeated, also after it came anew. Raises Refused."""
        present = self._rings.get(name)
        if present is not None:
            if present[0].is_alive() and present[1] == role:
                return WAY
            self.detach(name)
        ring = Ring(name, packet_filter.program(role, self._switches), self._blocks)
        self._poll.register(ring.fileno(), select.EPOLLIN)
        self._rings[name] = ring, role
        return WAY

    def detach(self, name: str) -> None:
        """Watch the device no more; nothing where it is not watched."""
        ring, _ = self._rings.pop(name, (None, ""))
        if ring is not None:
            self._gone = _sum(self._gone, ring.counters())
            self._poll.unregister(ring.fileno())
            ring.close()

    def attached(self) -> dict[str, tuple[str, bool]]:
        """By device: the way, and whether it still holds."""
        return {name: (WAY, ring.is_alive()) for name, (ring, _) in self._rings.items()}

    def is_taken_off(self, name: str) -> bool:
        """Never: nobody but us can close a socket of ours."""
        return False

    def fileno(self) -> int:
        """Readable when packets wait. For epoll and the like; not for reading."""
        return self._poll.fileno()

    def drain(self, limit: int = AT_ONCE) -> int:
        """Hand out what waits, block by block; how many packets it was. As many as `limit` or more: call again."""
        count, more = 0, True
        while more and count < limit:
            more = False
            for ring, role in list(self._rings.values()):  # one block of each, so that none waits for a busy one
                packets = ring.read()
                for packet in packets or ():
                    self._take(packet, ring.index, role)
                count += len(packets or ())
                more |= packets is not None
        return count

    def sweep(self) -> Iterator[int]:
        """Tell of connections that nobody answers. Steps of a millisecond or so."""
        for found in self._handshakes.sweep(time.monotonic()):
            for one in found:
                self._on_measured(one)
            yield len(found)

    def counters(self) -> dict[str, int]:
        """Totals since the start. lost: packets that found the ring full; evicted: connections that made place for
        newer ones before their end was seen; stray: ends of connections whose beginning was not."""
        total = self._gone
        for ring, _ in self._rings.values():
            total = _sum(total, ring.counters())
        return {**total, **self._handshakes.counters, "unreadable": self._unreadable}

    def close(self) -> None:
        """Detach everywhere. May be repeated."""
        for name in list(self._rings):
            with contextlib.suppress(OSError):
                self.detach(name)
        self._poll.close()

    def _take(self, packet: Captured, ifindex: int, role: str) -> None:
        frame = parse(packet.data, packet.protocol, packet.outgoing, packet.tagged)
        if frame is None:
            self._unreadable += 1
            return
        up = packet.outgoing != (role == LAN)
        key = seen_key(frame, up)
        if frame.protocol != TCP:
            self._datagram(key, frame, packet, up)
            return
        if key[3] == DNS_PORT:
            self._messages(key, frame, packet, up)
        elif not frame.flags & SYN:
            self._words(key, frame, packet)
        if frame.flags & (SYN | FIN | RST) and self._switches.flows:
            measured = self._handshakes.take(key, frame, Origin(up, packet.when, ifindex, packet.mac))
            if measured is not None:
                self._on_measured(measured)
        if frame.flags & SYN and key[3] != DNS_PORT:
            self._words(key, frame, packet)

    def _messages(self, key: SeenKey, frame: Frame, packet: Captured, up: bool) -> None:
        """Of a name server by TCP: each segment for itself, as the kernel merges them."""
        if frame.end > frame.start:
            data = packet.data[frame.start : frame.end]
            self._on_payload(Payload(key, DNS_ASKING if up else DNS_ANSWERING, 0, data, packet.when, True))

    def _words(self, key: SeenKey, frame: Frame, packet: Captured) -> None:
        """The first ones of a connection, once. Of one whose beginning was not seen: whatever looks like them."""
        if frame.end <= frame.start:
            return
        talk = self._handshakes.get(key)
        if talk is not None:
            first = talk.isn + (0 if frame.flags & SYN else 1)  # a SYN has a number of its own
            if talk.inbound or talk.heard or (frame.sequence - first) % SEQUENCES:
                return
            talk.heard = True
        self._on_payload(Payload(key, BEGINNING, 0, packet.data[frame.start : frame.end], packet.when, True))

    def _datagram(self, key: SeenKey, frame: Frame, packet: Captured, up: bool) -> None:
        first = True
        if not up:
            kind = DNS_ANSWER
        elif frame.destination_port == DNS_PORT:
            kind = DNS_QUERY
        else:
            kind = QUIC
            number = self._first_words.number(key, packet.when)
            if number >= QUIC_DATAGRAMS:
                return
            first = number == 0
        self._on_payload(Payload(key, kind, 0, packet.data[frame.start : frame.end], packet.when, first))


class FirstDatagrams:
    """Counts the datagrams of new connections, bounded: the oldest connections are forgotten."""

    def __init__(self, limit: int = QUIC_LIMIT) -> None:
        self._limit = limit
        self._seen: dict[SeenKey, tuple[int, float]] = {}  # datagrams, and when the first one was

    def number(self, key: SeenKey, now: float) -> int:
        """Which datagram of its connection this is, from 0."""
        count, first = self._seen.get(key, (0, now))
        if now - first > QUIC_SECONDS:
            del self._seen[key]
            count, first = 0, now
        if key not in self._seen and len(self._seen) >= self._limit:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = count + 1, first
        return count


def seen_key(frame: Frame, up: bool) -> SeenKey:
    """The client first."""
    if up:
        return frame.source, frame.destination, frame.source_port, frame.destination_port, frame.protocol
    return frame.destination, frame.source, frame.destination_port, frame.source_port, frame.protocol


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: value + other[name] for name, value in one.items()}


__all__ = ["PacketInspector", "Refused"]
