"""Says the kernel's own messages to another namespace: addresses, routes and rules as they were listed.

Takes from each what a request may hold, and turns device numbers into those of the other side. What the kernel does
not take is noted, never fatal. Layouts: rtnetlink(7), <linux/rtnetlink.h>, <linux/fib_rules.h>, <linux/if_addr.h>.
"""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping

from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import KernelSocket
from netpolicy.dataplane.state import NetlinkError

ADD = wire.F_CREATE | wire.F_EXCL
APPEND = wire.F_CREATE | 0x800  # NLM_F_APPEND: beside one of the same metric

KERNEL = 2  # RTPROT_KERNEL: what an address brings with it
LOCAL_TABLE = 255
MADE_BY_ADDRESSES = (2, 3, 4, 5)  # route types: local, broadcast, anycast, multicast
ROUTE_FLAGS = 0x4  # RTNH_F_ONLINK; the others are the kernel's to set
RULE_INVERT = 0x2

IFA_BROADCAST, IFA_CACHEINFO, IFA_RT_PRIORITY = 4, 6, 9
IFA_NODAD, IFA_NOPREFIXROUTE = 0x02, 0x200
ADDRESS_KEEPS = (codec.IFA_ADDRESS, codec.IFA_LOCAL, IFA_BROADCAST, IFA_CACHEINFO, IFA_RT_PRIORITY)
# DST, SRC, OIF, GATEWAY, PRIORITY, PREFSRC, METRICS, MULTIPATH, FLOW, TABLE, VIA, PREF
ROUTE_KEEPS = (1, 2, 4, 5, 6, 7, 8, 9, 11, 15, 18, 20)
RTA_ENCAP = 22

# Routes may need others to be there first: gateways of gateways.
PASSES = 4
MOST_NOTES = 5


def addresses(kernel: KernelSocket, messages: Iterable[bytes], numbers: Mapping[int, int]) -> list[str]:
    """Adds them, without duplicate detection; the notes."""
    notes: list[str] = []
    for message in messages:
        family, length, _flags, scope, index = codec.IFADDRMSG.unpack_from(message)
        if index not in numbers:
            continue
        found = wire.attributes(message, codec.IFADDRMSG.size)
        flags = wire.number(found.get(codec.IFA_FLAGS)) & IFA_NOPREFIXROUTE | IFA_NODAD
        body = codec.IFADDRMSG.pack(family, length, IFA_NODAD, scope, numbers[index]) + _kept(found, ADDRESS_KEEPS)
        body += wire.attribute(codec.IFA_FLAGS, wire.U32.pack(flags))
        address = codec.address(message, {})
        with noting(notes):
            kernel.request(f"add address {address.address if address else '?'}", codec.NEWADDR, ADD, body)
    return _few(notes, "addresses")


def routes(kernel: KernelSocket, messages: Iterable[bytes], numbers: Mapping[int, int]) -> list[str]:
    """Adds them in an order that works; the notes. Those over devices that were not built are passed over."""
    left = [(body, flags) for one in messages for body, flags in _route(one, numbers)]
    notes: list[str] = []
    for _ in range(PASSES):
        notes = []
        refused = []
        for body, flags in left:
            before = len(notes)
            with noting(notes):
                kernel.request(f"add route {_destination(body)}", codec.NEWROUTE, flags, body)
            if len(notes) > before:
                refused.append((body, flags))
        if not refused or len(refused) == len(left):
            break
        left = refused
    return _few(notes, "routes")


def rules(kernel: KernelSocket, messages: Iterable[bytes]) -> list[str]:
    """Makes the rules those: the three of a new namespace may have been deleted where these are from."""
    wanted = [_rule(one) for one in messages]
    there: list[bytes] = []
    for family in (2, 10):
        with contextlib.suppress(NetlinkError):
            body = codec.FIBRULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            there += [
                _rule(one.payload)
                for one in kernel.dump("list rules", codec.GETRULE, body)
                if one.kind == codec.NEWRULE
            ]
    notes: list[str] = []
    for body in wanted:
        if body not in there:
            with noting(notes):
                kernel.request("add rule", codec.NEWRULE, ADD, body)
    for body in there:
        if body not in wanted:
            with noting(notes):
                kernel.request("delete rule", codec.DELRULE, 0, body)
    return _few(notes, "rules")


@contextlib.contextmanager
def noting(notes: list[str]) -> Iterator[None]:
    """A refusal of the kernel becomes a note; that something is there already is none."""
    try:
        yield
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            notes.append(str(error))


def _few(notes: list[str], what: str) -> list[str]:
    if len(notes) <= MOST_NOTES:
        return notes
    return [*notes[:MOST_NOTES], f"{len(notes) - MOST_NOTES} more {what} of others are left out"]


def _kept(found: Mapping[int, bytes], kinds: Collection[int]) -> bytes:
    return b"".join([wire.attribute(kind, value) for kind, value in found.items() if kind in kinds])


def _route(message: bytes, numbers: Mapping[int, int]) -> Iterator[tuple[bytes, int]]:
    """The request, with its flags; nothing for what comes with an address."""
    family, to, source, tos, table, protocol, scope, kind, flags = codec.RTMSG.unpack_from(message)
    if protocol == KERNEL and (kind in MADE_BY_ADDRESSES or table == LOCAL_TABLE):
        return
    found = wire.attributes(message, codec.RTMSG.size)
    kept = {number: value for number, value in found.items() if number in ROUTE_KEEPS}
    if codec.RTA_OIF in kept:
        index = numbers.get(wire.number(kept[codec.RTA_OIF]))
        if index is None:
            return
        kept[codec.RTA_OIF] = wire.U32.pack(index)
    if codec.RTA_MULTIPATH in kept:
        kept[codec.RTA_MULTIPATH] = hops = _hops(kept[codec.RTA_MULTIPATH], numbers)
        if not hops:
            return
    head = codec.RTMSG.pack(family, to, source, tos, table, protocol, scope, kind, flags & ROUTE_FLAGS)
    yield head + _kept(kept, ROUTE_KEEPS), ADD if protocol == KERNEL else APPEND


def _hops(data: bytes, numbers: Mapping[int, int]) -> bytes:
    """Next hops of a route, those over devices that are not there left out."""
    made = b""
    offset = 0
    while len(data) - offset >= codec.NEXTHOP.size:
        length, flags, weight, index = codec.NEXTHOP.unpack_from(data, offset)
        if length < codec.NEXTHOP.size or offset + length > len(data):
            break
        inner = data[offset + codec.NEXTHOP.size : offset + length]
        if index in numbers:
            inner = _kept(wire.attributes(inner), ROUTE_KEEPS)
            made += (
                codec.NEXTHOP.pack(codec.NEXTHOP.size + len(inner), flags & ROUTE_FLAGS, weight, numbers[index]) + inner
            )
        offset += (length + 3) & ~3
    return made


def _rule(message: bytes) -> bytes:
    """As a request, and for comparing: what the kernel adds of itself is gone, attributes are in order."""
    values = list(codec.FIBRULE.unpack_from(message))
    values[-1] &= RULE_INVERT
    found = wire.attributes(message, codec.FIBRULE.size)
    found.pop(codec.FRA_PAD, None)
    return codec.FIBRULE.pack(*values) + _kept(dict(sorted(found.items())), tuple(found))


def _destination(body: bytes) -> str:
    family, length = struct.unpack_from("BB", body)
    found = wire.attributes(body, codec.RTMSG.size)
    address = codec.ip_text(family, found.get(codec.RTA_DST))
    return f"{address}/{length}" if address else "default"
