"""Flows from the text table /proc/net/nf_conntrack, for kernels without ctnetlink.

Never raises on a line it cannot read: such a line is left out. Tells no id and few status bits.
Line format: net/netfilter/nf_conntrack_standalone.c of Linux 5.4 to 6.18; the usual lines are read by `procline`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netpolicy.flows import procline
from netpolicy.flows.model import ICMP, ICMPV6, SEEN_REPLY, Flow
from netpolicy.flows.tracked import Tracked

PATH = "/proc/net/nf_conntrack"

# Longer lines are not the kernel's.
LINE_LIMIT = 1000
# Bytes per batch, some 270 lines: about two milliseconds on a host, twenty on a router, half of it the kernel's.
CHUNK = 1 << 16

FAMILIES = {"2": 4, "10": 6}
ADDRESS_LIMIT = 45  # the longest IPv6 text

Direction = dict[str, str]


def batches() -> Iterator[list[Flow]]:
    """The table in steps. OSError where the file is absent or not readable."""
    return map(flows_in, _chunks())


def tracked_batches() -> Iterator[list[Tracked]]:
    """The same in the lighter form."""
    return map(tracked_in, _chunks())


def flows_in(chunk: bytes) -> list[Flow]:
    """The flows of all readable lines, the usual ones first."""
    words, odd = _lines(chunk, procline.USUAL)
    found = [flow for flow in map(procline.flow, words) if flow is not None]
    if odd:
        found += parse_lines(odd)
    return found


def tracked_in(chunk: bytes) -> list[Tracked]:
    """The same in the lighter form."""
    words, odd = _lines(chunk, procline.LIGHT)
    found = procline.tracked(words)
    for line in odd:
        parts = _take_apart(line)
        one = _tracked(parts) if parts else None
        if one is not None:
            found.append(one)
    return found


def parse_lines(lines: Iterable[str]) -> list[Flow]:
    """The flows of all readable lines."""
    return [flow for flow in map(parse, lines) if flow is not None]


def parse(line: str) -> Flow | None:
    """The flow of one line, or None.

    ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.2 dst=192.0.2.1 sport=40000 dport=443
    packets=9 bytes=1200 src=192.0.2.1 dst=203.0.113.5 sport=443 dport=40000 packets=8
    bytes=9000 [ASSURED] mark=16777216 zone=0 use=2
    """
    parts = _take_apart(line)
    return _flow(parts) if parts else None


def _chunks() -> Iterator[bytes]:
    """The table in pieces of whole lines."""
    with open(PATH, "rb") as table:
        while chunk := table.read(CHUNK):
            yield chunk + table.readline(LINE_LIMIT)


def _lines(chunk: bytes, expressions: Iterable[re.Pattern[bytes]]) -> tuple[list[procline.Words], list[str]]:
    """The words of the usual lines, and the other lines. Mostly all are usual, by the first expression."""
    found: list[procline.Words] = []
    count = chunk.count(b"\nip") + chunk.startswith(b"ip")  # of lines; counting one byte takes four times as long
    for usual in expressions:
        words = usual.findall(chunk)
        found = found + words if found else words
        if len(found) == count:
            return found, []
        chunk = usual.sub(b"", chunk) if words else chunk
    return found, chunk.decode("ascii", "replace").split("\n")


class _Parts(NamedTuple):
    """A line, taken apart."""

    family: int
    protocol: int
    middle: list[str]  # between protocol and addresses
    words: list[str]  # from the first address on
    original: Direction
    reply: Direction  # what follows the second direction belongs to it


def _take_apart(line: str) -> _Parts | None:
    if len(line) > LINE_LIMIT:
        return None
    words = line.split()
    if len(words) < 6 or not line.startswith("ip") or words[1] not in FAMILIES:
        return None
    protocol = _number(words[3], 255)
    start = next((index for index, word in enumerate(words) if word.startswith("src=")), 0)
    if protocol is None or not start:
        return None
    original, reply = _directions(words[start:])
    return _Parts(FAMILIES[words[1]], protocol, words[4:start], words[start:], original, reply)


def _directions(words: list[str]) -> tuple[Direction, Direction]:
    """`name=value` of the original and of the reply direction."""
    original: Direction = {}
    reply: Direction = {}
    current = original
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            continue
        if name == "src" and "src" in original:
            current = reply
        current.setdefault(name, value)
    return original, reply


def _flow(parts: _Parts) -> Flow | None:
    family, protocol, middle, words, original, reply = parts
    ends = [_address(family, one.get(end)) for one in (original, reply) for end in ("src", "dst")]
    if not all(ends):
        return None
    texts = [socket.inet_ntop(_number_of(family), end) for end in ends]
    icmp = protocol in (ICMP, ICMPV6)
    return Flow(
        0, family, protocol,
        texts[0], _field(original, "sport"), texts[1], _field(original, "dport"),
        texts[2], _field(reply, "sport"), texts[3], _field(reply, "dport"),
        _field(reply, "mark", 0xFFFFFFFF),
        sum(_field(one, "packets", 1 << 64) for one in (original, reply)),
        sum(_field(one, "bytes", 1 << 64) for one in (original, reply)),
        _status(words),
        _state(middle),
        next((number for number in (_number(word, 1 << 32) for word in middle) if number is not None), 0),
        _field(original, "type", 255) if icmp else 0,
        _field(original, "code", 255) if icmp else 0,
        _field(original, "id") if icmp else 0,
        _field(reply, "zone"),
    )  # fmt: skip


def _tracked(parts: _Parts) -> Tracked | None:
    family, protocol, middle, words, original, reply = parts
    ends = [_address(family, original.get("src")), _address(family, original.get("dst")),
            _address(family, reply.get("src"))]  # fmt: skip
    if not all(ends):
        return None
    packets, size, reply_packets, reply_size = (
        _field(one, name, 1 << 64) for one in (original, reply) for name in ("packets", "bytes")
    )
    return Tracked(
        protocol, ends[0], _field(original, "sport"), ends[1], _field(original, "dport"), ends[2],
        _field(reply, "sport"), _field(reply, "mark", 0xFFFFFFFF), _status(words),
        packets, size, reply_packets, reply_size, _state(middle),
    )  # fmt: skip


def _state(middle: list[str]) -> str:
    return next((word for word in middle if word.isidentifier()), "")


def _status(words: list[str]) -> int:
    status = 0 if "[UNREPLIED]" in words else SEEN_REPLY
    for word, bits in procline.FLAGS.items():
        status |= bits if word.decode() in words else 0
    return status


def _number_of(family: int) -> int:
    return socket.AF_INET if family == 4 else socket.AF_INET6


def _address(family: int, text: str | None) -> bytes:
    """The packed address; nothing where it is none."""
    if not text or len(text) > ADDRESS_LIMIT:
        return b""
    try:
        return socket.inet_pton(_number_of(family), text)
    except (OSError, ValueError):
        return b""


def _field(values: Direction, name: str, limit: int = 0xFFFF) -> int:
    return _number(values.get(name, ""), limit) or 0


def _number(text: str, limit: int) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        return None
    value = int(text)
    return value if value <= limit else None
