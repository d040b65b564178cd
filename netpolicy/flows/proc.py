"""Flows from the text table /proc/net/nf_conntrack, for kernels without ctnetlink.

Never raises on a line it cannot read: such a line is left out. Tells no id and few status bits.
Line format: net/netfilter/nf_conntrack_standalone.c of Linux 5.4 to 6.18.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from netpolicy.flows.model import ASSURED, HARDWARE_OFFLOADED, ICMP, ICMPV6, OFFLOADED, SEEN_REPLY, Flow

PATH = "/proc/net/nf_conntrack"

# Longer lines are not the kernel's.
LINE_LIMIT = 1000
# Lines per batch: about a millisecond on a host, ten on a router.
BATCH_LINES = 200

FAMILIES = {"2": 4, "10": 6}
FLAGS = {
    "[ASSURED]": ASSURED,
    "[OFFLOAD]": OFFLOADED | ASSURED,  # the kernel prints only the strongest of the three
    "[HW_OFFLOAD]": HARDWARE_OFFLOADED | OFFLOADED | ASSURED,
}
ADDRESS_LIMIT = 45  # the longest IPv6 text


def batches() -> Iterator[list[Flow]]:
    """The table in steps. OSError where the file is absent or not readable."""
    with open(PATH, encoding="ascii", errors="replace") as lines:
        batch: list[Flow] = []
        for number, line in enumerate(lines, 1):
            flow = parse(line)
            if flow is not None:
                batch.append(flow)
            if number % BATCH_LINES == 0:
                yield batch
                batch = []
        yield batch


def parse_lines(lines: Iterable[str]) -> list[Flow]:
    """The flows of all readable lines."""
    return [flow for flow in map(parse, lines) if flow is not None]


def parse(line: str) -> Flow | None:
    """The flow of one line, or None.

    ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.2 dst=192.0.2.1 sport=40000 dport=443
    packets=9 bytes=1200 src=192.0.2.1 dst=203.0.113.5 sport=443 dport=40000 packets=8
    bytes=9000 [ASSURED] mark=16777216 zone=0 use=2
    """
    if len(line) > LINE_LIMIT:
        return None
    words = line.split()
    if len(words) < 6 or words[1] not in FAMILIES:
        return None
    protocol = _number(words[3], 255)
    start = next((index for index, word in enumerate(words) if word.startswith("src=")), 0)
    if protocol is None or not start:
        return None
    directions = _directions(words[start:])
    return _flow(FAMILIES[words[1]], protocol, words[4:start], words[start:], directions)


def _directions(words: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`name=value` of the original and of the reply direction; what follows belongs to the last."""
    original: dict[str, str] = {}
    reply: dict[str, str] = {}
    current = original
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            continue
        if name == "src" and "src" in original:
            current = reply
        current.setdefault(name, value)
    return original, reply


def _flow(
    family: int, protocol: int, middle: list[str], words: list[str], directions: tuple[dict[str, str], dict[str, str]]
) -> Flow | None:
    original, reply = directions
    addresses = [_address(family, one.get(end)) for one in directions for end in ("src", "dst")]
    if not all(addresses):
        return None
    icmp = protocol in (ICMP, ICMPV6)
    return Flow(
        0, family, protocol,
        addresses[0], _field(original, "sport"), addresses[1], _field(original, "dport"),
        addresses[2], _field(reply, "sport"), addresses[3], _field(reply, "dport"),
        _field(reply, "mark", 0xFFFFFFFF),
        sum(_field(one, "packets", 1 << 64) for one in directions),
        sum(_field(one, "bytes", 1 << 64) for one in directions),
        _status(words),
        next((word for word in middle if word.isidentifier()), ""),
        next((number for number in (_number(word, 1 << 32) for word in middle) if number is not None), 0),
        _field(original, "type", 255) if icmp else 0,
        _field(original, "code", 255) if icmp else 0,
        _field(original, "id") if icmp else 0,
        _field(reply, "zone"),
    )  # fmt: skip


def _status(words: list[str]) -> int:
    status = 0 if "[UNREPLIED]" in words else SEEN_REPLY
    for word, bits in FLAGS.items():
        status |= bits if word in words else 0
    return status


def _address(family: int, text: str | None) -> str:
    """The address in its usual short form (the kernel prints IPv6 in full); "" where it is none."""
    if not text or len(text) > ADDRESS_LIMIT:
        return ""
    number = socket.AF_INET if family == 4 else socket.AF_INET6
    try:
        return socket.inet_ntop(number, socket.inet_pton(number, text))
    except (OSError, ValueError):
        return ""


def _field(values: dict[str, str], name: str, limit: int = 0xFFFF) -> int:
    return _number(values.get(name, ""), limit) or 0


def _number(text: str, limit: int) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        return None
    value = int(text)
    return value if value <= limit else None
