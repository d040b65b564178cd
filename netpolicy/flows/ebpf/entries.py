"""The values of `flows.seen` that events and entries of the program's maps say.

Pure: bytes in, values out; never reads beyond what it is given, never keeps a view of it. Thousands a second pass
here, so there are few steps and no keyword arguments. Where everything stands: `layout`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from netpolicy.flows.ebpf import layout
from netpolicy.flows.ebpf.layout import (
    COARSE,
    EVENT_SIZE,
    FLOW_MID,
    FLOW_SIZE,
    KINDS,
    SIDE_ANSWERED,
    SIDE_FIN,
    SIDE_LOST,
    SIDE_OPENER,
    SIDE_RST,
    TCP,
    WORD,
)
from netpolicy.flows.seen import CLOSED, OPEN, RESET, SYN, Measured, Payload, SeenKey, Side

NO_MAC = bytes(6)
LONG_WORDS = struct.calcsize("P") == 8
LONGEST_PACKET = 40 + 0xFFFF  # IPv6

# Makes a record without the checks of its own constructor: a third of the time.
_make = tuple.__new__


def read(event: bytes | memoryview) -> Payload | Measured | None:
    """What an event of the ring says; None where it is cut short, or of a kind that is not known."""
    if len(event) < EVENT_SIZE:
        return None
    return over(event) if event[layout.KIND] == layout.EVENT_OVER else payload(event)


def payload(event: bytes | memoryview) -> Payload | None:
    """The payload of an event with one."""
    if len(event) < EVENT_SIZE:
        return None
    when, kind, length, _, offset, first, client, remote, a, b, c, d, protocol = layout.EVENT.unpack_from(event)
    name, end = KINDS.get(kind), EVENT_SIZE + length
    if name is None or len(event) < end:
        return None
    key = (client, remote, a << 8 | b, c << 8 | d, protocol)
    return _make(Payload, (key, name, offset, bytes(event[EVENT_SIZE:end]), when / 1e9, first != 0))


def over(event: bytes | memoryview) -> Measured | None:
    """The flow whose end an event tells."""
    if len(event) < EVENT_SIZE + FLOW_SIZE:
        return None
    when, client, remote, a, b, c, d, protocol, *numbers = layout.OVER.unpack_from(event)
    return _measured((client, remote, a << 8 | b, c << 8 | d, protocol), numbers, when, True)


def measured(key: bytes | memoryview, flow: bytes | memoryview, now: int, final: bool) -> Measured:
    """What an entry of the map says. `now`: nanoseconds of the monotonic clock, not before its last packet."""
    client, remote, a, b, c, d, protocol = layout.KEY.unpack_from(key)
    numbers = layout.FLOW.unpack_from(flow)
    return _measured((client, remote, a << 8 | b, c << 8 | d, protocol), numbers, now, final)


def _measured(key: SeenKey, numbers: Sequence[Any], now: int, final: bool) -> Measured:
    (
        first, ifindex, flags, mac,
        up_bytes, up_packets, up_again, up_srtt, up_handshake, up_last,
        up_flags, up_syns, up_resets, up_ttl, up_rst_ttl,
        down_bytes, down_packets, down_again, down_srtt, down_handshake, down_last,
        down_flags, down_syns, down_resets, down_ttl, down_rst_ttl,
    ) = numbers  # fmt: skip
    if not LONG_WORDS:
        up_bytes, down_bytes = whole(up_bytes, up_packets), whole(down_bytes, down_packets)
    # The time until a side acknowledges is kept with that side, eightfold, and told of the one that waited for it.
    up_fin, down_fin = up_flags & SIDE_FIN != 0, down_flags & SIDE_FIN != 0
    up = (up_bytes, up_packets, up_again, up_resets, up_syns, up_fin, (down_srtt << 7) // 1000, up_ttl, up_rst_ttl)
    down = (
        down_bytes, down_packets, down_again, down_resets, down_syns, down_fin, (up_srtt << 7) // 1000, down_ttl,
        down_rst_ttl,
    )  # fmt: skip
    # Each side keeps how long it took to answer; whoever opens, the SYN-ACK's time comes first.
    inbound = down_flags & SIDE_OPENER != 0
    times = (up_handshake, down_handshake) if inbound else (down_handshake, up_handshake)
    both = up_flags | down_flags
    return _make(
        Measured,
        (
            key,
            state(key[4], up_flags, down_flags, flags),
            _make(Side, up),
            _make(Side, down),
            (times[0] << 10) // 1000,
            (times[1] << 10) // 1000,
            inbound,
            flags & FLOW_MID != 0,
            both & SIDE_LOST != 0,
            first / 1e9,
            _last(up_last if up_packets else down_last, down_last if down_packets else up_last, first, now),
            final,
            ifindex,
            b"" if mac == NO_MAC else mac,
        ),
    )


def _last(up: int, down: int, first: int, now: int) -> float:
    """Seconds of the monotonic clock at which the later of both sides was seen; a millisecond sharp."""
    passed = now >> COARSE
    ago = min((passed - up) & WORD, (passed - down) & WORD)
    return max(first, now - (ago << COARSE)) / 1e9 if ago <= WORD >> 1 else now / 1e9


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
    return size if size <= WORD else min(size, packets * LONGEST_PACKET)
