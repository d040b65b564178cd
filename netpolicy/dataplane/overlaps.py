"""Which of many boxes have a point in common, asked with a bit for each box: where each meets hundreds of others.

Never says which box is the better one (arrange.py does). One question costs a few operations on long numbers,
however many answers it has. Values in, values out. Runs on MicroPython.
"""

from netpolicy.core.bisection import bisect_left

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Sequence

    Interval = tuple[int, int, int]  # low, high, label
    Box = tuple[tuple[int, int], ...]
    Bucket = tuple[Box, list[Interval]]  # all parts but one, and the intervals of that one: a box for each

# A row is kept ready at so many places; between two of them bits are set one by one. For a hundred thousand
# boxes the rows of four parts take 13 MB while they are arranged, for ten thousand 1.3 MB.
ROWS = 128


class Overlaps:
    """The boxes of all buckets, numbered in their order."""

    __slots__ = ("_begins", "_buckets", "_ends", "_first")

    def __init__(self, buckets: "Sequence[Bucket]") -> None:
        self._buckets = buckets
        self._first = [0]
        for _, intervals in buckets:
            self._first.append(self._first[-1] + len(intervals))
        self._begins = self._rows(0)
        self._ends = self._rows(1)

    def _rows(self, side: int) -> "list[_Below]":
        """Of each part, and of the intervals at last."""
        parts = range(len(self._buckets[0][0]))
        found = [_Below([others[part][side] for others, inside in self._buckets for _ in inside]) for part in parts]
        found.append(_Below([interval[side] for _, inside in self._buckets for interval in inside]))
        return found

    def own(self, index: int) -> int:
        """The bits of a bucket's boxes."""
        return ((1 << self._first[index + 1] - self._first[index]) - 1) << self._first[index]

    def of(self, index: int) -> int:
        """The bits of all boxes that have a point in common with one of this bucket, its own among them."""
        others, intervals = self._buckets[index]
        found = 0
        for low, high, _ in intervals:
            found |= self._meeting(-1, low, high)
        for part, (low, high) in enumerate(others):
            found &= self._meeting(part, low, high)
        return found

    def _meeting(self, part: int, low: int, high: int) -> int:
        """Those that neither begin behind `high` nor end before `low`."""
        return self._begins[part].below(high + 1) & ~self._ends[part].below(low)


class _Below:
    """Which of some numbers are smaller than another one."""

    __slots__ = ("_numbers", "_order", "_rows", "_size", "_step")

    def __init__(self, numbers: "list[int]") -> None:
        self._order = sorted(range(len(numbers)), key=lambda place: numbers[place])
        self._numbers = [numbers[place] for place in self._order]
        self._size = (len(numbers) + 7) // 8
        self._step = len(numbers) // ROWS + 1
        self._rows = [0]
        for start in range(0, len(numbers), self._step):
            self._rows.append(self._rows[-1] | self._bits(self._order[start : start + self._step]))

    def below(self, number: int) -> int:
        """Their bits."""
        count = bisect_left(self._numbers, number)
        row = count // self._step
        rest = self._order[row * self._step : count]
        return self._rows[row] | self._bits(rest) if rest else self._rows[row]

    def _bits(self, places: "list[int]") -> int:
        found = bytearray(self._size)
        for place in places:
            found[place >> 3] |= 1 << (place & 7)
        return int.from_bytes(found, "little")
