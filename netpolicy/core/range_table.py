"""Many ranges of addresses, as merged ranges are, in a sixteenth of the memory of a tuple of tuples.

Reads like such a tuple: length, index, iteration, equality. Never changed once it is made. Of each
range only its two ends are kept: 8 bytes for IPv4, 32 for IPv6.
"""

from netpolicy.core.address import V4

try:
    from array import array
except ImportError:  # some builds of MicroPython
    array = None  # type: ignore[assignment,misc]

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Numbers = Sequence[int]
    Pairs = Sequence[tuple[int, int]]
else:
    Numbers = Pairs = object

# So many ranges stay a tuple of tuples.
FEW = 256

V6_BYTES = 16


class WideNumbers(Numbers):
    """A row of IPv6 addresses, as plain bytes."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data) // V6_BYTES

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        if at < 0 or at >= len(self):
            raise IndexError("no such number")
        return int.from_bytes(self._data[at * V6_BYTES : (at + 1) * V6_BYTES], "big")

    def __iter__(self) -> "Iterator[int]":
        for at in range(0, len(self._data), V6_BYTES):
            yield int.from_bytes(self._data[at : at + V6_BYTES], "big")


class RangeTable(Pairs):
    """Merged ranges of one family. `starts` and `ends` are for a bisection; `widest`: the largest
    difference of two ends."""

    __slots__ = ("ends", "family", "starts", "widest")

    def __init__(self, family: int, pairs: "Iterable[tuple[int, int]]") -> None:
        self.family = family
        self.widest = 0
        starts, ends = _empty(family), _empty(family)
        for low, high in pairs:
            starts.append(low)
            ends.append(high)
            if high - low > self.widest:
                self.widest = high - low
        self.starts: Sequence[int] = _finished(starts)
        self.ends: Sequence[int] = _finished(ends)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> "Iterator[tuple[int, int]]":
        return zip(self.starts, self.ends)  # noqa: B905 - MicroPython's zip has no strict; they are as long

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        return self.starts[at], self.ends[at]

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, (tuple, RangeTable)) or len(other) != len(self):
            return False
        return all([mine == theirs for mine, theirs in zip(self, other)])  # noqa: B905

    def __hash__(self) -> int:
        return hash((len(self), self.starts[0] if len(self) else 0))

    def __repr__(self) -> str:
        return "RangeTable of {} ranges".format(len(self))


class _Wide:
    """Collects IPv6 addresses."""

    def __init__(self) -> None:
        self.data = bytearray()

    def append(self, number: int) -> None:
        self.data.extend(number.to_bytes(V6_BYTES, "big"))


def _empty(family: int):  # type: ignore[no-untyped-def]
    if family != V4:
        return _Wide()
    return [] if array is None else array("I")


def _finished(numbers: "_Wide | array[int] | list[int]") -> "Sequence[int]":
    return WideNumbers(bytes(numbers.data)) if isinstance(numbers, _Wide) else numbers


def compact(family: int, pairs: "Iterable[tuple[int, int]]") -> "Sequence[tuple[int, int]]":
    """The merged ranges as a tuple where they are few, else as a table; they are never all held as tuples."""
    if isinstance(pairs, RangeTable):
        return pairs
    rest = iter(pairs)
    few: list[tuple[int, int]] = []
    for pair in rest:
        few.append(pair)
        if len(few) > FEW:
            return RangeTable(family, _behind(few, rest))
    return tuple(few)


def _behind(first: "list[tuple[int, int]]", rest: "Iterator[tuple[int, int]]") -> "Iterator[tuple[int, int]]":
    for pair in first:
        yield pair
    for pair in rest:
        yield pair
