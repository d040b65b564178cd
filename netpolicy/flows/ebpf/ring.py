"""Reads a BPF ring buffer: records that programs wrote, in their order, without a system call for each.

Never waits; an epoll on the descriptor, or a timer, says when there is something to read.
Layout: kernel/bpf/ringbuf.c. A page with our position, a read-only one with the writers', then the data twice in a
row, so that no record is cut at the end. Positions are the kernel's unsigned long: 4 or 8 bytes, running freely.
"""

from __future__ import annotations

from collections.abc import Callable

BUSY, DISCARDED, LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
HEADER = 8


class BadRing(Exception):
    """What stands in the buffer cannot have been written by a kernel."""


class Records:
    """The protocol, over three memories: our position, the writers', and the data (at least once in a row).

    The interpreter has no memory barriers. The busy bit, which is cleared last, and the work between two reads are
    what is relied on.
    """

    def __init__(self, consumer: memoryview, producer: memoryview, data: memoryview, size: int, word: int) -> None:
        self._consumer, self._producer = position(consumer, word), position(producer, word)
        self._data = data
        self._lengths = data.cast("I")
        self._index = size - 1
        self._size = size
        self._wrap = (1 << word * 8) - 1

    def drain(self, take: Callable[[memoryview], None], limit: int) -> int:
        """Hand up to `limit` records to `take`, each valid during the call alone; how many there were.

        Room is given back after each, also where `take` raises.
        """
        consumer, producer, wrap = self._consumer, self._producer, self._wrap
        place, count = consumer[0], 0
        while count < limit and place != producer[0]:
            start = place & self._index
            header = self._lengths[start >> 2]
            if header & BUSY:
                break
            length = header & LENGTH
            if length + HEADER > self._size:
                raise BadRing(f"a record of {length} bytes in a ring of {self._size}")
            following = place + (length + HEADER + 7 & ~7) & wrap
            if not header & DISCARDED:
                count += 1
                try:
                    take(self._data[start + HEADER : start + HEADER + length])
                finally:
                    consumer[0] = following
            else:
                consumer[0] = following
            place = following
        return count

    def waiting(self) -> int:
        """Bytes that are there to be read, or being written."""
        return (self._producer[0] - self._consumer[0]) & self._wrap

    def release(self) -> None:
        """Let go of the memories, so that they can be unmapped."""
        for view in (self._consumer, self._producer, self._lengths, self._data):
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
        theirs = memoryview(self._theirs)
        word = struct.calcsize("L")
        self._views = (memoryview(self._own), theirs[:page], theirs[page:], theirs)
        self.records = Records(self._views[0], self._views[1], self._views[2], size, word)

    def close(self) -> None:
        """Unmap; may be repeated."""
        if self._own.closed:
            return
        self.records.release()
        for view in self._views:
            view.release()
        self._theirs.close()
        self._own.close()
