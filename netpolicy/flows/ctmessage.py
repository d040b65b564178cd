"""Conntrack netlink messages to flows, and flows to the messages that ask for or delete them.

Pure, and never raises on what it reads: attributes that are unknown, missing or of a wrong size are skipped.
Layout: <linux/netfilter/nfnetlink_conntrack.h>; numbers in network byte order.
"""

from __future__ import annotations

import socket
import struct

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows.model import ICMP, ICMPV6, Flow, FlowEvent

NFGENMSG = struct.Struct("=BBH")  # family, version, resource (network byte order)
SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
NEW, GET, DELETE = SUBSYSTEM | 0, SUBSYSTEM | 1, SUBSYSTEM | 2

ORIGINAL, REPLY, STATUS, PROTOINFO, TIMEOUT, MARK = 1, 2, 3, 4, 7, 8
COUNTERS_ORIGINAL, COUNTERS_REPLY, ID, ZONE, MARK_MASK = 9, 10, 12, 18, 21
TUPLE_IP, TUPLE_PROTO, TUPLE_ZONE = 1, 2, 3
IPV4_SOURCE, IPV4_DESTINATION, IPV6_SOURCE, IPV6_DESTINATION = 1, 2, 3, 4
PROTO_NUMBER, PROTO_SOURCE, PROTO_DESTINATION = 1, 2, 3
PROTO_ICMP_ID, PROTO_ICMP_TYPE, PROTO_ICMP_CODE = 4, 5, 6
PROTO_ICMPV6_ID, PROTO_ICMPV6_TYPE, PROTO_ICMPV6_CODE = 7, 8, 9
COUNTER_PACKETS, COUNTER_BYTES = 1, 2

# CTA_PROTOINFO_TCP, _DCCP, _SCTP; in each of them attribute 1 is the state
STATES = {
    1: ("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT",
        "CLOSE", "SYN_SENT2"),
    2: ("NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT", "IGNORE", "INVALID"),
    3: ("NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD",
        "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT"),
}  # fmt: skip

OUR_FAMILY = {socket.AF_INET.value: 4, socket.AF_INET6.value: 6}
FAMILIES = {4: socket.AF_INET.value, 6: socket.AF_INET6.value}

# Nearly every tuple has one of two sizes and a fixed order of attributes: one unpack instead of three
# walks. Sizes of the headers inside are compared, so any other layout takes the walk.
_V4 = struct.Struct("=HH HH4s HH4s HH HHB3x HHH2x HHH2x".replace(" ", ""))
_V6 = struct.Struct("=HH HH16s HH16s HH HHB3x HHH2x HHH2x".replace(" ", ""))
V4_SIZE, V6_SIZE = _V4.size, _V6.size

Tuple = tuple[str, str, int, int, int, int, int, int]  # source, destination, protocol, ports, icmp id type code


def event(message: wire.Message) -> FlowEvent | None:
    """The event of a notification; None for what is no conntrack message or names no flow."""
    if message.kind not in (NEW, DELETE):
        return None
    found = flow(message.payload)
    if found is None:
        return None
    if message.kind == DELETE:
        return FlowEvent("destroy", found)
    return FlowEvent("new" if message.flags & wire.F_CREATE else "update", found)


def flow(payload: bytes) -> Flow | None:
    """The flow of a message; None where it has no complete original direction."""
    family = OUR_FAMILY.get(payload[0]) if payload else None
    if family is None:
        return None
    found = wire.attributes(payload, NFGENMSG.size)
    original = _tuple(family, found.get(ORIGINAL, b""))
    if original is None:
        return None
    reply = _tuple(family, found.get(REPLY, b"")) or ("", "", 0, 0, 0, 0, 0, 0)
    counters = (_counters(found.get(COUNTERS_ORIGINAL)), _counters(found.get(COUNTERS_REPLY)))
    return Flow(
        _u32(found.get(ID)),
        family,
        original[2],
        original[0],
        original[3],
        original[1],
        original[4],
        reply[0],
        reply[3],
        reply[1],
        reply[4],
        _u32(found.get(MARK)),
        counters[0][0] + counters[1][0],
        counters[0][1] + counters[1][1],
        _u32(found.get(STATUS)),
        _state(found.get(PROTOINFO)),
        _u32(found.get(TIMEOUT)),
        original[6],
        original[7],
        original[5],
        _u16(found.get(ZONE)),
    )


def encode_dump(mark: int, mask: int) -> bytes:
    """The body that asks for all flows, or with a mask for those whose mark agrees under it."""
    body = NFGENMSG.pack(0, 0, 0)
    if mask:
        body += wire.attribute(MARK, struct.pack(">I", mark)) + wire.attribute(MARK_MASK, struct.pack(">I", mask))
    return body


def encode_flush(mark: int, mask: int) -> bytes:
    """The body that deletes all flows whose mark agrees under the mask. Linux 4.0; an older one would delete all."""
    if not mask:
        raise ValueError("without a mask every flow of everybody would be deleted")
    return encode_dump(mark, mask)


