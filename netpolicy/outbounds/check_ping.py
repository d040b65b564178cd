"""Whether an address answers an ICMP echo sent out of a line.

One question in one check; never believes an answer to somebody else's ping. Formats: RFC 792, RFC 4443.
Sockets: ping sockets where the group may have them (net.ipv4.ping_group_range), else raw ones, as root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time

from netpolicy.outbounds.check_line import ANSWER_LIMIT, PASSED, Answer, Line, joined, opened, repeated

SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>, and MIPS; what recvmsg gives has the same number

ECHO = {4: (8, 0), 6: (128, 129)}  # question and answer
PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
TOKEN_SIZE = 16
# Sending takes less, where nobody else has the processor meanwhile; and no answer comes as late.
TOGETHER_NS, LONGEST_NS = 5_000_000, 60_000_000_000


async def ping(line: Line, address: str) -> Answer:
    """Passed when the address sends our own bytes back. Waits for ever otherwise: put a limit around it."""
    family = 6 if ":" in address else 4
    made, is_raw = _socket(line, family)
    with made:
        joined(line, made, address)
        token = os.urandom(TOKEN_SIZE)
        strip = is_raw and family == 4  # raw IPv4 sockets give the IP header too
        stamps = Stamps(made)
        number = await repeated(
            made,
            lambda: stamps.send(question(family, token, stamps.sent + 1)),
            lambda data: is_answer(family, without_ip_header(data) if strip else data, token, stamps.sent) or None,
            stamps.receive,
        )
    return Answer(PASSED, text=f"{address} answers", milliseconds=stamps.milliseconds(number))


class Stamps:
    """Sends and receives on one socket, and knows when the kernel had what came last: a busy router looks late."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made
        self._sent: list[tuple[int, int]] = []  # just before and just after
        self._came = 0
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    @property
    def sent(self) -> int:
        """How many packets."""
        return len(self._sent)

    def send(self, packet: bytes) -> None:
        """Raises OSError."""
        before = time.time_ns()
        self._sent.append((before, before))
        self._socket.send(packet)
        self._sent[-1] = before, time.time_ns()

    async def receive(self) -> bytes:
        """The next packet. Raises OSError."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, notes, _flags, _address = self._socket.recvmsg(ANSWER_LIMIT, 64)
                break
            except BlockingIOError:
                readable = loop.create_future()
                loop.add_reader(self._socket, lambda one=readable: one.done() or one.set_result(None))
                try:
                    await readable
                finally:
                    loop.remove_reader(self._socket)
        stamps = [note for level, kind, note in notes if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)]
        self._came = _nanoseconds(stamps[0]) if stamps else 0
        return data

    def milliseconds(self, number: int) -> float:
        """From that packet sent, from 1 on, to the last one received; 0 where it is not known, or the clock was set."""
        before, after = self._sent[number - 1]
        if not self._came or not 0 <= self._came - before < LONGEST_NS:
            return 0.0
        # Who had to wait for the processor in between was late itself, not the line.
        taken = self._came - (before if after - before < TOGETHER_NS else after)
        return max(round(taken / 1e6, 3), 0.001)


def _nanoseconds(note: bytes) -> int:
    """struct timespec, of 32 or 64 bits (socket(7), SO_TIMESTAMPNS)."""
    if len(note) not in (8, 16):
        return 0
    seconds, nanoseconds = struct.unpack("=ii" if len(note) == 8 else "=qq", note)
    return int(seconds * 1_000_000_000 + nanoseconds)


def question(family: int, token: bytes, number: int = 1) -> bytes:
    """The echo request. For IPv6 the kernel writes the checksum. `number`: of the try; the reply has it too."""
    kind = ECHO[family][0]
    identifier = int.from_bytes(token[:2], "big")  # a ping socket has its own instead
    bare = HEADER.pack(kind, 0, 0, identifier, number) + token
    return HEADER.pack(kind, 0, checksum(bare) if family == 4 else 0, identifier, number) + token


def is_answer(family: int, data: bytes, token: bytes, asked: int = 1) -> int:
    """Which of the questions with that token, asked so often, the ICMP message is the reply to; 0 for none."""
    if len(data) < HEADER.size:
        return 0
    kind, code, _checksum, _identifier, number = HEADER.unpack_from(data)
    is_ours = (kind, code) == (ECHO[family][1], 0) and data[HEADER.size :] == token
    return int(number) if is_ours and number <= asked else 0


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


def _socket(line: Line, family: int) -> tuple[socket.socket, bool]:
    try:
        return opened(line, family, socket.SOCK_DGRAM, PROTOCOL[family]), False
    except PermissionError:
        return opened(line, family, socket.SOCK_RAW, PROTOCOL[family]), True
