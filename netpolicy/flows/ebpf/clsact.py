"""Filters of ours in the traffic control of a device, by raw rtnetlink: for kernels without tcx.

Never touches a filter or a queueing discipline of others, and never works on a device whose `ffff:` is of another
kind than clsact: there an egress filter would silently become an ingress one. Layouts: <linux/rtnetlink.h>,
<linux/pkt_sched.h>, <linux/pkt_cls.h>.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import KernelSocket, refusal
from netpolicy.dataplane.state import NetlinkError

NEW_QDISC, DELETE_QDISC, GET_QDISC = 36, 37, 38
NEW_FILTER, DELETE_FILTER, GET_FILTER = 44, 45, 46

TCMSG = struct.Struct("=BxxxiIII")  # family, device, handle, parent, info
KIND, OPTIONS = 1, 2
BPF_FD, BPF_NAME, BPF_FLAGS = 6, 7, 8
DIRECT_ACTION = 1  # the program's answer is the verdict

QDISC_HANDLE, QDISC_PARENT = 0xFFFF0000, 0xFFFFFFF1
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
ALL_PROTOCOLS = socket.htons(3)  # ETH_P_ALL

# Fixed, so that a new process replaces what a killed one left; the handle is "np".
HANDLE = 0x6E70
PRIORITIES = range(1, 17)  # early: who ends the chain before us hides its packets from us
NAME = "netpolicy"
# In the name of our filters where the clsact is ours too, so that whoever comes after a killed process knows it.
NAME_WITH_CLSACT = NAME + "_clsact"

GONE = (errno.ENOENT, errno.EINVAL, errno.ENODEV)


class Filter(NamedTuple):
    """One filter as the kernel lists it; `name` of bpf filters only."""

    device: int
    parent: int
    priority: int
    protocol: int
    handle: int
    kind: str
    name: str

    @property
    def is_ours(self) -> bool:
        """Made by this program, now or before it was killed."""
        return self.kind == "bpf" and self.handle == HANDLE and self.name.startswith(NAME)

    @property
    def has_our_clsact(self) -> bool:
        """It is ours, and says that the clsact it is in is too."""
        return self.is_ours and self.name.startswith(NAME_WITH_CLSACT)


def qdisc_body(device: int) -> bytes:
    """The body of a request for a clsact."""
    return TCMSG.pack(0, device, QDISC_HANDLE, QDISC_PARENT, 0) + wire.attribute(KIND, wire.string("clsact"))


def filter_body(device: int, parent: int, priority: int, program: int, name: str) -> bytes:
    """The body of a request for our filter with a program."""
    options = wire.attribute(BPF_FD, wire.U32.pack(program)) + wire.attribute(BPF_NAME, wire.string(name))
    options += wire.attribute(BPF_FLAGS, wire.U32.pack(DIRECT_ACTION))
    return place_body(device, parent, priority) + wire.attribute(OPTIONS, options)


def place_body(device: int, parent: int, priority: int) -> bytes:
    """What names our filter at one place."""
    head = TCMSG.pack(0, device, HANDLE, parent, priority << 16 | ALL_PROTOCOLS)
    return head + wire.attribute(KIND, wire.string("bpf"))


def qdisc_kinds(answers: Iterable[wire.Message]) -> dict[int, str]:
    """By device index: of which kind its `ffff:` is."""
    found: dict[int, str] = {}
    for answer in answers:
        if answer.kind == NEW_QDISC and len(answer.payload) >= TCMSG.size:
            _, device, handle, _, _ = TCMSG.unpack_from(answer.payload)
            if handle == QDISC_HANDLE:
                found[device] = wire.text(wire.attributes(answer.payload, TCMSG.size).get(KIND))
    return found


def filters(answers: Iterable[wire.Message]) -> list[Filter]:
    """The filters of a listing, without the heads of their chains."""
    found: list[Filter] = []
    for answer in answers:
        if answer.kind != NEW_FILTER or len(answer.payload) < TCMSG.size:
            continue
        _, device, handle, parent, info = TCMSG.unpack_from(answer.payload)
        attributes = wire.attributes(answer.payload, TCMSG.size)
        name = wire.text(wire.attributes(attributes.get(OPTIONS, b"")).get(BPF_NAME))
        kind = wire.text(attributes.get(KIND))
        found.append(Filter(device, parent, info >> 16, info & 0xFFFF, handle, kind, name))
    return found


def free_priority(present: Iterable[Filter]) -> int:
    """Where our filter is, or can be: a priority holds filters of one kind and protocol. 0 where all are taken."""
    by_priority: dict[int, list[Filter]] = {}
    for one in present:
        if one.is_ours:
            return one.priority
        by_priority.setdefault(one.priority, []).append(one)
    for priority in PRIORITIES:
        others = by_priority.get(priority, [])
        if all(one.kind == "bpf" and one.protocol == ALL_PROTOCOLS and one.handle != HANDLE for one in others):
            return priority
    return 0


class TrafficControl:
    """Questions and changes in the network namespace where this was opened. Raises NetlinkError."""

    def __init__(self, kernel: KernelSocket) -> None:
        self._kernel = kernel

    def kinds(self) -> dict[int, str]:
        """By device index: the kind of `ffff:` where a device has one, clsact or ingress."""
        return qdisc_kinds(self._kernel.dump("list queueing disciplines", GET_QDISC, TCMSG.pack(0, 0, 0, 0, 0)))

    def filters(self, device: int, parent: int) -> list[Filter]:
        """Those of one side of a device that has a clsact."""
        body = TCMSG.pack(0, device, 0, parent, 0)
        return [one for one in filters(self._kernel.dump("list filters", GET_FILTER, body)) if one.device == device]

    def provide_clsact(self, device: int, name: str) -> bool:
        """See that the device has a clsact; whether it is ours. Refuses a device with something else in its place."""
        kind = self.kinds().get(device, "")
        if kind not in ("", "clsact"):
            reason = f"it has an {kind!r} queueing discipline, which another program needs (SQM, perhaps)"
            raise NetlinkError(f"attach to {name} by clsact", errno.EBUSY, reason)
        if not kind:
            flags = wire.F_CREATE | wire.F_EXCL
            self._kernel.request(f"add a clsact to {name}", NEW_QDISC, flags, qdisc_body(device))
            return True
        return any(one.has_our_clsact for parent in (INGRESS, EGRESS) for one in self.filters(device, parent))

    def attach(self, device: int, parent: int, program: int, name: str) -> None:
        """Put our filter there; one of a killed process is replaced, without a packet that sees neither."""
        priority = free_priority(self.filters(device, parent))
        if not priority:
            raise refusal(f"find a place for {name} among the filters", errno.EEXIST)
        body = filter_body(device, parent, priority, program, name)
        self._kernel.request(f"add the filter {name}", NEW_FILTER, wire.F_CREATE | wire.F_REPLACE, body)

    def has_ours(self, device: int) -> bool:
        """Both directions are there."""
        if self.kinds().get(device) != "clsact":
            return False
        return all(any(one.is_ours for one in self.filters(device, parent)) for parent in (INGRESS, EGRESS))

    def remove(self, device: int, with_clsact: bool = False) -> int:
        """Take our filters off one device; how many there were.

        With them goes the clsact, where it is ours (they say so, or the caller does) and nobody else's filter is in
        it by now: as long as there is one no shaper can put an ingress there. One that others made stays.
        """
        if self.kinds().get(device) != "clsact":
            return 0
        sides = [(parent, one) for parent in (INGRESS, EGRESS) for one in self.filters(device, parent)]
        count = sum([self._remove(one, parent) for parent, one in sides if one.is_ours])
        is_ours = with_clsact or any(one.has_our_clsact for _, one in sides)
        if is_ours and not any(self.filters(device, parent) for parent in (INGRESS, EGRESS)):
            self._request_removal(f"remove the clsact of device {device}", DELETE_QDISC, qdisc_body(device))
        return count

    def remove_all(self) -> int:
        """The same on every device of this namespace: what killed processes left."""
        return sum([self.remove(device) for device, kind in self.kinds().items() if kind == "clsact"])

    def _remove(self, one: Filter, parent: int) -> int:
        body = place_body(one.device, parent, one.priority)
        return self._request_removal(f"remove the filter {one.name}", DELETE_FILTER, body)

    def _request_removal(self, operation: str, kind: int, body: bytes) -> int:
        """How many went: none where it is gone already."""
        try:
            self._kernel.request(operation, kind, 0, body)
        except NetlinkError as error:
            if error.errno not in GONE:
                raise
            return 0
        return 1