def encode_delete(wanted: Flow) -> bytes:
    """The body that deletes this flow only: its tuple (without one the kernel would flush all) and its id."""
    addresses = (wanted.source, wanted.destination)
    family = FAMILIES[wanted.family]
    first = IPV4_SOURCE if wanted.family == 4 else IPV6_SOURCE
    packed = [socket.inet_pton(family, address) for address in addresses]
    ip = wire.nested(TUPLE_IP, *(wire.attribute(first + n, value) for n, value in enumerate(packed)))
    body = NFGENMSG.pack(family, 0, 0)
    body += wire.nested(ORIGINAL, ip, wire.nested(TUPLE_PROTO, *_protocol_attributes(wanted)))
    body += wire.attribute(ZONE, struct.pack(">H", wanted.zone)) if wanted.zone else b""
    return body + (wire.attribute(ID, struct.pack(">I", wanted.id)) if wanted.id else b"")


def _protocol_attributes(wanted: Flow) -> list[bytes]:
    parts = [wire.attribute(PROTO_NUMBER, bytes((wanted.protocol,)))]
    if wanted.protocol in (ICMP, ICMPV6):
        base = PROTO_ICMP_ID if wanted.protocol == ICMP else PROTO_ICMPV6_ID
        parts.append(wire.attribute(base, struct.pack(">H", wanted.icmp_id)))
        parts.append(wire.attribute(base + 1, bytes((wanted.icmp_type,))))
        parts.append(wire.attribute(base + 2, bytes((wanted.icmp_code,))))
        return parts
    parts.append(wire.attribute(PROTO_SOURCE, struct.pack(">H", wanted.source_port)))
    parts.append(wire.attribute(PROTO_DESTINATION, struct.pack(">H", wanted.destination_port)))
    return parts


def _tuple(family: int, data: bytes) -> Tuple | None:
    """One direction of a flow; None where addresses or protocol are missing."""
    return _fixed_tuple(family, data) or _walked_tuple(family, data)


def _fixed_tuple(family: int, data: bytes) -> Tuple | None:
    layout, size, number = (_V4, 8, socket.AF_INET) if family == 4 else (_V6, 20, socket.AF_INET6)
    first = 1 if family == 4 else 3
    if len(data) != layout.size:
        return None
    (_, ip, size1, kind1, source, size2, kind2, destination, _, proto, _, kind3, protocol,
     size4, kind4, sport, size5, kind5, dport) = layout.unpack(data)  # fmt: skip
    shape = (ip & 0x3FFF, size1, kind1, size2, kind2, proto & 0x3FFF, kind3, size4, kind4, size5, kind5)
    if shape != (1, size, first, size, first + 1, 2, 1, 6, 2, 6, 3):
        return None
    return (
        socket.inet_ntop(number, source), socket.inet_ntop(number, destination), protocol,
        socket.ntohs(sport), socket.ntohs(dport), 0, 0, 0,
    )  # fmt: skip


def _walked_tuple(family: int, data: bytes) -> Tuple | None:
    parts = wire.attributes(data)
    ip, proto = wire.attributes(parts.get(TUPLE_IP, b"")), wire.attributes(parts.get(TUPLE_PROTO, b""))
    first, size = (IPV4_SOURCE, 4) if family == 4 else (IPV6_SOURCE, 16)
    source, destination = ip.get(first, b""), ip.get(first + 1, b"")
    if len(source) != size or len(destination) != size or not proto.get(PROTO_NUMBER):
        return None
    protocol = wire.byte(proto[PROTO_NUMBER])
    icmp = PROTO_ICMPV6_ID if protocol == ICMPV6 else PROTO_ICMP_ID
    number = FAMILIES[family]
    return (
        socket.inet_ntop(number, source), socket.inet_ntop(number, destination), protocol,
        _u16(proto.get(PROTO_SOURCE)), _u16(proto.get(PROTO_DESTINATION)),
        _u16(proto.get(icmp)), wire.byte(proto.get(icmp + 1)), wire.byte(proto.get(icmp + 2)),
    )  # fmt: skip


def _state(data: bytes | None) -> str:
    if not data:
        return ""
    for kind, value in wire.attributes(data).items():
        words = STATES.get(kind, ())
        number = wire.attributes(value).get(1, b"")
        if number and number[0] < len(words):
            return words[number[0]]
    return ""


def _counters(data: bytes | None) -> tuple[int, int]:
    """Packets and bytes of one direction."""
    if not data:
        return 0, 0
    found = wire.attributes(data)
    return _u64(found.get(COUNTER_PACKETS)), _u64(found.get(COUNTER_BYTES))


def _u16(value: bytes | None) -> int:
    return int.from_bytes(value, "big") if value and len(value) == 2 else 0


def _u32(value: bytes | None) -> int:
    return int.from_bytes(value, "big") if value and len(value) == 4 else 0


def _u64(value: bytes | None) -> int:
    return int.from_bytes(value, "big") if value and len(value) == 8 else 0
