"""Where inputs of `packet_targets` begin: packets, conntrack messages and lines of its table that are right."""

from __future__ import annotations

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows import ctmessage
from tests.flows import packets as make
from tests.flows.crowd import client, told
from tests.flows.test_proc import LINES

PROTOCOLS = (make.IPV4, make.IPV6, make.VLAN, make.PROVIDER_VLAN, make.PPPOE, 0x0806)

SEGMENTS = (
    make.tcp(b"", make.SYN, options=bytes(12)), make.tcp(make.HELLO), make.tcp(make.REQUEST, make.FIN | make.ACK),
    make.tcp(b"", make.RST, (443, 40000)), make.tcp(b"", make.SYN | make.ACK, (443, 40000), 5000, 1002),
)  # fmt: skip
DATAGRAMS = (
    make.udp(make.QUERY, (40000, 53)), make.udp(make.QUERY, (53, 40000)),
    make.udp(make.INITIAL), make.udp(make.INITIAL_2),
)  # fmt: skip
BODIES = [(make.TCP, one) for one in SEGMENTS] + [(make.UDP, one) for one in DATAGRAMS]
IPV4 = [make.ipv4(body, protocol) for protocol, body in BODIES]
IPV6 = [make.ipv6(body, protocol) for protocol, body in BODIES]
IPV6 += [make.ipv6(make.extension(make.FRAGMENT) + make.fragment(protocol, 0) + body, make.HOP_BY_HOP)
         for protocol, body in BODIES[::3]]  # fmt: skip

MESSAGES = tuple(
    told(one)._payload
    for one in (client(1, 7), client(2, 7, 53, 17), client(3, 0, 0, 47))
)  # fmt: skip

CORPORA: dict[str, tuple[bytes, ...]] = {
    "packets": tuple(
        bytes((PROTOCOLS.index(protocol), way)) + front + packet
        for protocol, front, found in (
            (make.IPV4, b"", IPV4), (make.IPV6, b"", IPV6), (make.VLAN, b"\x60\x05\x08\x00", IPV4),
            (make.PPPOE, b"\x11\0\0\1\0\x50\0\x57", IPV6), (make.VLAN, b"", IPV4),
        )
        for way, packet in enumerate(found)
    ),
    "conntrack": MESSAGES,
    "conntrack-text": tuple(line.encode() for line in (*LINES, "".join(LINES))),
}  # fmt: skip

WORDS = (
    b"\x45\0", b"\x60\0", b"\x08\0", b"\x86\xdd", b"\x16\3\1", b"GET ", b"\0\x35", b"\1\xbb", b"\x50\2", b"\x50\x18",
    b"\xc0\0\0\0\1", b"\xd0\x6b\x33\x43\xcf", b"\0\0", b"\xff\xff", b"\x2c\0", b"\0\1", b"\x20\0",
    wire.attribute(1, b"\0\0\0\1"), wire.nested(1, wire.attribute(1, bytes(4))),
    wire.attribute(ctmessage.MARK, bytes(4)),
    wire.nested(ctmessage.PROTOINFO, wire.nested(1, wire.attribute(1, b"\3"))), b"\x08\0\x01\x80", b"\4\0\1\0",
    b"src=", b"dst=10.0.0.1 ", b"sport=99999 ", b"[UNREPLIED] ", b"[ASSURED] ", b"mark=4294967296 ", b"packets=", b"\n",
    b"ipv6     10 ", b"::1", b"ESTABLISHED ", b"use=2\n", b"bytes=" + b"9" * 21 + b" ", b" " * 30,
)  # fmt: skip


def words() -> tuple[bytes, ...]:
    """What a mutation puts in."""
    return WORDS
