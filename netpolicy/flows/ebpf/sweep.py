"""Which flows of the map are over without a word, which have changed, and which are to be forgotten.

Pure: no clock, no map. Closed and reset connections are told by the program itself; the rest is silence,
and how long that may last is decided here.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from netpolicy.flows.ebpf import layout
from netpolicy.flows.ebpf.layout import SIDE_ANSWERED, SIDE_DATA, SIDE_FIN, SIDE_TOLD, TCP

KEEP, CHANGED, OVER, FORGET = "keep", "changed", "over", "forget"

PORT_DNS = 53
SECOND = 10**9 / (1 << layout.COARSE)  # in the unit of `last`

# The program's clock may be a tick behind, which is 10 ms at most, and both ends are rounded.
BEHIND = 11

# Where a verdict looks: when each side was last seen, and its flags.
UP, DOWN = (struct.Struct(f"={side + layout.LAST}xIH") for side in (layout.UP, layout.DOWN))
PACKETS_UP, PACKETS_DOWN = (struct.Struct(f"={side + layout.PACKETS}xI") for side in (layout.UP, layout.DOWN))
PROTOCOL = struct.Struct("=36xI")
REMOTE_PORT = struct.Struct(">34xH")


class Patience(NamedTuple):
    """Seconds of silence after which a flow is over."""

    told: float = 5.0  # reset, and told at once: what is still under way is not to look like a new one
    unanswered: float = 20.0  # Linux repeats a SYN after 1, 3, 7, 15 s
    closing: float = 15.0  # both sides said that they end, but not all was acknowledged
    tcp: float = 900.0
    udp: float = 120.0  # two minutes are conntrack's answer too
    dns: float = 10.0


class Verdict(NamedTuple):
    """What is to be done with an entry; `told`: its end was told to user space before."""

    what: str
    told: bool


def judge(key: bytes | memoryview, flow: bytes | memoryview, now: int, since: int, patience: Patience) -> Verdict:
    """`now` in nanoseconds of the monotonic clock; changed is what had a packet in the `since` ns before."""
    last_up, flags_up = UP.unpack_from(flow)
    last_down, flags_down = DOWN.unpack_from(flow)
    # a side without packets has no time; most flows have both
    up = layout.age(last_up, now) if last_up or PACKETS_UP.unpack_from(flow)[0] else layout.WORD
    down = layout.age(last_down, now) if last_down or PACKETS_DOWN.unpack_from(flow)[0] else layout.WORD
    silent, both = min(up, down), flags_up | flags_down
    told = bool(both & SIDE_TOLD)
    if silent > limit(key, flags_up, flags_down, patience) * SECOND:
        return Verdict(FORGET if told else OVER, told)
    # rather told twice than not at all
    return Verdict(CHANGED if not told and silent <= (since >> layout.COARSE) + BEHIND else KEEP, told)


def limit(key: bytes | memoryview, up: int, down: int, patience: Patience) -> float:
    """The patience that flows of this kind and state meet."""
    if PROTOCOL.unpack_from(key)[0] != TCP:
        return patience.dns if REMOTE_PORT.unpack_from(key)[0] == PORT_DNS else patience.udp
    both = up | down
    if both & SIDE_TOLD:
        return patience.told
    if up & down & SIDE_FIN:
        return patience.closing
    return patience.tcp if both & (SIDE_ANSWERED | SIDE_DATA) else patience.unanswered
