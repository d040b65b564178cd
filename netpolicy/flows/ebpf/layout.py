"""What stands where in the maps and events of ebpf/npflow.bpf.c, and the values that are made of it.

Pure: bytes in, values out; never reads beyond what it is given, never keeps a view of it.
The layouts are those of the C file, whose sizes a test compares; byte order is the machine's, as maps have it.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

from netpolicy.flows.seen import (
    CLOSED,
    DNS_ANSWER,
    DNS_QUERY,
    INBOUND,
    OPEN,
    QUIC,
    RESET,
    STREAM,
    SYN,
    Measured,
    Payload,
    SeenKey,
    Side,
)

ADDRESSES = "16s16sHHI"  # client, remote, client port, remote port (both in network order), protocol
SIDE = "Q11I3H6B"
KEY_SIZE, SIDE_SIZE, FLOW_SIZE, EVENT_SIZE = 40, 64, 152, 64
PIECE = 8192  # the longest payload of an event
RECORD_SIZE = EVENT_SIZE + PIECE

EVENT = struct.Struct("=QHHIII" + ADDRESSES)  # when, kind, length, ifindex, offset, first
KEY = struct.Struct("=" + ADDRESSES)
FLOW = struct.Struct("=" + SIDE + SIDE + "QIH6s4x")  # up, down, first, ifindex, flags, mac
PORTS = struct.Struct(">HH")
PORTS_IN_KEY, PORTS_IN_EVENT = 32, 56

# struct flow: where a sweep looks before it reads all of it
LAST_UP, FLAGS_UP = 48, 52
LAST_DOWN, FLAGS_DOWN = SIDE_SIZE + LAST_UP, SIDE_SIZE + FLAGS_UP

STATS = struct.Struct("=10Q")
COUNTERS = ("packets", "other", "fragments", "malformed", "stray", "begun", "over", "full", "events", "lost")
SETTINGS = struct.Struct("=4I")  # on, urgent, wake, 0

# settings: what leaves the kernel
SEND_TLS, SEND_HTTP, SEND_DNS_ANSWERS, SEND_DNS_QUERIES, SEND_QUIC, SEND_OVER = 1, 2, 4, 8, 16, 32

# kinds of events
KINDS = {1: STREAM, 2: INBOUND, 3: DNS_QUERY, 4: DNS_ANSWER, 5: QUIC}
EVENT_DNS_ANSWER, EVENT_OVER = 4, 6

# struct side, flags
SIDE_SYN, SIDE_FIN, SIDE_RST, SIDE_DATA, SIDE_OPENER, SIDE_ANSWERED = 1, 2, 4, 8, 16, 32
SIDE_TOLD, SIDE_LOST = 128, 256
FLOW_MID = 1

TCP, UDP = 6, 17

# Times in `side` are the monotonic clock's nanoseconds, shifted: 1.024 us and 1.05 ms.
FINE, COARSE = 10, 20
WORD = 0xFFFFFFFF
LONG_WORDS = struct.calcsize("P") == 8
LONGEST_PACKET = 40 + 0xFFFF  # IPv6


class Sizes(NamedTuple):
    """What a map must have for these layouts to fit: key and value in bytes."""

    key: int
    value: int


MAPS = {
    "flows": Sizes(KEY_SIZE, FLOW_SIZE),
    "events": Sizes(0, 0),
    "scratch": Sizes(4, RECORD_SIZE),
    "counts": Sizes(4, STATS.size),
    "config": Sizes(4, SETTINGS.size),
}


def event_kind(event: bytes | memoryview) -> int:
    """Which event this is, 0 where it is none."""
    return int.from_bytes(event[8:10], sys.byteorder) if len(event) >= EVENT_SIZE else 0


def payload(event: bytes | memoryview) -> Payload | None:
    """The payload of an event with one; None where it is cut short or of another kind."""
    if len(event) < EVENT_SIZE:
        return None
    when, kind, length, _ifindex, offset, first, client, remote, _, _, protocol = EVENT.unpack_from(event)
    name = KINDS.get(kind)
    if name is None or len(event) < EVENT_SIZE + length:
        return None
    client_port, remote_port = PORTS.unpack_from(event, PORTS_IN_EVENT)
    key = (client, remote, client_port, remote_port, protocol)
    return Payload(key, name, offset, bytes(event[EVENT_SIZE : EVENT_SIZE + length]), when / 1e9, bool(first))


def over(event: bytes | memoryview) -> Measured | None:
    """The flow whose end an event tells; None where it is cut short."""
    if len(event) < EVENT_SIZE + FLOW_SIZE:
        return None
    when = int.from_bytes(event[:8], sys.byteorder)
    return measured(event[EVENT_SIZE - KEY_SIZE : EVENT_SIZE], event[EVENT_SIZE:], when, True)


def seen_key(key: bytes | memoryview) -> SeenKey:
    """The key of a flow, from the 40 bytes of the map."""
    client, remote, _, _, protocol = KEY.unpack_from(key)
    client_port, remote_port = PORTS.unpack_from(key, PORTS_IN_KEY)
    return client, remote, client_port, remote_port, protocol


def measured(key: bytes | memoryview, flow: bytes | memoryview, now: int, final: bool) -> Measured:
    """What an entry of the map says. `now`: nanoseconds of the monotonic clock, not before its last packet."""
    seen = seen_key(key)
    (
        up_bytes, up_packets, up_rtx, _, _, _, _, _, up_srtt, up_handshake, _, up_last,
        up_flags, _, _, up_syns, up_resets, up_ttl, up_ttl_reset, _, _,
        down_bytes, down_packets, down_rtx, _, _, _, _, _, down_srtt, down_handshake, _, down_last,
        down_flags, _, _, down_syns, down_resets, down_ttl, down_ttl_reset, _, _,
        first, ifindex, flags, mac,
    ) = FLOW.unpack_from(flow)  # fmt: skip
    # The time until a side acknowledges is kept with that side, and told of the one that waited for it.
    up = Side(
        whole(up_bytes, up_packets), up_packets, up_rtx, up_resets, up_syns, bool(up_flags & SIDE_FIN),
        microseconds(down_srtt >> 3), up_ttl, up_ttl_reset,
    )  # fmt: skip
    down = Side(
        whole(down_bytes, down_packets), down_packets, down_rtx, down_resets, down_syns, bool(down_flags & SIDE_FIN),
        microseconds(up_srtt >> 3), down_ttl, down_ttl_reset,
    )  # fmt: skip
    # Each side keeps how long it took to answer; whoever opens, the SYN-ACK's time comes first.
    inbound = bool(down_flags & SIDE_OPENER)
    last = min(age(up_last, now) if up_packets else WORD, age(down_last, now) if down_packets else WORD)
    return Measured(
        seen,
        state(seen[4], up_flags, down_flags, flags),
        up,
        down,
        microseconds(up_handshake if inbound else down_handshake),
        microseconds(down_handshake if inbound else up_handshake),
        inbound,
        bool(flags & FLOW_MID),
        bool((up_flags | down_flags) & SIDE_LOST),
        first / 1e9,
        max(first, now - (last << COARSE)) / 1e9,
        final,
        ifindex,
        mac if any(mac) else b"",
    )


def state(protocol: int, up: int, down: int, flags: int) -> str:
    """The word for the flags of both sides."""
    if protocol != TCP:
        return OPEN
    both = up | down
    if both & SIDE_RST:
        return RESET
    if up & down & SIDE_FIN:
        return CLOSED
    return OPEN if both & SIDE_ANSWERED or flags & FLOW_MID else SYN


def whole(size: int, packets: int) -> int:
    """The bytes of so many packets; where words have 32 bits a number may be read half written."""
    return size if LONG_WORDS or size <= WORD else min(size, packets * LONGEST_PACKET)


def microseconds(ticks: int) -> int:
    """A time of `side`; one below the resolution is one microsecond."""
    return (ticks << FINE) // 1000


def age(last: int, now: int) -> int:
    """How long ago, in units of 2^20 ns; what seems to lie ahead has just been."""
    passed = ((now >> COARSE) - last) & WORD
    return passed if passed <= WORD >> 1 else 0
