"""Prebuilt messages in one piece of memory, and frames that are sent from it.

One system call for many packets, no interpreter in between: what sends is never the
bottleneck. Frames go past the queueing discipline of a packet socket. Sources: packet(7),
sendmmsg(2), recvmmsg(2), RFC 791, RFC 768.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20  # <linux/socket.h>, <linux/if_packet.h>
FRAME_BYTES = 60  # the smallest Ethernet frame, without its checksum
UDP = 17

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Flow:
    """Addresses as numbers."""

    source: int
    destination: int
    source_port: int
    destination_port: int


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class Messages:
    """Equally long messages for the system calls that take many; `names` are addresses to send to."""

    def __init__(self, parts: Sequence[bytes], names: Sequence[bytes] = ()) -> None:
        self.count = len(parts)
        size = len(parts[0])
        self._memory = ctypes.create_string_buffer(b"".join(parts), self.count * size)
        self._names = ctypes.create_string_buffer(b"".join(names))
        first, name = ctypes.addressof(self._memory), ctypes.addressof(self._names)
        self._vectors = (_Vector * self.count)(*(_Vector(first + number * size, size) for number in range(self.count)))
        self._messages = (_Message * self.count)()
        for number, message in enumerate(self._messages):
            message.header.vectors = ctypes.addressof(self._vectors[number])
            message.header.vector_count = 1
            if names:
                message.header.name = name + number * len(names[0])
                message.header.name_length = len(names[0])

    def send(self, handle: socket.socket, start: int, count: int) -> int:
        """Sends up to `count` messages from number `start`; how many went, 0 where there is no room. Raises OSError."""
        first = ctypes.byref(self._messages, start * ctypes.sizeof(_Message))
        try:
            return _checked(_libc.sendmmsg(handle.fileno(), first, min(count, self.count - start), 0))
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            time.sleep(0.001)  # the thread of the kernel that makes room needs the core
            return 0

    def receive(self, handle: socket.socket) -> int:
        """Takes what waits; how many messages that were, at most as many as there is room for. Raises OSError."""
        try:
            return _checked(_libc.recvmmsg(handle.fileno(), self._messages, self.count, socket.MSG_DONTWAIT, None))
        except BlockingIOError:
            return 0


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Sender:
    """One frame per flow, sent in order, round and round. Made inside the client's namespace."""

    def __init__(self, device: str, ends: bytes, flows: Sequence[Flow]) -> None:
        self.passed = 0  # frames sent so far
        self._frames = Messages([frame(ends, flow) for flow in flows])
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._wire.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._wire.bind((device, 0))

    def send(self, count: int) -> int:
        """Sends that many next frames, fewer where the round ends before; how many. Raises OSError."""
        done = self._frames.send(self._wire, self.passed % self._frames.count, count)
        self.passed += done
        return done

    def close(self) -> None:
        self._wire.close()


def frame(ends: bytes, flow: Flow) -> bytes:
    """An Ethernet frame of FRAME_BYTES; `ends` are the hardware addresses, the receiver's first."""
    size = FRAME_BYTES - 14
    datagram = struct.pack("!HHHH", flow.source_port, flow.destination_port, size - 20, 0)  # no checksum: allowed
    header = struct.pack("!BBHHHBBHII", 0x45, 0, size, 0, 0, 64, UDP, 0, flow.source, flow.destination)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    packet = header[:10] + struct.pack("!H", checksum) + header[12:] + datagram
    return (ends + b"\x08\x00" + packet).ljust(FRAME_BYTES, b"\0")
