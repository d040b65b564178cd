"""rtnetlink messages to and from records: which attribute holds what.

Pure: bytes in, records out and back. A message that lacks what its record needs reads as None.
Layouts: rtnetlink(7), <linux/rtnetlink.h>, <linux/if_addr.h>, <linux/neighbour.h>, <linux/fib_rules.h>.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from netpolicy.dataplane import netlink_records as records
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.state import Address, Link, Neighbour, Route, RoutingRule

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, GETNEIGH = 28, 30
NEWRULE, DELRULE, GETRULE = 32, 33, 34

IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change
IFADDRMSG = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
NDMSG = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
FIBRULE = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, -, -, action, flags
NEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, index

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MASTER, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_EXT_MASK = 1, 3, 10, 18, 1, 29
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
NDA_DST, NDA_LLADDR = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
RTA_MULTIPATH, RTA_TABLE, RTA_VIA = 9, 15, 18
FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_PRIORITY, FRA_FWMARK = 1, 2, 3, 6, 10
FRA_SUPPRESS_IFGROUP, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_FWMASK = 13, 14, 15, 16
FRA_OIFNAME, FRA_PAD, FRA_L3MDEV, FRA_PROTOCOL = 17, 18, 19, 21

# The table field has eight bits; RT_TABLE_COMPAT says "see the attribute".
TABLE_COMPAT = 252
# The suppressor the kernel reports where none is set.
NO_SUPPRESS = 0xFFFFFFFF
# Attributes a rule of ours has; any other is a selector.
PLAIN_RULE = frozenset(
    (FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_PRIORITY, FRA_FWMARK, FRA_SUPPRESS_IFGROUP, FRA_SUPPRESS_PREFIXLEN,
     FRA_TABLE, FRA_FWMASK, FRA_OIFNAME, FRA_PAD, FRA_L3MDEV, FRA_PROTOCOL)
)  # fmt: skip


def link(payload: bytes) -> Link | None:
    """A device of an RTM_NEWLINK message."""
    if len(payload) < IFINFOMSG.size:
        return None
    _family, _type, index, flags, _change = IFINFOMSG.unpack_from(payload)
    found = wire.attributes(payload, IFINFOMSG.size)
    name = wire.text(found.get(IFLA_IFNAME))
    kind = wire.text(wire.attributes(found.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND))
    mac = found.get(IFLA_ADDRESS, b"").hex(":")
    master = wire.number(found.get(IFLA_MASTER), 0)
    return records.link(index, name, flags, mac, kind, master) if name else None


def address(payload: bytes, names: Mapping[int, str]) -> Address | None:
    """An address of an RTM_NEWADDR message; None also for families that are not IP."""
    if len(payload) < IFADDRMSG.size or payload[0] not in records.OUR_FAMILY:
        return None
    family, length, flags, scope, index = IFADDRMSG.unpack_from(payload)
    found = wire.attributes(payload, IFADDRMSG.size)
    # on point-to-point devices IFA_ADDRESS is the other end
    own = ip_text(family, found.get(IFA_LOCAL) or found.get(IFA_ADDRESS))
    tentative = bool(wire.number(found.get(IFA_FLAGS), flags) & records.IFA_TENTATIVE)
    if not own:
        return None
    device = records.device_name(index, names)
    return Address(records.OUR_FAMILY[family], device, own, length, records.scope(scope), tentative)


def neighbour(payload: bytes, names: Mapping[int, str]) -> Neighbour | None:
    """An entry of an RTM_NEWNEIGH message with a known link-layer address."""
    if len(payload) < NDMSG.size or payload[0] not in records.OUR_FAMILY:
        return None
    family, index, state, _flags, _type = NDMSG.unpack_from(payload)
    found = wire.attributes(payload, NDMSG.size)
    ip, mac = ip_text(family, found.get(NDA_DST)), found.get(NDA_LLADDR, b"")
    if not state or state & records.NEIGHBOUR_UNKNOWN or not ip or len(mac) != 6:
        return None
    return Neighbour(records.OUR_FAMILY[family], records.device_name(index, names), ip, mac.hex(":"))


def route(payload: bytes, names: Mapping[int, str]) -> Route | None:
    """A route of an RTM_NEWROUTE message; None for cache entries and other families."""
    if len(payload) < RTMSG.size or payload[0] not in records.OUR_FAMILY:
        return None
    family, length, _, _, table, protocol, scope, kind, flags = RTMSG.unpack_from(payload)
    if flags & records.ROUTE_CLONED:
        return None
    found = wire.attributes(payload, RTMSG.size)
    hops = _hops(family, found.get(RTA_MULTIPATH, b"")) or [(_gateway(family, found), wire.number(found.get(RTA_OIF)))]
    return records.route(
        records.OUR_FAMILY[family],
        wire.number(found.get(RTA_TABLE), table),
        records.prefix(ip_text(family, found.get(RTA_DST)), length),
        kind,
        scope,
        protocol,
        wire.number(found.get(RTA_PRIORITY)),
        ip_text(family, found.get(RTA_PREFSRC)),
        hops,
        names,
    )


def rule(payload: bytes) -> RoutingRule | None:
    """A rule of an RTM_NEWRULE message."""
    if len(payload) < FIBRULE.size or payload[0] not in records.OUR_FAMILY:
        return None
    family, _, _, _, table, _, _, action, _ = FIBRULE.unpack_from(payload)
    found = wire.attributes(payload, FIBRULE.size)
    return RoutingRule(
        records.OUR_FAMILY[family],
        wire.number(found.get(FRA_PRIORITY)),
        wire.number(found.get(FRA_TABLE), table),
        wire.number(found.get(FRA_FWMARK)),
        wire.number(found.get(FRA_FWMASK)),
        records.ACTIONS.get(action, str(action)),
        wire.byte(found.get(FRA_PROTOCOL)),
        _selectors(payload, found),
        wire.text(found.get(FRA_OIFNAME)),
    )


def encode_route(operation: str, wanted: Route, index: int) -> bytes:
    """The body of an RTM_NEWROUTE or RTM_DELROUTE request. Raises NetlinkError for impossible fields."""
    records.check_range(operation, table=wanted.table, metric=wanted.metric)
    packed, length = records.destination(operation, wanted.family, wanted.destination)
    if wanted.kind == records.MULTIPATH:  # of a delete: the route with all its hops, whatever they are
        wanted, index = replace(wanted, gateway=""), 0
    kind = records.number_of(operation, wanted.kind, records.KIND_NUMBERS)
    scope = records.number_of(operation, wanted.scope, records.SCOPE_NUMBERS)
    table = wanted.table if wanted.table < 256 else TABLE_COMPAT
    family = records.FAMILIES[wanted.family]
    parts = [RTMSG.pack(family, length, 0, 0, table, wanted.protocol & 0xFF, scope, kind, 0)]
    parts += [wire.attribute(RTA_DST, packed)] if length else []
    parts += [_encode_gateway(operation, wanted)] if wanted.gateway else []
    parts += [wire.attribute(RTA_OIF, wire.U32.pack(index))] if index else []
    parts += [wire.attribute(RTA_PRIORITY, wire.U32.pack(wanted.metric))] if wanted.metric else []
    if wanted.source:
        source = records.packed_address(operation, wanted.family, wanted.source)
        parts.append(wire.attribute(RTA_PREFSRC, source))
    parts.append(wire.attribute(RTA_TABLE, wire.U32.pack(wanted.table)))
    return b"".join(parts)


def encode_rule(operation: str, wanted: RoutingRule) -> bytes:
    """The body of an RTM_NEWRULE or RTM_DELRULE request. Raises NetlinkError for impossible fields."""
    records.check_range(operation, table=wanted.table, priority=wanted.priority, mark=wanted.mark, mask=wanted.mask)
    source, length, suppress = records.writable_selectors(operation, wanted)
    records.check_device(operation, wanted.oif)
    action = records.number_of(operation, wanted.action, records.ACTION_NUMBERS)
    table = wanted.table if wanted.table < 256 else TABLE_COMPAT
    family = records.FAMILIES[wanted.family]
    parts = [FIBRULE.pack(family, 0, length, 0, table, 0, 0, action, 0)]
    parts += [wire.attribute(FRA_SRC, source)] if length else []
    numbers = {FRA_PRIORITY: wanted.priority, FRA_TABLE: wanted.table}
    if wanted.mark or wanted.mask:
        numbers |= {FRA_FWMARK: wanted.mark, FRA_FWMASK: wanted.mask}
    if suppress is not None:
        numbers[FRA_SUPPRESS_PREFIXLEN] = suppress
    parts += [wire.attribute(kind, wire.U32.pack(value)) for kind, value in numbers.items()]
    if wanted.oif:
        parts.append(wire.attribute(FRA_OIFNAME, wire.string(wanted.oif)))
    parts.append(wire.attribute(FRA_PROTOCOL, bytes((wanted.protocol & 0xFF,))))
    return b"".join(parts)


def ip_text(family: int, packed: bytes | None) -> str:
    """An address in words; "" where the bytes are absent or of another size."""
    size = 4 if family == socket.AF_INET else 16
    return socket.inet_ntop(family, packed) if packed and len(packed) == size else ""


def _gateway(family: int, found: Mapping[int, bytes]) -> str:
    via = found.get(RTA_VIA, b"")  # an IPv4 route through an IPv6 neighbour
    if len(via) > 2:
        return ip_text(struct.unpack_from("=H", via)[0], via[2:])
    return ip_text(family, found.get(RTA_GATEWAY))


def _encode_gateway(operation: str, wanted: Route) -> bytes:
    if wanted.family == 4 and ":" in wanted.gateway:
        packed = records.packed_address(operation, 6, wanted.gateway)
        return wire.attribute(RTA_VIA, struct.pack("=H", socket.AF_INET6) + packed)
    return wire.attribute(RTA_GATEWAY, records.packed_address(operation, wanted.family, wanted.gateway))


def _hops(family: int, data: bytes) -> list[records.Hop]:
    """The next hops of RTA_MULTIPATH: records that carry their own attributes."""
    hops: list[records.Hop] = []
    offset = 0
    while len(data) - offset >= NEXTHOP.size:
        length, _flags, _hops, index = NEXTHOP.unpack_from(data, offset)
        if length < NEXTHOP.size or offset + length > len(data):
            break
        inner = wire.attributes(data[offset + NEXTHOP.size : offset + length])
        hops.append((_gateway(family, inner), index))
        offset += (length + 3) & ~3
    return hops


def _selectors(payload: bytes, found: Mapping[int, bytes]) -> str:
    family, to_length, from_length, tos, _, _, _, _, flags = FIBRULE.unpack_from(payload)
    suppress = wire.number(found.get(FRA_SUPPRESS_PREFIXLEN), NO_SUPPRESS)
    group = wire.number(found.get(FRA_SUPPRESS_IFGROUP), NO_SUPPRESS)
    return records.selectors(
        inverted=bool(flags & records.RULE_INVERT),
        source=records.prefix(ip_text(family, found.get(FRA_SRC)), from_length) if from_length else "",
        target=records.prefix(ip_text(family, found.get(FRA_DST)), to_length) if to_length else "",
        tos=tos,
        iif=wire.text(found.get(FRA_IIFNAME)),
        suppress_prefixlength=None if suppress == NO_SUPPRESS else suppress,
        suppress_group=None if group == NO_SUPPRESS else group,
        l3mdev=wire.byte(found.get(FRA_L3MDEV)) != 0,
        others=sorted(set(found) - PLAIN_RULE),
    )
