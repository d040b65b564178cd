"""The values of `flows.seen` that events and entries of the program's maps say.

Pure: bytes in, values out; never reads beyond what it is given, never keeps a view of it. Thousands a second pass
here, so there are few steps and no keyword arguments. Where everything stands: `layout`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from netpolicy.flows.ebpf import layout
from netpolicy.flows.ebpf.layout import (
    COARSE,
    EVENT_OVER,
    EVENT_SIZE,
    FLOW_MID,
    KIND,
    KINDS,
    SIDE_ANSWERED,
    SIDE_FIN,
    SIDE_LOST,
    SIDE_OPENER,
    SIDE_RST,
    STATES,
    TCP,
    WORD,
)
from netpolicy.flows.seen import CLOSED, OPEN, RESET, SYN, Measured, Payload, Side

NO_MAC = bytes(6)
LONG_WORDS = struct.calcsize("P") == 8
LONGEST_PACKET = 40 + 0xFFFF  # IPv6

# Makes a record without the checks of its own constructor: a third of the time.
_make = tuple.__new__
# Found once, and not in two modules each time.
_event, _over, _key, _flow = (form.unpack_from for form in (layout.EVENT, layout.OVER, layout.KEY, layout.FLOW))


def telling(
    on_payload: Callable[[Payload], None], on_measured: Callable[[Measured], None], on_unreadable: Callable[[], None]
) -> Callable[[bytes], None]:
    """What takes an event of the ring and calls one of these: the last where it is cut short, or of an unknown kind."""

    def tell(event: bytes) -> None:
        if len(event) > KIND and event[KIND] == EVENT_OVER:
            measured = over(event)
            if measured is not None:
                on_measured(measured)
                return
        else:
            found = payload(event)
            if found is not None:
                on_payload(found)
                return
        on_unreadable()

    return tell


def payload(event: bytes) -> Payload | None:
    """The payload of an event with one."""
    try:
        numbers = _event(event)
    except struct.error:
        return None
    when, kind, length, offset, first = numbers[:5]
    name, end = KINDS.get(kind), EVENT_SIZE + length
    if name is None or len(event) < end:
        return None
    return _make(Payload, (numbers[5:], name, offset, event[EVENT_SIZE:end], when / 1e9, first != 0))


def over(event: bytes) -> Measured | None:
    """The flow whose end an event tells. The program has it in our words and units, and in our order."""
    try:
        numbers = _over(event)
    except struct.error:
        return None
    up, down, mac = numbers[6:15], numbers[15:24], numbers[30]
    if not LONG_WORDS:
        up, down = (whole(up[0], up[1]), *up[1:]), (whole(down[0], down[1]), *down[1:])
    return _make(
        Measured,
        (
            numbers[1:6],
            STATES[numbers[29] & 3],
            _make(Side, up),
            _make(Side, down),
            *numbers[24:29],
            numbers[31] / 1e9,
            numbers[32] / 1e9,
            True,
            numbers[0],
            mac if mac != NO_MAC else b"",
        ),
    )


def measured(key: bytes | memoryview, flow: bytes | memoryview, now: int, final: bool) -> Measured:
    """What an entry of the map says. `now`: nanoseconds of the monotonic clock.

    What `send_over` of the program makes of it, for flows that did not end.
    """
    client, remote, a, b, c, d, protocol = _key(key)
    (
        first, ifindex, flags, mac,
        up_bytes, up_packets, up_again, up_srtt, up_handshake, up_last,
        up_flags, up_syns, up_resets, up_ttl, up_rst_ttl,
        down_bytes, down_packets, down_again, down_srtt, down_handshake, down_last,
        down_flags, down_syns, down_resets, down_ttl, down_rst_ttl,
    ) = _flow(flow)  # fmt: skip
    if not LONG_WORDS:
        up_bytes, down_bytes = whole(up_bytes, up_packets), whole(down_bytes, down_packets)
    # Of both sides the later one was seen so long ago, in units of 2^20 ns. One without packets has no time, and one
    # that seems to lie ahead has just been.
    passed = now >> COARSE
    if not up_packets:
        up_last = down_last
    elif not down_packets:
        down_last = up_last
    up_ago, down_ago = passed - up_last & WORD, passed - down_last & WORD
    last = now - (min(up_ago, down_ago) << COARSE) if up_ago | down_ago <= WORD >> 1 else now
    # The time until a side acknowledges is kept with that side, eightfold, and told of the one that waited for it.
    up = (
        up_bytes, up_packets, up_again, up_resets, up_syns, up_flags & SIDE_FIN != 0, down_srtt * 16 // 125, up_ttl,
        up_rst_ttl,
    )  # fmt: skip
    down = (
        down_bytes, down_packets, down_again, down_resets, down_syns, down_flags & SIDE_FIN != 0, up_srtt * 16 // 125,
        down_ttl, down_rst_ttl,
    )  # fmt: skip
    # Each side keeps how long it took to answer; whoever opens, the SYN-ACK's time comes first.
    inbound = down_flags & SIDE_OPENER != 0
    if inbound:
        up_handshake, down_handshake = down_handshake, up_handshake
    return _make(
        Measured,
        (
            (client, remote, a * 256 + b, c * 256 + d, protocol),
            state(protocol, up_flags, down_flags, flags),
            _make(Side, up),
            _make(Side, down),
            down_handshake * 128 // 125,
            up_handshake * 128 // 125,
            inbound,
            flags & FLOW_MID != 0,
            (up_flags | down_flags) & SIDE_LOST != 0,
            first / 1e9,
            max(first, last) / 1e9,
            final,
            ifindex,
            mac if mac != NO_MAC else b"",
        ),
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
    return size if size <= WORD else min(size, packets * LONGEST_PACKET)
