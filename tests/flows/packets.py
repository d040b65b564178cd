"""Packets for tests of those who read them, made byte by byte: IP from its first byte on, checksums left out."""

from __future__ import annotations

import socket
import struct

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
IPV4, IPV6, VLAN, PROVIDER_VLAN, PPPOE = 0x0800, 0x86DD, 0x8100, 0x88A8, 0x8864
TCP, UDP = 6, 17
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60

CLIENT, REMOTE = {4: "10.1.0.2", 6: "fd01::2"}, {4: "203.0.113.2", 6: "2001:db8::2"}

HELLO = b"\x16\x03\x01\x01\x00\x01" + bytes(range(250))  # a record that begins with a ClientHello; no more is looked at
REQUEST = b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
QUERY = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + b"\3www\7example\3com\0\0\1\0\1"
INITIAL = b"\xc3\0\0\0\1" + bytes(1195)
INITIAL_2 = b"\xd3\x6b\x33\x43\xcf" + bytes(1195)


def packed(address: str) -> bytes:
    """Four or sixteen bytes."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def mapped(address: str) -> bytes:
    """Sixteen bytes, as `seen` has them."""
    return packed(address) if ":" in address else bytes(10) + b"\xff\xff" + packed(address)


def ipv4(
    body: bytes, protocol: int = TCP, ends: tuple[str, str] = (CLIENT[4], REMOTE[4]), fragment: int = 0,
    options: bytes = b"", length: int | None = None, ttl: int = 64,
) -> bytes:  # fmt: skip
    size = 20 + len(options)
    told = size + len(body) if length is None else length
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, told & 0xFFFF, 1, fragment, ttl, protocol, 0)
    return head + packed(ends[0]) + packed(ends[1]) + options + body


def ipv6(
    body: bytes, protocol: int = TCP, ends: tuple[str, str] = (CLIENT[6], REMOTE[6]), length: int | None = None
) -> bytes:
    told = len(body) if length is None else length
    return struct.pack("!IHBB", 6 << 28, told & 0xFFFF, protocol, 64) + packed(ends[0]) + packed(ends[1]) + body


def tcp(
    payload: bytes = b"", flags: int = ACK | PSH, ports: tuple[int, int] = (40000, 443), sequence: int = 1001,
    acknowledged: int = 5001, options: bytes = b"",
) -> bytes:  # fmt: skip
    size = 20 + len(options)
    return struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, size << 2, flags, 64000, 0, 0) + options + payload


def udp(payload: bytes, ports: tuple[int, int] = (40000, 443), length: int | None = None) -> bytes:
    return struct.pack("!HHHH", *ports, 8 + len(payload) if length is None else length, 0) + payload


def extension(following: int, size: int = 8) -> bytes:
    """A header of options, routing and the like."""
    return bytes((following, size // 8 - 1)).ljust(size, b"\0")


def fragment(following: int, field: int) -> bytes:
    """`field`: the offset, and whether more come."""
    return struct.pack("!BBHI", following, 0, field, 7)
