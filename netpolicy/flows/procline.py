"""The usual lines of /proc/net/nf_conntrack by a regular expression: sixty thousand of them in parts of a second.

Pure, and never raises on what it reads. Never guesses: a line that holds anything else, and protocols without ports,
are for the walk over words in `proc`. Line format: net/netfilter/nf_conntrack_standalone.c of Linux 5.4 to 6.18.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import lru_cache

from netpolicy.flows.model import ASSURED, HARDWARE_OFFLOADED, OFFLOADED, SEEN_REPLY, Flow
from netpolicy.flows.tracked import Tracked

_HEAD = rb"^ipv[46] +\d+ \w+ +(\d{1,3}) (?:(\d{1,10}) )?(?:([A-Z][A-Z_0-9]*) )?"
_ADDRESS, _PORT = rb"[0-9a-f.:]{2,45}", rb"\d{1,5}"
_DIRECTION = rb"src=(" + _ADDRESS + rb") dst=(" + _ADDRESS + rb") sport=(" + _PORT + rb") dport=(" + _PORT + rb") "
_COUNTS = rb"packets=(\d{1,20}) bytes=(\d{1,20}) "
_FLAG = rb"((?:\[\w+\] )?)"
_TAIL = rb"mark=(\d{1,10}) (?:zone=(\d{1,5}) )?(?:delta-time=\d+ )?use=\d+$"

# The same without what the lighter form does not have: groups that nobody asks for cost as much as the others.
_LIGHT_HEAD = rb"^ipv[46] +\d+ \w+ +(\d{1,3}) (?:\d{1,10} )?(?:([A-Z][A-Z_0-9]*) )?"
_LIGHT_REPLY = rb"src=(" + _ADDRESS + rb") dst=" + _ADDRESS + rb" sport=(" + _PORT + rb") dport=" + _PORT + rb" "
_LIGHT_TAIL = rb"mark=(\d{1,10}) [^\n]*$"


def _usual(counts: bytes) -> re.Pattern[bytes]:
    return re.compile(_HEAD + _DIRECTION + counts + _FLAG + _DIRECTION + counts + _FLAG + _TAIL, re.MULTILINE)


def _light(counts: bytes) -> re.Pattern[bytes]:
    text = _LIGHT_HEAD + _DIRECTION + counts + _FLAG + _LIGHT_REPLY + counts + _FLAG + _LIGHT_TAIL
    return re.compile(text, re.MULTILINE)


# With counters and without: what is optional in one expression costs a third more.
USUAL = _usual(_COUNTS), _usual(rb"()()")
LIGHT = _light(_COUNTS), _light(rb"()()")

Words = tuple[bytes, ...]  # what stands in the places of a usual line

FLAGS = {
    b"[ASSURED]": ASSURED,
    b"[OFFLOAD]": OFFLOADED | ASSURED,  # the kernel prints only the strongest of the three
    b"[HW_OFFLOAD]": HARDWARE_OFFLOADED | OFFLOADED | ASSURED,
}
PORT_LIMIT, MARK_LIMIT = 0xFFFF, 0xFFFFFFFF


def flow(words: Words) -> Flow | None:
    """The flow of a usual line; None where a number is beyond what the kernel has, or an address is none."""
    (protocol, timeout, state, source, destination, sport, dport, packets, size, unreplied,
     reply_source, reply_destination, rsport, rdport, reply_packets, reply_size, flag, mark, zone) = words  # fmt: skip
    ports = (int(sport), int(dport), int(rsport), int(rdport))
    ends = (_text(source), _text(destination), _text(reply_source), _text(reply_destination))
    number = int(mark)
    if max(ports) > PORT_LIMIT or number > MARK_LIMIT or "" in ends:
        return None
    return Flow(
        0, 6 if ":" in ends[0] else 4, int(protocol), ends[0], ports[0], ends[1], ports[1], ends[2], ports[2],
        ends[3], ports[3], number, int(packets or 0) + int(reply_packets or 0), int(size or 0) + int(reply_size or 0),
        _status(unreplied + flag), state.decode("ascii"), int(timeout or 0), zone=int(zone or 0),
    )  # fmt: skip


def tracked(lines: Iterable[Words]) -> list[Tracked]:
    """What lines of the lighter expression say, for those that say something."""
    found: list[Tracked] = []
    make, packed, status = tuple.__new__, _packed, _status  # a call for each line would cost as much again
    for (protocol, state, source, destination, sport, dport, packets, size, unreplied,
         answerer, rsport, reply_packets, reply_size, flag, mark) in lines:  # fmt: skip
        source_port, destination_port, reply_port, number = int(sport), int(dport), int(rsport), int(mark)
        if source_port | destination_port | reply_port > PORT_LIMIT or number > MARK_LIMIT:
            continue
        try:
            values = (
                int(protocol), packed(source), source_port, packed(destination), destination_port, packed(answerer),
                reply_port, number, status(unreplied + flag), int(packets or 0), int(size or 0),
                int(reply_packets or 0), int(reply_size or 0), state.decode(),
            )  # fmt: skip
        except OSError:
            continue
        found.append(make(Tracked, values))
    return found


@lru_cache(maxsize=64)
def _status(words: bytes) -> int:
    status = 0 if b"[UNREPLIED]" in words else SEEN_REPLY
    for word, bits in FLAGS.items():
        status |= bits if word in words else 0
    return status


# Sixty thousand connections have few addresses, and each of them stands in two places at least.
@lru_cache(maxsize=4096)
def _packed(text: bytes) -> bytes:
    """Four or sixteen bytes. OSError where it is no address."""
    return socket.inet_pton(socket.AF_INET6 if b":" in text else socket.AF_INET, text.decode("ascii"))


@lru_cache(maxsize=4096)
def _text(text: bytes) -> str:
    """The usual short form (the kernel prints IPv6 in full); "" where it is no address."""
    try:
        packed = _packed(text)
    except OSError:
        return ""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
