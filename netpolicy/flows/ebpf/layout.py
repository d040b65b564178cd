"""What stands where in the maps and events of ebpf/npflow.bpf.c, and what its numbers mean.

Pure, and nothing but names: what is made of the bytes is in `entries`.
The layouts are those of the C file, whose sizes and numbers a test compares; byte order is the machine's.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

from netpolicy.flows.seen import (
    CLOSED,
    DNS_ANSWER,
    DNS_ANSWERING,
    DNS_ASKING,
    DNS_QUERY,
    HELLO,
    INBOUND,
    OPEN,
    QUIC,
    RESET,
    STREAM,
    SYN,
)

KEY_SIZE, SIDE_SIZE, FLOW_SIZE, EVENT_SIZE = 40, 64, 168, 64
PIECE = 8192  # the longest payload of an event
WALK_SIZE = 56  # of the program's own
RECORD_SIZE = EVENT_SIZE + PIECE + WALK_SIZE

# Client, remote, their ports byte by byte (in network order), protocol.
ADDRESSES = "16s16s4BI"
# Bytes, packets, retransmissions; srtt, handshake; last, flags; SYNs, RSTs, TTL, TTL of the RST.
# Left out: what only the program needs.
SIDE = "QII20xII4xIH4x4B2x"
FLOW_HEAD = "QIH6s20x"  # first, ifindex, flags, mac

KEY = struct.Struct("=" + ADDRESSES)
FLOW = struct.Struct("=" + FLOW_HEAD + SIDE + SIDE)  # up, down

# In events ports are numbers, so that what stands side by side is a SeenKey, a Side.
ENDS = "16s16sHHI"
TOLD = "QIIBB?xIBB6x"
EVENT = struct.Struct("=QHH4xII" + ENDS)  # when, kind, length; offset, first
# An event with a flow, in one go: the commonest of all. Device; up, down; both times of the handshake; opened by the
# remote, met in its middle, a piece lost; state, MAC; first and last time.
OVER = struct.Struct("=12xI8x" + ENDS + TOLD + TOLD + "II???B6s6xQQ")

# struct event: the lower byte of its kind; there are no 256 kinds
KIND = 8 if sys.byteorder == "little" else 9

# struct flow: where a sweep looks before it reads all of it
UP, DOWN = 40, 40 + SIDE_SIZE
LAST, FLAGS, PACKETS = 48, 52, 8

STATS = struct.Struct("=10Q8x")
COUNTERS = ("packets", "other", "fragments", "malformed", "stray", "begun", "over", "full", "events", "lost")
SETTINGS = struct.Struct("=4I")  # on, urgent, wake, 0

# settings: what leaves the kernel
SEND_TLS, SEND_HTTP, SEND_DNS_ANSWERS, SEND_DNS_QUERIES, SEND_QUIC, SEND_OVER = 1, 2, 4, 8, 16, 32

# kinds of events
KINDS = {1: STREAM, 2: INBOUND, 3: DNS_QUERY, 4: DNS_ANSWER, 5: QUIC, 7: DNS_ASKING, 8: DNS_ANSWERING, 9: HELLO}
EVENT_DNS_ANSWER, EVENT_OVER, EVENT_DNS_ANSWERING = 4, 6, 8

# struct side, flags
SIDE_SYN, SIDE_FIN, SIDE_RST, SIDE_DATA, SIDE_OPENER, SIDE_ANSWERED = 1, 2, 4, 8, 16, 32
SIDE_TOLD, SIDE_LOST = 128, 256
FLOW_MID = 1

# struct over, state
STATES = (SYN, OPEN, CLOSED, RESET)

TCP, UDP = 6, 17

# Times in `side` are the monotonic clock's nanoseconds, shifted: 1.024 us and 1.05 ms.
FINE, COARSE = 10, 20
WORD = 0xFFFFFFFF


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


def age(last: int, now: int) -> int:
    """How long ago a side was last seen, in units of 2^20 ns, at `now` ns; what seems to lie ahead has just been."""
    passed = ((now >> COARSE) - last) & WORD
    return passed if passed <= WORD >> 1 else 0
