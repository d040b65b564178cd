"""Packets as bytes: enough of a header that conntrack takes each for the first of a flow.

The number of a packet is in its identification (IPv4) or flow label (IPv6), where a log shows it.
Never more than headers. Formats: RFC 791, 8200, 9293, 768, 4960, 4340, 3828, 2784, 4443.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from netpolicy.core.facts import Facts
from netpolicy.core.packet import PORT_PROTOCOLS

LARGEST_NUMBER = 0xFFFF
ECN = 0b10  # the two bits beside the class of service must not disturb


@dataclass(frozen=True)
class Sample:
    """A packet to send, and the facts that describe it."""

    number: int  # 1 to LARGEST_NUMBER
    facts: Facts
    device: str  # that it arrives by; "" for the router's own
    data: bytes  # from the IP header on


def sample(number: int, facts: Facts) -> Sample:
    """The packet with those facts; `src_iface` "lo" is the router itself."""
    device = "" if facts.src_iface == "lo" else facts.src_iface
    return Sample(number, facts, device, packet(number, facts))


def packet(number: int, facts: Facts) -> bytes:
    payload = _payload(number, facts)
    if facts.family == 4:
        return _ipv4(number, facts, payload)
    return _ipv6(number, facts, payload)


def number_of(data: bytes) -> int:
    """The number in an IP header."""
    if data[0] >> 4 == 4:
        return data[4] << 8 | data[5]
    return (data[1] & 15) << 16 | data[2] << 8 | data[3]


def _ipv4(number: int, facts: Facts, payload: bytes) -> bytes:
    ends = facts.src_addr[1] << 32 | facts.dest_addr[1]
    header = struct.pack(
        "!BBHHHBBHQ", 0x45, facts.dscp << 2 | ECN, 20 + len(payload), number, 0, 64, facts.proto, 0, ends
    )
    return header[:10] + checksum(header) + header[12:] + _with_checksum(facts, payload)


def _ipv6(number: int, facts: Facts, payload: bytes) -> bytes:
    first = 6 << 28 | (facts.dscp << 2 | ECN) << 20 | number
    header = struct.pack("!IHBB", first, len(payload), facts.proto, 64)
    return header + _addresses(facts) + _with_checksum(facts, payload)


def _addresses(facts: Facts) -> bytes:
    size = 4 if facts.family == 4 else 16
    return facts.src_addr[1].to_bytes(size, "big") + facts.dest_addr[1].to_bytes(size, "big")


def _payload(number: int, facts: Facts) -> bytes:
    proto = facts.proto
    ports = struct.pack("!HH", facts.src_port, facts.dest_port) if proto in PORT_PROTOCOLS else b""
    if proto == 6:  # SYN
        return ports + struct.pack("!IIBBHHH", number, 0, 0x50, 0x02, 65535, 0, 0)
    if proto in (17, 136):
        return ports + struct.pack("!HH", 8, 0)
    if proto == 132:  # INIT chunk, verification tag 0
        return ports + struct.pack("!II", 0, 0) + struct.pack("!BBHIIHHI", 1, 0, 20, number, 65535, 1, 1, number)
    if proto == 33:  # Request
        return ports + struct.pack("!BBHIQ", 5, 0, 0, number, 0)
    if proto in (1, 58):  # echo request
        return struct.pack("!BBHHH", 8 if proto == 1 else 128, 0, 0, number, 1)
    return struct.pack("!HHI", 0x2000, 0x0800, number)  # GRE with a key; what it is to others does not matter


def checksum(data: bytes) -> bytes:
    """The internet checksum: one's complement arithmetic is arithmetic modulo 65535."""
    if len(data) % 2:
        data += b"\0"
    return (0xFFFF - int.from_bytes(data, "big") % 0xFFFF).to_bytes(2, "big")


_CHECKSUM_AT = {6: 16, 17: 6, 136: 6, 33: 6, 1: 2, 58: 2}


def _with_checksum(facts: Facts, payload: bytes) -> bytes:
    """Conntrack calls a packet with a wrong checksum invalid and then keeps no mark for it."""
    if facts.proto == 132:
        return payload[:8] + struct.pack("<I", crc32c(payload)) + payload[12:]
    at = _CHECKSUM_AT.get(facts.proto)
    if at is None:
        return payload
    proto = facts.proto
    if proto == 136 and int.from_bytes(payload[:2], "big") % 4:
        proto = 17  # what conntrack takes for right (it checks UDP-Lite as UDP); the others are invalid to it
    pseudo = b"" if proto == 1 else _addresses(facts) + struct.pack("!II", len(payload), proto)
    return payload[:at] + checksum(pseudo + payload) + payload[at + 2 :]


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF
