"""Traffic control messages to and from records: root queues, their classes and what stands below a class.

Pure: bytes in, records out and back. A message that lacks what its record needs reads as None.
Layouts: tc(8), <linux/rtnetlink.h> (tcmsg), <linux/pkt_sched.h> (HTB, fq_codel, fifo), <linux/gen_stats.h>.
"""

from __future__ import annotations

import struct

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.record import Record

NEWQDISC, DELQDISC, GETQDISC = 36, 37, 38
NEWTCLASS, DELTCLASS, GETTCLASS = 40, 41, 42

TCMSG = struct.Struct("=BxxxiIII")  # family, index, handle, parent, info
ROOT = 0xFFFFFFFF

TCA_KIND, TCA_OPTIONS, TCA_STATS2 = 1, 2, 7
TCA_STATS_BASIC, TCA_STATS_QUEUE = 1, 3
TCA_HTB_PARMS, TCA_HTB_INIT, TCA_HTB_RATE64, TCA_HTB_CEIL64 = 1, 2, 6, 7
TCA_FQ_CODEL_TARGET, TCA_FQ_CODEL_LIMIT, TCA_FQ_CODEL_INTERVAL, TCA_FQ_CODEL_MEMORY_LIMIT = 1, 2, 3, 9

RATESPEC = struct.Struct("=BBHhHI")  # cell_log, linklayer, overhead, cell_align, mpu, rate
HTB_OPT = struct.Struct("=12s12sIIIII")  # rate, ceil, buffer, cbuffer, quantum, level, prio
HTB_GLOB = struct.Struct("=IIIII")  # version, rate2quantum, defcls, debug, direct packets
BASIC = struct.Struct("=QI")  # bytes, packets
QUEUE = struct.Struct("=IIIII")  # queue length, backlog, drops, requeues, overlimits
U64 = struct.Struct("=Q")

HTB_VERSION = 3
# Said for each class itself: the kernel would work it out of the rate, and complain in its log.
RATE_TO_QUANTUM = 10
ETHERNET = 1  # TC_LINKLAYER_ETHERNET: without it the kernel wants a table of rates

TICK_NS = 64  # PSCHED_SHIFT is 6
WORD = 0xFFFFFFFF


class Queue(Record):
    """A qdisc. `handle` 0: the kernel's default; `parent` ROOT, or the class it stands below."""

    __slots__ = ("default", "handle", "index", "kind", "parent")

    def __init__(self, index: int, kind: str, handle: int, parent: int, default: int = 0) -> None:
        self.index = index  # of the device
        self.kind = kind
        self.handle = handle
        self.parent = parent
        self.default = default  # HTB: the class of what no class is said for

    def values(self) -> tuple[object, ...]:
        return (self.index, self.kind, self.handle, self.parent, self.default)


class HtbClass(Record):
    """A class of HTB; rates in bytes a second, `burst` in bytes."""

    __slots__ = ("ceil", "drops", "handle", "packets", "rate", "sent")

    def __init__(self, handle: int, rate: int, ceil: int, sent: int = 0, packets: int = 0, drops: int = 0) -> None:
        self.handle = handle
        self.rate = rate
        self.ceil = ceil
        self.sent = sent  # bytes
        self.packets = packets
        self.drops = drops

    def values(self) -> tuple[object, ...]:
        return (self.handle, self.rate, self.ceil, self.sent, self.packets, self.drops)


def request(index: int, handle: int = 0, parent: int = 0) -> bytes:
    """The head of a request; alone it asks for a dump, or says what to delete."""
    return TCMSG.pack(0, index, handle, parent, 0)


def htb(index: int, handle: int, default: int, kind: str = "htb") -> bytes:
    """The body of an RTM_NEWQDISC request for a root queue."""
    options = wire.attribute(TCA_HTB_INIT, HTB_GLOB.pack(HTB_VERSION, RATE_TO_QUANTUM, default, 0, 0))
    return request(index, handle, ROOT) + _kind(kind) + wire.nested(TCA_OPTIONS, options)


