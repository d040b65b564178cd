"""A packet socket on one device whose packets the kernel writes into memory of ours, filtered, in blocks.

Never copies what the filter does not take, never blocks, never hides a loss. Needs CAP_NET_RAW; no ctypes.
Format: TPACKET_V3 of <linux/if_packet.h>, Documentation/networking/packet_mmap.rst of Linux.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from netpolicy.flows.cbpf import Instruction, pack
from netpolicy.flows.packet_filter import OUTGOING

if TYPE_CHECKING:
    import mmap

SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>; MIPS has the same number
SOL_PACKET = 263
RX_RING, STATISTICS, VERSION = 5, 6, 10
TPACKET_V3 = 2
ALL_PROTOCOLS = 0x0003

BLOCK = 1 << 16  # a multiple of every page size
FRAME = 1 << 11  # asked for by the kernel, and without meaning in this version
BLOCKS = 8
# A block that is not full comes after this long: how old a name may be before anybody hears of it. A third of this
# makes the reader run three times as often, and comes too late for the connection that follows an answer as well.
RETIRE_MS = 60

REQUEST = struct.Struct("=7I")
STATUS_AT = 8
USER, KERNEL = 1, 0  # whose a block is
VLAN_VALID = 0x10  # of the status of a packet
BLOCK_HEAD = struct.Struct("=12xII")  # packets, offset of the first
PACKET = struct.Struct("=6IHH")  # next, seconds, nanoseconds, captured, length, status, and where the bytes are
SENDER_AT = 48
SENDER = struct.Struct("=2xH6xBB8s")  # protocol (network order), type, size of the address, address
PROTOCOL = struct.Struct(">H")
WORD = struct.Struct("=I")

# Two clocks that are read one after the other tell their difference, if nothing came between; else they are read again.
CLOCKS_WITHIN = 0.000_02
CLOCK_READINGS = 3


class Refused(Exception):
    """The kernel does not give us such a socket; the text says why and what to do."""


class Captured(NamedTuple):
    """One packet, as far as the filter takes it. `data` begins with the network header."""

    data: bytes
    protocol: int  # Ethernet type
    outgoing: bool
    tagged: bool  # it had a VLAN tag, which is not in `data`
    mac: bytes  # of who sent it: six bytes, or none
    when: float  # time.monotonic()


class Ring:
    """One device. Not for several threads at once."""

    def __init__(self, device: str, program: Iterable[Instruction], blocks: int = BLOCKS) -> None:
        """Raises Refused."""
        self.device = device
        self._next = 0
        self._blocks = blocks
        self._offset = float("inf")
        self._clock()
        self._totals = [0, 0, 0]
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            raise refusal(device, error) from None
        try:
            self._index = socket.if_nametoindex(device)
            self._memory = self._mapped(program, blocks)
        except OSError as error:
            self._socket.close()
            raise refusal(device, error) from None

    def _mapped(self, program: Iterable[Instruction], blocks: int) -> mmap.mmap:
        """Nothing is taken until `bind`: then filter and memory are there."""
        import mmap

        frames = blocks * BLOCK // FRAME
        self._socket.setsockopt(SOL_PACKET, VERSION, TPACKET_V3)
        request = REQUEST.pack(BLOCK, blocks, FRAME, frames, RETIRE_MS, 0, 0)
        self._socket.setsockopt(SOL_PACKET, RX_RING, request)
        self.set_filter(program)
        memory = mmap.mmap(self._socket.fileno(), blocks * BLOCK)
        try:
            self._socket.bind((self.device, ALL_PROTOCOLS))
        except OSError:
            memory.close()
            raise
        return memory

    def set_filter(self, program: Iterable[Instruction]) -> None:
        """From now on these packets; at no moment others. OSError."""
        code = array.array("B", pack(program))
        address, size = code.buffer_info()
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", size // 8, address))

    def fileno(self) -> int:
        """Readable when a block is full, or old."""
        return self._socket.fileno()

    def read(self) -> list[Captured] | None:
        """The packets of the next block; None where no block is ready."""
        start = self._next * BLOCK
        if not WORD.unpack_from(self._memory, start + STATUS_AT)[0] & USER:
            self._forgive()
            return None
        found = self._packets(start)
        WORD.pack_into(self._memory, start + STATUS_AT, KERNEL)
        self._next = (self._next + 1) % self._blocks
        return found

    def is_alive(self) -> bool:
        """False once the device is gone, or another one has its name."""
        try:
            return bool(self._socket.getsockname()[0]) and socket.if_nametoindex(self.device) == self._index
        except OSError:
            return False

    @property
    def index(self) -> int:
        """Of the device."""
        return self._index

    def counters(self) -> dict[str, int]:
        """Totals: packets that the filter took, those of them that found no room, and how often there was none."""
        data = self._socket.getsockopt(SOL_PACKET, STATISTICS, 12)
        self._totals = [total + more for total, more in zip(self._totals, struct.unpack("=3I", data), strict=True)]
        return dict(zip(("packets", "lost", "full"), self._totals, strict=True))

    def close(self) -> None:
        """Give memory and socket back; may be repeated."""
        self._memory.close()
        self._socket.close()

    def _packets(self, start: int) -> list[Captured]:
        memory, offset = self._memory, self._clock()
        count, at = BLOCK_HEAD.unpack_from(memory, start)
        at += start
        found = []
        for _ in range(count):
            following, seconds, nanoseconds, size, _, status, first, _ = PACKET.unpack_from(memory, at)
            protocol, kind, length, mac = SENDER.unpack_from(memory, at + SENDER_AT)
            data = memory[at + first : at + first + size]
            when = seconds + nanoseconds / 1e9 + offset
            address = mac[:6] if length == 6 else b""
            tagged = bool(status & VLAN_VALID)
            found.append(Captured(data, socket.ntohs(protocol), kind == OUTGOING, tagged, address, when))
            at += following
        return found

    def _clock(self) -> float:
        """From the clock on the wall, which stamps packets, to the steady one. It may be set at any time."""
        narrowest, found = float("inf"), 0.0
        for _ in range(CLOCK_READINGS):
            before = time.monotonic()
            wall = time.time()
            after = time.monotonic()
            if after - before < narrowest:
                narrowest, found = after - before, (before + after) / 2 - wall
            if narrowest < CLOCKS_WITHIN:
                break
        if narrowest < CLOCKS_WITHIN or abs(found - self._offset) > 1 + narrowest:
            self._offset = found
        return self._offset

    def _forgive(self) -> None:
        """A device that went down leaves an error, which would make the socket readable for ever."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def refusal(device: str, error: OSError) -> Refused:
    """The reason in words."""
    reasons = {
        errno.EPERM: "not permitted; run as root or with CAP_NET_RAW",
        None: "there is no such device",  # if_nametoindex has no number for it
        errno.ENODEV: "there is no such device",
        errno.ENXIO: "there is no such device",
        errno.EAFNOSUPPORT: "this kernel has no packet sockets (CONFIG_PACKET)",
        errno.ENOMEM: "the kernel has no memory for its packets",
    }
    reason = reasons.get(error.errno) or os.strerror(error.errno or errno.EIO)
    return Refused(f"packets of {device} cannot be seen: {reason}")
