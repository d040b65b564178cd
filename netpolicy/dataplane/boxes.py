"""Boxes of many rules and their labels as two rows of bytes: as objects they would be megabytes while a map is made.

Never changed once made, and never interprets a number: an address, a port, a MAC address. Built from
shapes; equal rows have equal digests. Runs on MicroPython.
"""

import hashlib
import struct

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Box = tuple[tuple[int, int], ...]

# Bytes of a number: of IPv4 addresses, ports and protocols; of what may be IPv6 or a MAC address.
SHORT, LONG = 4, 16

LABEL_BYTES = 4


def packed(boxes: "Iterable[Box]", size: int) -> bytes:
    """The numbers of all boxes one after the other, of so many bytes each."""
    numbers = [number for box in boxes for pair in box for number in pair]
    if size == SHORT:
        return struct.pack(f"<{len(numbers)}I", *numbers)
    return b"".join([number.to_bytes(size, "big") for number in numbers])


def unpacked(held: bytes, size: int) -> "Box":
    """The pairs of numbers in these bytes."""
    if size == SHORT:
        numbers = struct.unpack(f"<{len(held) // size}I", held)
    else:
        numbers = tuple([int.from_bytes(held[at : at + size], "big") for at in range(0, len(held), size)])
    return tuple([(numbers[at], numbers[at + 1]) for at in range(0, len(numbers), 2)])


class Boxes:
    """Reads like a tuple of (box, label); `parts` pairs are in each box, numbers of `size` bytes."""

    __slots__ = ("_held", "_labels", "_width", "parts", "size")

    def __init__(self, parts: int, size: int, held: bytes, labels: bytes) -> None:
        self.parts = parts
        self.size = size
        self._width = 2 * size * parts
        self._held = held
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels) // LABEL_BYTES

    def __getitem__(self, place: int) -> "tuple[Box, int]":
        at = place * self._width
        return unpacked(self._held[at : at + self._width], self.size), self.label(place)

    def __iter__(self) -> "Iterator[tuple[Box, int]]":
        for place in range(len(self)):
            yield self[place]

    def label(self, place: int) -> int:
        """The label of one box."""
        at = place * LABEL_BYTES
        return int.from_bytes(self._labels[at : at + LABEL_BYTES], "big")

    def various(self, part: int) -> int:
        """How many different ranges the boxes have in that part."""
        first, length = 2 * self.size * part, 2 * self.size
        return len({self._held[at : at + length] for at in range(first, len(self._held), self._width)})

    def lows(self, part: int) -> "list[int]":
        """Where each box begins in that part."""
        return self._numbers(2 * self.size * part)

    def highs(self, part: int) -> "list[int]":
        """Where each box ends in that part."""
        return self._numbers(2 * self.size * part + self.size)

    def _numbers(self, first: int) -> "list[int]":
        held, size, starts = self._held, self.size, range(first, len(self._held), self._width)
        if size == SHORT:
            return [struct.unpack_from("<I", held, at)[0] for at in starts]
        return [int.from_bytes(held[at : at + size], "big") for at in starts]

    def chosen(self, places: "Iterable[int]") -> "Boxes":
        """The boxes at these places, in this order."""
        width, held, labels = self._width, self._held, self._labels
        places = list(places)
        return Boxes(
            self.parts,
            self.size,
            b"".join([held[place * width : (place + 1) * width] for place in places]),
            b"".join([labels[place * LABEL_BYTES : (place + 1) * LABEL_BYTES] for place in places]),
        )

    def digest(self) -> bytes:
        """The same for the same boxes with the same labels in the same order, of one kind: it takes their place."""
        found = hashlib.sha256(self._labels)
        found.update(self._held)
        return found.digest()


class Gathering:
    """Boxes of one kind, while they come one shape after the other."""

    __slots__ = ("_held", "_labels", "_parts", "_size")

    def __init__(self, parts: int, size: int) -> None:
        self._parts = parts
        self._size = size
        self._held = bytearray()
        self._labels = bytearray()

    def add(self, held: bytes, count: int, label: int) -> None:
        """So many boxes of one label, packed."""
        self._held += held
        self._labels += label.to_bytes(LABEL_BYTES, "big") * count

    def boxes(self) -> Boxes:
        """All of them."""
        return Boxes(self._parts, self._size, bytes(self._held), bytes(self._labels))
