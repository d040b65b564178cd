"""Reads a BPF ring buffer: records that programs wrote, in their order, without a system call for each.

Never waits; an epoll on the descriptor, or a timer, says when there is something to read.
Layout: kernel/bpf/ringbuf.c. A page with our position, a read-only one with the writers', then the data twice in a
row, so that no record is cut at the end. Positions are the kernel's unsigned long: 4 or 8 bytes, running freely; a
program of 32 bits on a kernel of 64 writes all 8, or the ring is full for ever after 4 GB.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from netpolicy.flows.ebpf import bpf_call

if TYPE_CHECKING:
    from mmap import mmap

BUSY, DISCARDED, LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
HEADER = 8
PADDED = HEADER + 7  # and cut to a multiple of 8: what a record takes beside its bytes
# Of two positions, which are closer than this: half of a long one may be older than the other where it is read in two.
DISTANCE = (1 << 32) - 1
GIVE_BACK = 8  # records after which their room is given back: that costs as much as finding one


class BadRing(Exception):
    """What stands in the buffer cannot have been written by a kernel."""


class Records:
    """The protocol, over three memories: our position, the writers', and the data (at least once in a row).

    The interpreter has no memory barriers. The busy bit, which is cleared last, and the work between two reads are
    what is relied on.
    """

    def __init__(
        self, consumer: memoryview, producer: memoryview, data: mmap | bytearray, begin: int, size: int, word: int
    ) -> None:
        """`data`: begins at `begin` of what, when cut, gives copies; a view would cost more."""
        self._consumer, self._producer = position(consumer, word), position(producer, word)
        self._whole, self._begin = data, begin + HEADER
        self._lengths = memoryview(data)[begin:].cast("I")
        self._index = size - 1
        self._longest = size - HEADER
        self._wrap = (1 << word * 8) - 1

    def drain(self, take: Callable[[bytes], None], limit: int) -> int:
        """Hand copies of up to `limit` records to `take`; how many there were.

        Room is given back after every few, also where `take` raises.
        """
        consumer, lengths, whole, begin = self._consumer, self._lengths, self._whole, self._begin
        index, longest, wrap = self._index, self._longest, self._wrap
        place = end = consumer[0]
        count = 0
        try:
            while count < limit:
                if place == end:
                    end = place + (self._producer[0] - place & DISTANCE)
                    if place == end:
                        break
                start = place & index
                length = lengths[start >> 2]
                if length > longest:  # or there is a flag in it, which is rare
                    if length & BUSY:
                        break
                    length &= LENGTH
                    if length > longest:
                        raise BadRing(f"a record of {length} bytes in a ring of {index + 1}")
                    place += length + PADDED & -8
                    continue
                place += length + PADDED & -8
                count += 1
                start += begin
                take(whole[start : start + length])
                if not count % GIVE_BACK:
                    consumer[0] = place & wrap
        finally:
            consumer[0] = place & wrap
        return count

    def waiting(self) -> int:
        """Bytes that are there to be read, or being written."""
        return (self._producer[0] - self._consumer[0]) & DISTANCE

    def release(self) -> None:
        """Let go of the memories, so that they can be unmapped."""
        for view in (self._consumer, self._producer, self._lengths):
            view.release()


def position(memory: memoryview, word: int) -> memoryview[int]:
    """The number that stands first in a memory."""
    return memory[:word].cast("Q") if word == 8 else memory[:word].cast("I")


class Ring:
    """The ring buffer of a map's descriptor, mapped into this process. OSError where that fails."""

    def __init__(self, descriptor: int, size: int) -> None:
        import mmap
        import struct

        page = mmap.PAGESIZE
        self._own = mmap.mmap(descriptor, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        try:
            self._theirs = mmap.mmap(descriptor, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except OSError:
            self._own.close()
            raise
        word = bpf_call.kernel_word(os.uname().machine, struct.calcsize("P"))
        self._views = memoryview(self._own), memoryview(self._theirs)
        self.records = Records(*self._views, self._theirs, page, size, word)

    def close(self) -> None:
        """Unmap; may be repeated."""
        if self._own.closed:
            return
        self.records.release()
        for view in self._views:
            view.release()
        self._theirs.close()
        self._own.close()
