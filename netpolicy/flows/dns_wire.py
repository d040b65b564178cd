"""Read the wire format of DNS: header, question, records, names with their compression.

Knows nothing of what records prove. Bounded: a pointer leads only backwards, and in few steps to a whole name.
Formats: RFC 1035 (4.1), RFC 2181 (8, lifetimes), RFC 6891 (OPT), RFC 9619 (one question).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from netpolicy.flows.names import MALFORMED, OTHER, Refused, host_name

HEADER = struct.Struct(">HHHHHH")
RECORD = struct.Struct(">HHIH")  # type, class, lifetime, length
ANSWER, TRUNCATED_BIT, CODE = 0x8000, 0x0200, 0x000F
OPCODE_SHIFT = 11
INTERNET = 1
A, CNAME, AAAA, OPT, SVCB, HTTPS = 1, 5, 28, 41, 64, 65

NAME_LIMIT = 255  # bytes on the wire
POINTER_LIMIT = 32  # one name: more than it can have labels worth pointing to
RECORD_LIMIT = 256  # of a message
# Captures may cut messages that are longer than this; what ends early below it is broken.
CUT_FROM = 512
LONGEST_LIFETIME = 7 * 86400  # seconds; RFC 8767 (4) names it, longer ones are mistakes


class Record(NamedTuple):
    """A record of the answer; its data stands in the message from `start` to `end`."""

    owner: bytes  # as on the wire without compression, in lower case
    kind: int
    lifetime: int  # seconds
    start: int
    end: int


class Message(NamedTuple):
    """A message with one question of the Internet class."""

    data: bytes
    identifier: int
    is_answer: bool
    truncated: bool
    code: int  # with the upper bits of OPT, where that was reached
    name: bytes  # of the question: wire form, lower case
    kind: int  # of the question
    answers: tuple[Record, ...]
    names: dict[int, bytes]  # by where they begin


def parse(data: bytes) -> Message:
    """The message of a datagram. Raises Refused: OTHER for what is no plain query, MALFORMED."""
    if len(data) < HEADER.size + 5:
        raise Refused(MALFORMED)
    identifier, flags, questions, answers, authorities, additional = HEADER.unpack_from(data)
    if flags >> OPCODE_SHIFT & 15 or questions != 1:
        raise Refused(OTHER)
    if answers + authorities + additional > RECORD_LIMIT:
        raise Refused(MALFORMED)
    names: dict[int, bytes] = {}
    name, at = name_at(data, HEADER.size, names)
    if at + 4 > len(data):
        raise Refused(MALFORMED)
    kind, of = struct.unpack_from(">HH", data, at)
    if of != INTERNET:
        raise Refused(OTHER)
    at += 4
    records, at = _records(data, at, answers, names)
    code = flags & CODE
    if additional and at:
        code |= _extended_code(data, at, authorities + additional)
    is_answer, truncated = bool(flags & ANSWER), bool(flags & TRUNCATED_BIT)
    return Message(data, identifier, is_answer, truncated, code, name, kind, records, names)


def _records(data: bytes, at: int, count: int, names: dict[int, bytes]) -> tuple[tuple[Record, ...], int]:
    """Records of the Internet class and where they end; 0 where the capture ends before. Raises Refused."""
    found: list[Record] = []
    for _ in range(count):
        try:
            owner, at = name_at(data, at, names)
            kind, of, lifetime, length = RECORD.unpack_from(data, at)
        except (Refused, struct.error):
            if len(data) < CUT_FROM or not _ends_early(data, at):
                raise Refused(MALFORMED) from None
            return tuple(found), 0
        start = at + RECORD.size
        at = start + length
        if at > len(data):
            if len(data) < CUT_FROM:
                raise Refused(MALFORMED)
            return tuple(found), 0
        if of == INTERNET:
            seconds = 0 if lifetime >> 31 else min(lifetime, LONGEST_LIFETIME)
            found.append(Record(owner, kind, seconds, start, at))
    return tuple(found), at


def _ends_early(data: bytes, at: int) -> bool:
    """Whether the head of the record at that place may go on behind the end."""
    return at + NAME_LIMIT + RECORD.size > len(data)


def _extended_code(data: bytes, at: int, count: int) -> int:
    """The upper eight bits of the code, which OPT holds; 0 where there is none, or it is behind the capture's end."""
    for _ in range(count):
        at = _behind_name(data, at)
        if at + RECORD.size > len(data):
            break
        kind, _size, lifetime, length = RECORD.unpack_from(data, at)
        if kind == OPT:
            return int(lifetime) >> 24 << 4
        at += RECORD.size + length
    else:
        return 0
    if len(data) < CUT_FROM:
        raise Refused(MALFORMED)
    return 0


def _behind_name(data: bytes, at: int) -> int:
    while at < len(data):
        length = data[at]
        if length >= 0xC0:
            return at + 2
        at += 1 + length
        if not length:
            break
    return at


def name_at(data: bytes, at: int, names: dict[int, bytes]) -> tuple[bytes, int]:
    """The name that begins there, without compression and in lower case, and where it ends. Raises Refused.

    `names` are those that were read before, by place; the name is added.
    """
    begin = lowest = at
    parts: list[bytes] = []
    end = size = pointers = 0
    try:
        while True:
            length = data[at]
            if length >= 0xC0:
                end = end or at + 2
                at = (length & 0x3F) << 8 | data[at + 1]
                pointers += 1
                if at >= lowest or pointers > POINTER_LIMIT:
                    raise Refused(MALFORMED)
                lowest = at
                known = names.get(at)
                if known is not None:
                    parts.append(known)
                    size += len(known)
                    break
            elif length > 63 or at + 1 + length > len(data) or size > NAME_LIMIT:
                raise Refused(MALFORMED)
            else:
                parts.append(data[at : at + 1 + length])
                size += 1 + length
                at += 1 + length
                if not length:
                    break
    except IndexError:
        raise Refused(MALFORMED) from None
    if size > NAME_LIMIT:
        raise Refused(MALFORMED)
    # The lengths of labels are below the letters: lower() leaves them alone.
    name = names[begin] = b"".join(parts).lower()
    return name, end or at


def text_of(name: bytes) -> str:
    """The name of a host in text. Raises Refused where no host has such a name: the root, a dot inside a label."""
    labels, at = [], 0
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    text = b".".join(labels)
    if text.count(b".") >= len(labels):
        raise Refused(MALFORMED)
    return host_name(text)
