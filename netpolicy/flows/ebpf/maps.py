"""A BPF map: made, read and written by its descriptor, which is all that keeps it alive.

Never pins one: whatever happens to this process, nothing of it stays in the kernel.
Sizes come from `layout`; how batches and values per processor are read: bpf(2) and kernel/bpf/syscall.c.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

from netpolicy.flows.ebpf import bpf_call
from netpolicy.flows.ebpf.bpf_call import BpfError

ARRAY, PER_CPU_ARRAY, LRU_HASH, RINGBUF = 2, 6, 9, 27

POSSIBLE = "/sys/devices/system/cpu/possible"
MOST_PROCESSORS = 4096
BATCH = 256  # entries; a bucket that is longer asks for more
LARGEST_BATCH = 1 << 16


class Map:
    """One map. Not for several threads at once. Raises BpfError."""

    def __init__(self, name: str, kind: int, key: int, value: int, entries: int, flags: int = 0) -> None:
        self.name = name
        self.kind = kind
        self.entries = entries
        self._key = key
        self._value = value
        attr = bpf_call.ATTR_MAP.pack(kind, key, value, entries, flags, 0, 0, name.encode("ascii")[:15])
        self.descriptor = bpf_call.call(f"make the map {name}", bpf_call.MAP_CREATE, bytearray(attr))

    def close(self) -> None:
        """Give the map up; it is gone when no program uses it any more. May be repeated."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def lookup(self, key: bytes) -> bytes | None:
        """The value, None where there is none. Of a map with values per processor: all of them, one after the other."""
        value, wanted = bytearray(self._size()), bytearray(key)
        attr = self._element(wanted, value)
        result = bpf_call.attempt(bpf_call.LOOKUP, attr)
        if result < 0 and -result != errno.ENOENT:
            raise BpfError(f"read the map {self.name}", -result)
        return bytes(value) if result >= 0 else None

    def update(self, key: bytes, value: bytes) -> None:
        """Write a value, whatever was there."""
        given, wanted = bytearray(value), bytearray(key)
        bpf_call.call(f"write the map {self.name}", bpf_call.UPDATE, self._element(wanted, given))

    def delete(self, key: bytes) -> bool:
        """Take an entry away; False where there was none."""
        wanted = bytearray(key)
        self._check(wanted)
        attr = bpf_call.ATTR_DELETE.pack(self.descriptor, bpf_call.address(wanted))
        result = bpf_call.attempt(bpf_call.DELETE, bytearray(attr))
        if result < 0 and -result != errno.ENOENT:
            raise BpfError(f"take from the map {self.name}", -result)
        return result >= 0

    def summed(self, form: struct.Struct) -> list[int]:
        """The only value of a map with values per processor: each of its numbers, added up."""
        found = self.lookup(bytes(self._key)) or b""
        size = padded(self._value)
        rows = [form.unpack_from(found, at) for at in range(0, len(found) - form.size + 1, size)]
        return [sum(column) for column in zip(*rows, strict=True)]

    def batches(self) -> Iterator[list[tuple[memoryview, memoryview]]]:
        """Keys and values of the whole map, some hundred at a time; valid until the next step, changing meanwhile.

        Entries that come and go during the walk may be missed, none is told twice.
        """
        size, place, first = BATCH, bytearray(8), True
        while True:
            keys, values = bytearray(size * self._key), bytearray(size * self._value)
            following = bytearray(8)
            result, count = self._batch(None if first else place, following, keys, values, size)
            if -result == errno.ENOSPC and size < LARGEST_BATCH:
                size *= 2
                continue
            if result < 0 and -result != errno.ENOENT:
                raise BpfError(f"read all of the map {self.name}", -result)
            yield self._pairs(memoryview(keys), memoryview(values), count)
            if result < 0:
                return
            place, first = following, False

    def _pairs(self, keys: memoryview, values: memoryview, count: int) -> list[tuple[memoryview, memoryview]]:
        key, value = self._key, self._value
        return [(keys[at * key : at * key + key], values[at * value : at * value + value]) for at in range(count)]

    def _batch(
        self, place: bytearray | None, following: bytearray, keys: bytearray, values: bytearray, size: int
    ) -> tuple[int, int]:
        attr = bytearray(
            bpf_call.ATTR_BATCH.pack(
                bpf_call.address(place) if place is not None else 0, bpf_call.address(following),
                bpf_call.address(keys), bpf_call.address(values), size, self.descriptor, 0, 0,
            )
        )  # fmt: skip
        result = bpf_call.attempt(bpf_call.LOOKUP_BATCH, attr)
        count = int(struct.unpack_from("=I", attr, bpf_call.COUNT_OFFSET)[0])
        return result, min(count, size) if result >= 0 or -result == errno.ENOENT else 0

    def _size(self) -> int:
        """What the kernel reads and writes as one value."""
        return padded(self._value) * processors() if self.kind == PER_CPU_ARRAY else self._value

    def _element(self, key: bytearray, value: bytearray) -> bytearray:
        self._check(key)
        if len(value) != self._size():
            raise ValueError(f"a value of map {self.name} has {self._size()} bytes, not {len(value)}")
        return bytearray(bpf_call.ATTR_ELEMENT.pack(self.descriptor, bpf_call.address(key), bpf_call.address(value), 0))

    def _check(self, key: bytearray) -> None:
        if len(key) != self._key:
            raise ValueError(f"a key of map {self.name} has {self._key} bytes, not {len(key)}")


def padded(size: int) -> int:
    """What a value takes in an answer with one per processor."""
    return (size + 7) & ~7


def processors() -> int:
    """How many values per processor the kernel answers with: of every processor that could ever be there.

    The kernel writes as many into our memory as it has, so there is no guess where it does not say.
    """
    try:
        with open(POSSIBLE, encoding="ascii") as text:
            return count_processors(text.read(1000))
    except (OSError, ValueError):
        raise BpfError(f"count the processors in {POSSIBLE}", errno.ENOENT) from None


def count_processors(text: str) -> int:
    """ "0-3" are four. ValueError where it is not such a list."""
    last = 0
    for part in text.strip().split(","):
        low, dash, high = part.partition("-")
        last = max(last, int(low), int(high) if dash else 0)
    if not 0 <= last < MOST_PROCESSORS:
        raise ValueError(text)
    return last + 1
