"""Packets as bytes, right and wrong ones, to be shown to the BPF program. Checksums stay empty: it reads none."""

from __future__ import annotations

import ipaddress
import struct

CLIENT_MAC, ROUTER_MAC = bytes.fromhex("020000000005"), bytes.fromhex("020000000001")
CLIENT, REMOTE = "192.168.1.5", "198.51.100.7"
CLIENT6, REMOTE6 = "2001:db8:1::5", "2001:db8:ffff::7"

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SYN_ACK = SYN | ACK
TCP, UDP = 6, 17
IPV4, IPV6, ARP, VLAN, QINQ, PPPOE = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x8864


def tcp(sport: int, dport: int, seq: int, ack: int, flags: int, data: bytes = b"", options: bytes = b"") -> bytes:
    """A segment; `options` are padded to four."""
    options += bytes(-len(options) % 4)
    words = (20 + len(options)) // 4
    head = struct.pack(">HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, words << 4, flags, 64240, 0, 0)
    return head + options + data


def udp(sport: int, dport: int, data: bytes, length: int | None = None) -> bytes:
    """A datagram, whose length may be a lie."""
    return struct.pack(">HHHH", sport, dport, 8 + len(data) if length is None else length, 0) + data


def ipv4(
    source: str, destination: str, protocol: int, payload: bytes, options: bytes = b"", fragment: int = 0,
    ttl: int = 64, total: int | None = None,
) -> bytes:  # fmt: skip
    """A packet; `options` are padded to four, `fragment` is the field with flags and offset."""
    options += bytes(-len(options) % 4)
    size = 20 + len(options)
    head = struct.pack(
        ">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload) if total is None else total, 1, fragment, ttl, protocol, 0
    )
    addresses = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    return head + addresses + options + payload


def ipv6(
    source: str, destination: str, protocol: int, payload: bytes, ttl: int = 64, length: int | None = None
) -> bytes:
    """A packet; `protocol` is that of the first header behind."""
    size = len(payload) if length is None else length
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed
    return struct.pack(">IHBB", 6 << 28, size, protocol, ttl) + addresses + payload


def extension(following: int, units: int = 0) -> bytes:
    """An extension header of 8 + 8 · units bytes."""
    return bytes((following, units)) + bytes(6 + 8 * units)


def fragment_header(following: int, offset: int = 0, more: bool = False) -> bytes:
    """An IPv6 fragment header; `offset` in units of eight bytes."""
    return struct.pack(">BBHI", following, 0, offset << 3 | more, 7)


def ethernet(payload: bytes, kind: int | None = None, down: bool = False, tags: tuple[bytes, ...] = ()) -> bytes:
    """A frame from the client, or to it. `tags` are put between the addresses and the payload as they are."""
    if kind is None:
        kind = IPV6 if payload[:1] and payload[0] >> 4 == 6 else IPV4
    addresses = CLIENT_MAC + ROUTER_MAC if down else ROUTER_MAC + CLIENT_MAC
    return addresses + b"".join(tags) + struct.pack(">H", kind) + payload


def vlan(identifier: int, kind: int = VLAN) -> bytes:
    """A tag, to be put before the type of what it holds."""
    return struct.pack(">HH", kind, identifier)


def pppoe(packet: bytes, code: int = 0) -> bytes:
    """What is behind the Ethernet type of a PPPoE session."""
    protocol = 0x0057 if packet[0] >> 4 == 6 else 0x0021
    return struct.pack(">BBHHH", 0x11, code, 1, len(packet) + 2, protocol) + packet


def client_hello(name: str = "video.example", size: int = 0) -> bytes:
    """A TLS record with a ClientHello, padded to `size` bytes in all where it is shorter."""
    host = name.encode()
    sni = struct.pack(">HHHBH", 0, len(host) + 5, len(host) + 3, 0, len(host)) + host
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    used = 9 + len(body) + 2 + len(sni)
    pad = struct.pack(">HH", 21, size - used - 4) + bytes(size - used - 4) if size >= used + 4 else b""
    body += struct.pack(">H", len(sni + pad)) + sni + pad
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def initial(version: int = 1, size: int = 1200) -> bytes:
    """The outside of a client's QUIC Initial: type bits by version, RFC 9000 and RFC 9369."""
    first = 0xD3 if version == 0x6B3343CF else 0xC3
    return (bytes((first,)) + struct.pack(">I", version) + b"\x08" + bytes(range(8)) + bytes(size))[:size]


DATAGRAM = udp(40000, 5000, b"x" * 64)


def v4(payload: bytes = DATAGRAM, protocol: int = UDP, **more: object) -> bytes:
    """An IPv4 packet of the client to the remote."""
    return ipv4(CLIENT, REMOTE, protocol, payload, **more)  # type: ignore[arg-type]


def v6(payload: bytes = DATAGRAM, protocol: int = UDP, **more: object) -> bytes:
    """An IPv6 packet of the client to the remote."""
    return ipv6(CLIENT6, REMOTE6, protocol, payload, **more)  # type: ignore[arg-type]
