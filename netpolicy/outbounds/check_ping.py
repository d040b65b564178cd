"""Whether an address answers an ICMP echo sent out of a line.

One question in one check; never believes an answer to somebody else's ping. Formats: RFC 792, RFC 4443.
Sockets: ping sockets where the group may have them (net.ipv4.ping_group_range), else raw ones, as root.
"""

from __future__ import annotations

import os
import socket
import struct

from netpolicy.outbounds.check_line import PASSED, Answer, Line, exchange, joined, opened

ECHO = {4: (8, 0), 6: (128, 129)}  # question and answer
PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
TOKEN_SIZE = 16


async def ping(line: Line, address: str) -> Answer:
    """Passed when the address sends our own bytes back. Waits for ever otherwise: put a limit around it."""
    family = 6 if ":" in address else 4
    made, is_raw = _socket(line, family)
    with made:
        joined(line, made, address)
        token = os.urandom(TOKEN_SIZE)
        strip = is_raw and family == 4  # raw IPv4 sockets give the IP header too
        await exchange(made, question(family, token), lambda data: _accepted(family, data, token, strip))
    return Answer(PASSED, text=f"{address} answers")


def question(family: int, token: bytes) -> bytes:
    """The echo request. For IPv6 the kernel writes the checksum."""
    kind = ECHO[family][0]
    identifier = int.from_bytes(token[:2], "big")  # a ping socket has its own instead
    bare = HEADER.pack(kind, 0, 0, identifier, 1) + token
    return HEADER.pack(kind, 0, checksum(bare) if family == 4 else 0, identifier, 1) + token


def is_answer(family: int, data: bytes, token: bytes) -> bool:
    """Whether the ICMP message is the reply to the question with that token."""
    if len(data) < HEADER.size:
        return False
    kind, code, _checksum, _identifier, sequence = HEADER.unpack_from(data)
    return (kind, code, sequence) == (ECHO[family][1], 0, 1) and data[HEADER.size :] == token


def without_ip_header(data: bytes) -> bytes:
    """What follows the IPv4 header; b"" where there is none."""
    size = (data[0] & 0x0F) * 4 if data else 0
    return data[size:] if size >= 20 and data[0] >> 4 == 4 else b""


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _accepted(family: int, data: bytes, token: bytes, strip: bool) -> bool | None:
    return is_answer(family, without_ip_header(data) if strip else data, token) or None


def _socket(line: Line, family: int) -> tuple[socket.socket, bool]:
    try:
        return opened(line, family, socket.SOCK_DGRAM, PROTOCOL[family]), False
    except PermissionError:
        return opened(line, family, socket.SOCK_RAW, PROTOCOL[family]), True
