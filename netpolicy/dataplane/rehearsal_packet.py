"""Ethernet frames of a rehearsal as bytes: questions, answers, and what a frame that comes back says.

Pure. Never reads beyond what a frame holds; what is none of ours is None. Formats: RFC 791, 8200, 9293, 768, 792,
4443, 4861, 826. A probe is known by its token, which no address translation touches: the sequence number of TCP,
the payload of others.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

ETHER_IPV4, ETHER_ARP, ETHER_IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
NUMBERS = {"tcp": TCP, "udp": UDP}

SYN, RST, ACK = 0x02, 0x04, 0x10
# Payloads of UDP and ICMP: a word, a direction, the token.
QUESTION, ANSWER = b"NPrehQ", b"NPrehA"
TOKEN = struct.Struct(">I")

ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
UNREACHABLE = {4: 3, 6: 1}
SOLICITATION, ADVERTISEMENT = 135, 136

# What a frame is to a probe.
ASKS, ANSWERS, REFUSES = "asks", "answers", "refuses"


class Ends(NamedTuple):
    """Who speaks to whom: addresses as bytes, so their length is the family."""

    source: bytes
    source_port: int
    destination: bytes
    port: int

    @property
    def back(self) -> Ends:
        """Of the answer."""
        return Ends(self.destination, self.port, self.source, self.source_port)


class Seen(NamedTuple):
    """A frame that belongs to a probe."""

    what: str
    token: int
    protocol: int
    ends: Ends
    near: bytes  # MAC address it was sent to


class Asked(NamedTuple):
    """Somebody wants to know who has an address: ARP, or neighbour discovery."""

    address: bytes
    by_mac: bytes
    by_address: bytes


def packed(address: str) -> bytes:
    """The bytes of an address text. Raises OSError."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def question(mac: bytes, to_mac: bytes, protocol: str, ends: Ends, token: int) -> bytes:
    """The first frame of a connection."""
    return _ethernet(mac, to_mac, ends, *_segment(protocol, ends, token, is_answer=False))


def echo(destination: str, number: int, payload: bytes) -> bytes:
    """An ICMP echo request without its IP header. (The kernel makes the checksum of ICMPv6 itself.)"""
    family = 6 if ":" in destination else 4
    body = struct.pack(">BBHHH", ECHO_REQUEST[family], 0, 0, number, 1) + payload
    return body if family == 6 else _with_sum(Ends(b"", 0, b"", 0), ICMP, body, 2)


def answer(seen: Seen, mac: bytes, to_mac: bytes) -> bytes:
    """What a far machine that received `seen` says to it."""
    word = {TCP: "tcp", UDP: "udp"}.get(seen.protocol, "icmp")
    return _ethernet(mac, to_mac, seen.ends.back, *_segment(word, seen.ends.back, seen.token, is_answer=True))


def neighbour(asked: Asked, mac: bytes) -> bytes:
    """The frame that says: I have it."""
    if len(asked.address) == 4:
        body = struct.pack(">HHBBH6s4s6s4s", 1, ETHER_IPV4, 6, 4, 2, mac, asked.address, asked.by_mac, asked.by_address)
        return asked.by_mac + mac + struct.pack(">H", ETHER_ARP) + body
    ends = Ends(asked.address, 0, asked.by_address, 0)
    # Solicited and override; option 2 is the target's link-layer address.
    body = struct.pack(">BBHI16sBB6s", ADVERTISEMENT, 0, 0, 0x60000000, asked.address, 2, 1, mac)
    return _ethernet(mac, asked.by_mac, ends, ICMPV6, _with_sum(ends, ICMPV6, body, 2), hops=255)


def read(frame: bytes) -> Seen | Asked | None:
    """What a frame is to us."""
    if len(frame) < 34:
        return None
    kind = frame[12] << 8 | frame[13]
    if kind == ETHER_ARP:
        return _arp(frame)
    found = _ip(frame[14:]) if kind in (ETHER_IPV4, ETHER_IPV6) else None
    if found is None:
        return None
    protocol, source, destination, body = found
    if protocol == ICMPV6 and body[:1] == bytes((SOLICITATION,)) and len(body) >= 24:
        return Asked(body[8:24], frame[6:12], source) if any(source) else None
    what = _of_icmp(source, destination, body) if protocol in (ICMP, ICMPV6) else None
    what = what or _of_ports(protocol, source, destination, body)
    return Seen(what[0], what[1], what[2], what[3], frame[:6]) if what else None


def _arp(frame: bytes) -> Asked | None:
    if len(frame) < 42 or frame[20:22] != b"\0\1":
        return None
    by_mac, by_address, address = frame[22:28], frame[28:32], frame[38:42]
    return None if address == by_address or not any(by_address) else Asked(address, by_mac, by_address)


def _ip(data: bytes) -> tuple[int, bytes, bytes, bytes] | None:
    """Protocol, source, destination and what is in it; None for fragments, and headers between."""
    if data[0] >> 4 == 4:
        size = (data[0] & 15) * 4
        if len(data) < 20 or size < 20 or (data[6] << 8 | data[7]) & 0x1FFF:
            return None
        return data[9], data[12:16], data[16:20], data[size:]
    if data[0] >> 4 == 6 and len(data) >= 40:
        return data[6], data[8:24], data[24:40], data[40:]
    return None


