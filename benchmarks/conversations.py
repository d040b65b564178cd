"""TCP connections made of prebuilt frames: both sides send theirs, the router between them forwards.

Each has ends and numbers of its own, from SYN to the last FIN, with a ClientHello in between. No stack is asked,
so that one core makes more of them than any inspector sees. Never waits for an answer. Formats: RFC 791, 9293, 8446.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.course import Course
from benchmarks.frames import PACKET_QDISC_BYPASS, SOL_PACKET, Messages
from benchmarks.namespaces import Namespace, mac_of

CLIENT, SERVERS = 0xAC1F0002, 0x0AFE0000  # 172.31.0.2, and networks behind the server
PORT, FIRST_PORT = 443, 1_025
PORTS = 60_000
TCP = 6
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
BATCH = 32

# Both ends would answer what they never asked for. First added, so that there is one to delete.
SILENT = """
add table netdev conversations
delete table netdev conversations
table netdev conversations {{
	chain quiet {{ type filter hook ingress device "{device}" priority 0; tcp {side} {port} drop; }}
}}
"""


class Stage(NamedTuple):
    """One packet of every connection."""

    up: bool
    flags: int
    sequence: int  # beyond the first number of its side
    acknowledged: int
    payload: bytes = b""


def hello(name: bytes = b"www.example.com", size: int = 517) -> bytes:
    """A ClientHello of that size: one name, and padding."""
    names = struct.pack("!HBH", len(name) + 3, 0, len(name)) + name
    extensions = struct.pack("!HH", 0, len(names)) + names
    rest = size - 5 - 4 - 2 - 32 - 1 - 4 - 2 - 2 - len(extensions) - 4
    extensions += struct.pack("!HH", 21, rest) + bytes(rest)
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + struct.pack("!H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + struct.pack("!H", len(message)) + message


HELLO = hello()
OPENING = (Stage(True, SYN, 0, 0), Stage(False, SYN | ACK, 0, 1), Stage(True, ACK, 1, 1))
WHOLE = (
    *OPENING,
    Stage(True, PSH | ACK, 1, 1, HELLO),
    Stage(False, ACK, 1, 1 + len(HELLO)),
    Stage(True, FIN | ACK, 1 + len(HELLO), 1),
    Stage(False, FIN | ACK, 1, 2 + len(HELLO)),
    Stage(True, ACK, 2 + len(HELLO), 2),
)


class Conversations:
    """So many connections, ready to be sent once, in order."""

    def __init__(self, course: Course, count: int, stages: Sequence[Stage] = WHOLE, first: int = 0) -> None:
        self.count, self.passed = count, 0
        course.router.ip(f"neigh replace 172.31.0.2 lladdr {mac_of(course.client, 'eth0')} dev lan\n")
        for namespace, side in ((course.client, "sport"), (course.server, "dport")):
            text = SILENT.format(device="eth0", side=side, port=PORT)
            namespace.run(
                "nft", "-f", "-", text="add table netdev conversations; delete table netdev conversations\n" + text
            )
        back = bytes.fromhex((mac_of(course.router, "wana") + mac_of(course.server, "eth0")).replace(":", ""))
        self._ways = [(_wire(course.client), course.ends), (_wire(course.server), back)]
        self._stages = [
            (self._ways[not stage.up][0], Messages(wired(stage, self._ways[not stage.up][1], first, count)))
            for stage in stages
        ]

    def send(self, count: int) -> int:
        """Sends all packets of that many next connections; how many those were."""
        count = min(count, self.count - self.passed)
        for wire, messages in self._stages:
            at, end = self.passed, self.passed + count
            while at < end:
                at += messages.send(wire, at, end - at)
        self.passed += count
        return count

    def close(self) -> None:
        for wire, _ in self._ways:
            wire.close()


class Talking:
    """A child that sends them at a steady rate, on another core where there is one."""

    def __init__(self, conversations: Conversations, rate: float) -> None:
        """`rate`: connections per second."""
        self._count = conversations.count
        self._child = os.fork()
        if self._child == 0:
            _talk(conversations, rate)
        conversations.close()

    def running(self) -> bool:
        """Whether it still sends."""
        return os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def end(self) -> int:
        """Waits; how many connections were made. RuntimeError where the child could not send."""
        _, status = os.waitpid(self._child, 0)
        if status:
            raise RuntimeError(f"the sender ended with {os.waitstatus_to_exitcode(status)}")
        return self._count


def _talk(conversations: Conversations, rate: float) -> None:
    """The life of the child: never returns into the parent's code."""
    try:
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0) or {0})
        size = max(1, min(BATCH, int(rate / 100)))
        began = time.perf_counter()
        while conversations.passed < conversations.count:
            conversations.send(size)
            time.sleep(max(0.0, began + conversations.passed / rate - time.perf_counter()))
    finally:
        os._exit(0 if conversations.passed == conversations.count else 1)


def ends_of(number: int) -> tuple[int, int, int]:
    """The client's port, the server's address and the first number of that connection."""
    return (
        FIRST_PORT + number % PORTS,
        SERVERS + 1 + number // PORTS * 4096 + number % 4093,
        number * 65_537 & 0xFFFFFFFF,
    )


def wired(stage: Stage, link: bytes, first: int, count: int) -> list[bytes]:
    """This packet of so many connections, as frames. `link`: both addresses of its Ethernet header."""
    size = 40 + len(stage.payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, TCP, 0)
    found = []
    for number in range(first, first + count):
        port, server, isn = ends_of(number)
        ends, ports = ((CLIENT, server), (port, PORT)) if stage.up else ((server, CLIENT), (PORT, port))
        addresses = struct.pack("!II", *ends)
        total = sum(struct.unpack("!10H", head + addresses))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
        numbers = ((isn + stage.sequence) & 0xFFFFFFFF, (isn + stage.acknowledged) & 0xFFFFFFFF)
        segment = struct.pack("!HHIIBBHHH", *ports, *numbers, 0x50, stage.flags, 64_000, 0, 0)
        found.append((link + b"\x08\x00" + head[:10] + checksum + addresses + segment + stage.payload).ljust(60, b"\0"))
    return found


def _wire(namespace: Namespace) -> socket.socket:
    with namespace.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    with namespace.entered():
        wire.bind(("eth0", 0))
    return wire
