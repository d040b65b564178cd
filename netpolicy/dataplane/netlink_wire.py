"""The netlink wire format: messages, attributes, acknowledgements; bytes in, values out.

Never does I/O and never raises on what it reads: a broken tail ends the walk.
Format: netlink(7), RFC 3549, <linux/netlink.h>; lengths include their header, bodies are padded to four.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # length, type
U32 = struct.Struct("=I")
S32 = struct.Struct("=i")

# message types below 16 belong to netlink itself
NOOP, ERROR, DONE = 1, 2, 3

# header flags of requests and answers
F_REQUEST, F_ACK = 0x001, 0x004
F_DUMP = 0x300  # ROOT | MATCH
F_DUMP_INTR = 0x010  # the table changed while it was being read
F_REPLACE, F_EXCL, F_CREATE = 0x100, 0x200, 0x400
F_CAPPED, F_ACK_TLVS = 0x100, 0x200  # of an ERROR or DONE message

NESTED = 0x8000
TYPE_MASK = 0x3FFF  # the two upper bits say "nested" and "network byte order"

EXTACK_MESSAGE = 1  # NLMSGERR_ATTR_MSG: the kernel's own words


class Message(NamedTuple):
    """One netlink message without its header."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """The bytes of one message to the kernel."""
    return HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def attribute(kind: int, value: bytes) -> bytes:
    """The bytes of one attribute, padded."""
    return ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram; what does not fit its own length is left out."""
    offset, end = 0, len(data)
    while end - offset >= HEADER.size:
        length, kind, flags, sequence, _port = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > end:
            return
        yield Message(kind, flags, sequence, data[offset + HEADER.size : offset + length])
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attributes by type; the last of equal ones wins, a broken tail is left out."""
    found: dict[int, bytes] = {}
    end = len(data)
    while end - offset >= 4:
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        stop = offset + length
        if length < 4 or stop > end:
            break
        found[kind & TYPE_MASK] = data[offset + 4 : stop]
        offset = (stop + 3) & ~3
    return found


def number(value: bytes | None, default: int = 0) -> int:
    """A 32-bit number in host order; `default` where the attribute is absent or of another size."""
    if value is None or len(value) != 4:
        return default
    return int(U32.unpack(value)[0])


def byte(value: bytes | None) -> int:
    """The first byte as a number, 0 where there is none."""
    return value[0] if value else 0


def text(value: bytes | None) -> str:
    """A zero-terminated string; bytes that are not UTF-8 survive the way back (surrogateescape)."""
    return (value or b"").split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def string(value: str) -> bytes:
    """The counterpart of `text`."""
    return value.encode("utf-8", "surrogateescape") + b"\0"


def outcome(answer: Message) -> tuple[int, str]:
    """Errno (0 = success) and the kernel's words, of an ERROR or DONE message."""
    if len(answer.payload) < 4:
        return 0, ""
    code = -int(S32.unpack_from(answer.payload)[0])
    return max(code, 0), text(_extended(answer).get(EXTACK_MESSAGE))


def _extended(answer: Message) -> dict[int, bytes]:
    if not answer.flags & F_ACK_TLVS:
        return {}
    if answer.kind == DONE:
        return attributes(answer.payload, 4)
    if len(answer.payload) < 20:
        return {}
    # the request is quoted in full unless the kernel says it was capped to its header
    quoted = HEADER.size if answer.flags & F_CAPPED else int(U32.unpack_from(answer.payload, 4)[0])
    return attributes(answer.payload, 4 + ((quoted + 3) & ~3))