Meaning = tuple[str, int, int, Ends]


def _of_ports(protocol: int, source: bytes, destination: bytes, body: bytes) -> Meaning | None:
    if protocol == TCP and len(body) >= 14:
        from_port, port, sequence, acknowledged, _, flags = struct.unpack_from(">HHIIBB", body)
        ends = Ends(source, from_port, destination, port)
        if flags & ACK or flags & RST:
            token = (acknowledged - 1) & 0xFFFFFFFF
            return (REFUSES if flags & RST else ANSWERS), token, TCP, ends
        return (ASKS, sequence, TCP, ends) if flags & SYN else None
    if protocol == UDP and len(body) >= 18:
        from_port, port = struct.unpack_from(">HH", body)
        return _of_payload(UDP, Ends(source, from_port, destination, port), body[8:])
    return None


def _of_icmp(source: bytes, destination: bytes, body: bytes) -> Meaning | None:
    family = 4 if len(source) == 4 else 6
    protocol = ICMP if family == 4 else ICMPV6
    if len(body) < 18:
        return None
    number = body[4] << 8 | body[5]
    if body[0] == ECHO_REQUEST[family]:
        return _of_payload(protocol, Ends(source, number, destination, 0), body[8:])
    if body[0] == ECHO_REPLY[family]:
        found = _of_payload(protocol, Ends(source, 0, destination, number), body[8:])
        return (ANSWERS, *found[1:]) if found else None
    inner = _ip(body[8:]) if body[0] == UNREACHABLE[family] and len(body) > 28 else None
    if inner is None:
        return None
    within, asking, asked, rest = inner
    quoted = _of_icmp(asking, asked, rest) if within in (ICMP, ICMPV6) else _quoted(within, asking, asked, rest)
    return (REFUSES, *quoted[1:]) if quoted else None


def _quoted(protocol: int, source: bytes, destination: bytes, body: bytes) -> Meaning | None:
    """Of a quoted packet perhaps eight bytes are left: enough for a sequence number, not for flags."""
    if protocol == TCP and len(body) >= 8:
        from_port, port, sequence = struct.unpack_from(">HHI", body)
        return ASKS, sequence, TCP, Ends(source, from_port, destination, port)
    return _of_ports(protocol, source, destination, body)


def _of_payload(protocol: int, ends: Ends, payload: bytes) -> Meaning | None:
    word = payload[: len(QUESTION)]
    if word not in (QUESTION, ANSWER) or len(payload) < len(word) + TOKEN.size:
        return None
    token = int(TOKEN.unpack_from(payload, len(word))[0])
    return (ASKS if word == QUESTION else ANSWERS), token, protocol, ends


def _segment(protocol: str, ends: Ends, token: int, is_answer: bool) -> tuple[int, bytes]:
    family = 4 if len(ends.source) == 4 else 6
    if protocol == "tcp":
        sequence, acknowledged, flags = (
            (~token & 0xFFFFFFFF, token + 1 & 0xFFFFFFFF, SYN | ACK) if is_answer else (token, 0, SYN)
        )
        options = struct.pack(">BBH", 2, 4, 1400)  # the maximum segment size, as every real SYN has it
        body = struct.pack(
            ">HHIIBBHHH", ends.source_port, ends.port, sequence, acknowledged, 6 << 4, flags, 64240, 0, 0
        )
        return TCP, _with_sum(ends, TCP, body + options, 16)
    payload = (ANSWER if is_answer else QUESTION) + TOKEN.pack(token)
    if protocol == "udp":
        body = struct.pack(">HHHH", ends.source_port, ends.port, 8 + len(payload), 0) + payload
        return UDP, _with_sum(ends, UDP, body, 6)
    number = ends.port if is_answer else ends.source_port
    kind = ECHO_REPLY[family] if is_answer else ECHO_REQUEST[family]
    body = struct.pack(">BBHHH", kind, 0, 0, number, 1) + payload
    return (ICMP if family == 4 else ICMPV6), _with_sum(ends, ICMP if family == 4 else ICMPV6, body, 2)


def _ethernet(mac: bytes, to_mac: bytes, ends: Ends, protocol: int, body: bytes, hops: int = 64) -> bytes:
    if len(ends.source) == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, hops, protocol, 0)
        head += ends.source + ends.destination
        head = head[:10] + struct.pack(">H", _sum(head)) + head[12:]
        return to_mac + mac + struct.pack(">H", ETHER_IPV4) + head + body
    head = struct.pack(">IHBB", 6 << 28, len(body), protocol, hops) + ends.source + ends.destination
    return to_mac + mac + struct.pack(">H", ETHER_IPV6) + head + body


def _with_sum(ends: Ends, protocol: int, body: bytes, at: int) -> bytes:
    """The body with its checksum, which lies at byte `at`. Conntrack looks at it."""
    cover = b"" if protocol == ICMP else ends.source + ends.destination + struct.pack(">II", len(body), protocol)
    found = _sum(cover + body) or 0xFFFF
    return body[:at] + struct.pack(">H", found) + body[at + 2 :]


def _sum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