def htb_class(index: int, parent: int, handle: int, rate: int, burst: int, quantum: int) -> bytes:
    """The body of an RTM_NEWTCLASS request: never faster than `rate` bytes a second."""
    # Whole microseconds, and floats, as in tc: its class is to be no other than ours.
    ticks = min(int(1_000_000 * (burst / rate)) * 1000 // TICK_NS, WORD)
    spec = RATESPEC.pack(0, ETHERNET, 0, 0, 0, min(rate, WORD))
    parts = [wire.attribute(TCA_HTB_PARMS, HTB_OPT.pack(spec, spec, ticks, ticks, quantum, 0, 0))]
    if rate > WORD:
        parts += [wire.attribute(kind, U64.pack(rate)) for kind in (TCA_HTB_RATE64, TCA_HTB_CEIL64)]
    return request(index, handle, parent) + _kind("htb") + wire.nested(TCA_OPTIONS, *parts)


def fq_codel(index: int, parent: int, target_us: int, interval_us: int, memory: int) -> bytes:
    """The body of an RTM_NEWQDISC request: fair between connections, and no long queue."""
    numbers = {TCA_FQ_CODEL_TARGET: target_us, TCA_FQ_CODEL_INTERVAL: interval_us, TCA_FQ_CODEL_MEMORY_LIMIT: memory}
    options = [wire.attribute(kind, wire.U32.pack(value)) for kind, value in numbers.items()]
    return request(index, 0, parent) + _kind("fq_codel") + wire.nested(TCA_OPTIONS, *options)


def bfifo(index: int, parent: int, size: int) -> bytes:
    """The body of an RTM_NEWQDISC request: first in, first out, so many bytes."""
    return request(index, 0, parent) + _kind("bfifo") + wire.attribute(TCA_OPTIONS, wire.U32.pack(size))


def queue(payload: bytes) -> Queue | None:
    """A qdisc of an RTM_NEWQDISC message."""
    if len(payload) < TCMSG.size:
        return None
    _, index, handle, parent, _ = TCMSG.unpack_from(payload)
    found = wire.attributes(payload, TCMSG.size)
    kind = wire.text(found.get(TCA_KIND))
    initial = wire.attributes(found.get(TCA_OPTIONS, b"")).get(TCA_HTB_INIT, b"") if kind == "htb" else b""
    default = HTB_GLOB.unpack_from(initial)[2] if len(initial) >= HTB_GLOB.size else 0
    return Queue(index, kind, handle, parent, default) if kind else None


def read_class(payload: bytes) -> HtbClass | None:
    """A class of an RTM_NEWTCLASS message; None for those of other kinds."""
    if len(payload) < TCMSG.size:
        return None
    handle = TCMSG.unpack_from(payload)[2]
    found = wire.attributes(payload, TCMSG.size)
    options = wire.attributes(found.get(TCA_OPTIONS, b""))
    given = options.get(TCA_HTB_PARMS, b"")
    if wire.text(found.get(TCA_KIND)) != "htb" or len(given) < HTB_OPT.size:
        return None
    rate, ceil = (RATESPEC.unpack(spec)[5] for spec in HTB_OPT.unpack_from(given)[:2])
    stats = wire.attributes(found.get(TCA_STATS2, b""))
    sent, packets = _unpacked(BASIC, stats.get(TCA_STATS_BASIC, b""))[:2]
    drops = _unpacked(QUEUE, stats.get(TCA_STATS_QUEUE, b""))[2]
    return HtbClass(
        handle,
        _wide(options.get(TCA_HTB_RATE64), rate),
        _wide(options.get(TCA_HTB_CEIL64), ceil),
        sent,
        packets,
        drops,
    )


def _kind(word: str) -> bytes:
    return wire.attribute(TCA_KIND, wire.string(word))


def _wide(value: bytes | None, narrow: int) -> int:
    return int(U64.unpack(value)[0]) if value is not None and len(value) == U64.size else narrow


def _unpacked(layout: struct.Struct, data: bytes) -> tuple[int, ...]:
    if len(data) < layout.size:
        return (0,) * len(layout.unpack(bytes(layout.size)))
    return layout.unpack_from(data)
