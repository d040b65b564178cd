"""Packet headers: what the first 96 bytes tell, and that nothing else is read."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows import headers
from netpolicy.flows.headers import Header

PORTS = struct.pack(">HH", 40000, 443)
A4, B4 = socket.inet_aton("10.0.0.1"), socket.inet_aton("192.0.2.9")
A6, B6 = socket.inet_pton(socket.AF_INET6, "fd00::1"), socket.inet_pton(socket.AF_INET6, "2001:db8::9")


def ipv4(protocol: int, rest: bytes, options: bytes = b"", fragment: int = 0) -> bytes:
    words = 5 + len(options) // 4
    return struct.pack(">BBHHHBBH", 0x40 | words, 0, 1500, 1, fragment, 64, protocol, 0) + A4 + B4 + options + rest


def ipv6(protocol: int, rest: bytes) -> bytes:
    return struct.pack(">IHBB", 6 << 28, 1460, protocol, 64) + A6 + B6 + rest


def test_ipv4_with_and_without_options():
    expected = Header(4, 6, "10.0.0.1", 40000, "192.0.2.9", 443, 1500)
    assert headers.parse(ipv4(6, PORTS)) == expected
    assert headers.parse(ipv4(6, PORTS, options=bytes(8))) == expected


def test_ipv6_with_extension_headers():
    expected = Header(6, 17, "fd00::1", 40000, "2001:db8::9", 443, 1500)
    assert headers.parse(ipv6(17, PORTS)) == expected
    hop_by_hop = bytes((60, 0)) + bytes(6)
    options = bytes((51, 1)) + bytes(14)
    authentication = bytes((44, 4)) + bytes(22)
    first_fragment = bytes((17, 0)) + struct.pack(">HI", 1, 9)
    assert headers.parse(ipv6(0, hop_by_hop + options + authentication + first_fragment + PORTS)) == expected


def test_later_fragments_have_no_ports():
    assert headers.parse(ipv4(17, PORTS, fragment=185))[3:6] == (0, "192.0.2.9", 0)
    later = bytes((17, 0)) + struct.pack(">HI", 1 << 3, 9)
    assert headers.parse(ipv6(44, later + PORTS))[1:4] == (17, "fd00::1", 0)


def test_protocols_without_ports_and_cut_packets():
    assert headers.parse(ipv4(1, PORTS))[3] == 0
    assert headers.parse(ipv4(6, b"\0\1"))[3] == 0
    assert headers.parse(ipv4(6, b"")[:19]) is None
    assert headers.parse(ipv6(6, b"")[:39]) is None
    assert headers.parse(b"") is None
    assert headers.parse(b"\x50" + bytes(60)) is None


def test_endless_extension_headers_end():
    assert headers.parse(ipv6(0, bytes(800)))[3] == 0


@given(st.binary(max_size=120))
def test_garbage_never_raises(packet):
    headers.parse(packet)
    headers.parse(b"\x45" + packet)
    headers.parse(b"\x60" + packet)
