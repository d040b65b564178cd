"""Conntrack netlink messages to flows, and flows to the messages that ask for or delete them.

Pure, and never raises on what it reads: attributes that are unknown, missing or of a wrong size are skipped.
Layout: <linux/netfilter/nfnetlink_conntrack.h>; numbers in network byte order.
"""

from __future__ import annotations

import socket
import struct
from functools import lru_cache

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows import ctlayout
from netpolicy.flows.model import ICMP, ICMPV6, Flow, FlowEvent
from netpolicy.flows.tracked import Tracked

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
_TCP, _DCCP, _SCTP = ({bytes((number,)): word for number, word in enumerate(words)} for words in STATES.values())

FAMILIES = {4: socket.AF_INET.value, 6: socket.AF_INET6.value}

# What a tuple of TCP, UDP and their like is long: addresses and their nest, protocol and ports in theirs.
V4_SIZE, V6_SIZE = (4 + 2 * (4 + size) + 4 + 3 * 8 for size in (4, 16))


def _fields(address: str, first: int, icmp: int) -> dict[ctlayout.Path, ctlayout.Field]:
    """What is read of a message: first that of `Tracked`, then the rest of a flow."""
    here, there = (ORIGINAL, TUPLE_PROTO), (REPLY, TUPLE_PROTO)
    number, none = ("I", 0), (address, b"")
    return {
        (*here, PROTO_NUMBER): ("B", -1),
        (ORIGINAL, TUPLE_IP, first): none,
        (*here, PROTO_SOURCE): ("H", 0),
        (ORIGINAL, TUPLE_IP, first + 1): none,
        (*here, PROTO_DESTINATION): ("H", 0),
        (REPLY, TUPLE_IP, first): none,
        (*there, PROTO_SOURCE): ("H", 0),
        (MARK,): number,
        (STATUS,): number,
        (COUNTERS_ORIGINAL, COUNTER_PACKETS): ("Q", 0),
        (COUNTERS_ORIGINAL, COUNTER_BYTES): ("Q", 0),
        (COUNTERS_REPLY, COUNTER_PACKETS): ("Q", 0),
        (COUNTERS_REPLY, COUNTER_BYTES): ("Q", 0),
        (PROTOINFO, 1, 1): ("s", b""),
        (PROTOINFO, 2, 1): ("s", b""),
        (PROTOINFO, 3, 1): ("s", b""),
        (REPLY, TUPLE_IP, first + 1): none,
        (*there, PROTO_DESTINATION): ("H", 0),
        (ID,): number,
        (TIMEOUT,): number,
        (*here, icmp + 1): ("B", 0),
        (*here, icmp + 2): ("B", 0),
        (*here, icmp): ("H", 0),
        (ZONE,): ("H", 0),
    }


_LAYOUTS = {
    socket.AF_INET.value: (4, ctlayout.Layouts(_fields("4s", IPV4_SOURCE, PROTO_ICMP_ID), NFGENMSG.size)),
    socket.AF_INET6.value: (6, ctlayout.Layouts(_fields("16s", IPV6_SOURCE, PROTO_ICMPV6_ID), NFGENMSG.size)),
}
_NOTHING = (0, None)
_make_tracked = tuple.__new__  # what Tracked(…) does, without a call of Python for each


def events(data: bytes) -> list[FlowEvent]:
    """The events of one datagram; the kernel puts one into each."""
    if len(data) >= wire.HEADER.size:
        length, kind, flags, _sequence, _port = wire.HEADER.unpack_from(data)
        if length == len(data):
            found = _event(kind, flags, data[wire.HEADER.size :])
            return [found] if found else []
    several = (_event(message.kind, message.flags, message.payload) for message in wire.messages(data))
    return [found for found in several if found]


def _event(kind: int, flags: int, payload: bytes) -> FlowEvent | None:
    """The event of a notification; None for what is no conntrack message or names no flow."""
    if kind not in (NEW, DELETE):
        return None
    found = flow(payload)
    if found is None:
        return None
    if kind == DELETE:
        return FlowEvent("destroy", found)
    return FlowEvent("new" if flags & wire.F_CREATE else "update", found)


def flow(payload: bytes) -> Flow | None:
    """The flow of a message; None where it has no complete original direction."""
    family, layouts = _LAYOUTS.get(payload[0], _NOTHING) if payload else _NOTHING
    if layouts is None:
        return None
    (protocol, source, source_port, destination, destination_port, reply_source, reply_source_port, mark, status,
     packets, size, reply_packets, reply_size, tcp, dccp, sctp, reply_destination, reply_destination_port,
     number, timeout, icmp_type, icmp_code, icmp_id, zone) = layouts.read(payload)  # fmt: skip
    if protocol < 0 or not source or not destination:
        return None
    return Flow(
        number, family, protocol,
        _text(source), source_port, _text(destination), destination_port,
        _text(reply_source), reply_source_port, _text(reply_destination), reply_destination_port,
        mark, packets + reply_packets, size + reply_size, status,
        _TCP.get(tcp) or _state(dccp, sctp), timeout, icmp_type, icmp_code, icmp_id, zone,
    )  # fmt: skip


def tracked(payload: bytes) -> Tracked | None:
    """The same with less: for who counts all connections and names few."""
    _family, layouts = _LAYOUTS.get(payload[0], _NOTHING) if payload else _NOTHING
    if layouts is None:
        return None
    values = layouts.read(payload)
    if values[0] < 0 or not values[1] or not values[3]:
        return None
    state = _TCP.get(values[13]) or _state(values[14], values[15])
    return _make_tracked(Tracked, (*values[:13], state))


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


def _state(dccp: bytes, sctp: bytes) -> str:
    """The word of a protocol that is not TCP."""
    return _DCCP.get(dccp) or _SCTP.get(sctp) or ""


# Sixty thousand connections have few addresses, and each of them stands in four places.
@lru_cache(maxsize=4096)
def _text(address: bytes) -> str:
    if not address:
        return ""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
