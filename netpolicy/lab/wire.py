"""Read and write the few DNS messages the lab's clients and server exchange.

Answers A and AAAA of the names in `topology`, anything else with NXDOMAIN; no compression
is read in questions. Format: RFC 1035 section 4.
"""

from __future__ import annotations

import ipaddress
import struct

from netpolicy.lab.topology import server

A, AAAA, CLASS_IN = 1, 28, 1
RESPONSE_RECURSIVE = 0x8180
NAME_ERROR = 3
TTL_SECONDS = 60


def question(name: str, kind: int, number: int) -> bytes:
    """A recursive query for one name."""
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + _labels(name) + struct.pack("!HH", kind, CLASS_IN)


def reply(message: bytes) -> bytes | None:
    """The server's answer to a query, or None when it is not one we understand."""
    parsed = _parse_question(message)
    if parsed is None:
        return None
    name, kind, end = parsed
    known = server(name)
    records = [] if known is None else _records(known.address4, known.address6, kind)
    flags = RESPONSE_RECURSIVE | (0 if known else NAME_ERROR)
    head = message[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0)
    return head + message[12:end] + b"".join(records)


def addresses(message: bytes, number: int) -> list[str]:
    """The addresses in a reply to `number`; [] when there are none or the message is not ours."""
    if len(message) < 12 or struct.unpack("!H", message[:2])[0] != number:
        return []
    parsed = _parse_question(message)
    if parsed is None:
        return []
    found, offset = [], parsed[2]
    while offset + 12 <= len(message):
        # Our server always points back at the question's name (two bytes).
        size = struct.unpack("!H", message[offset + 10 : offset + 12])[0]
        found.append(str(ipaddress.ip_address(message[offset + 12 : offset + 12 + size])))
        offset += 12 + size
    return found


def _records(address4: str, address6: str, kind: int) -> list[bytes]:
    address = {A: address4, AAAA: address6}.get(kind)
    if address is None:
        return []
    data = ipaddress.ip_address(address).packed
    return [struct.pack("!HHHIH", 0xC00C, kind, CLASS_IN, TTL_SECONDS, len(data)) + data]


def _labels(name: str) -> bytes:
    parts = [part.encode("ascii") for part in name.rstrip(".").split(".")]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _parse_question(message: bytes) -> tuple[str, int, int] | None:
    labels, offset = [], 12
    while offset < len(message) and message[offset]:
        size = message[offset]
        if size > 63 or offset + 1 + size > len(message):
            return None
        labels.append(message[offset + 1 : offset + 1 + size].decode("ascii", "replace"))
        offset += 1 + size
    if not labels or offset + 5 > len(message):
        return None
    kind = struct.unpack("!H", message[offset + 1 : offset + 3])[0]
    return ".".join(labels), kind, offset + 5
