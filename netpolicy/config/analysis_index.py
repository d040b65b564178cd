"""Find among thousands of sides those that hold a number, or among sets of names those that may hold one.

What comes back is a short list of candidates, never a decision. Values in, positions out; no
knowledge of rules.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import merge

from netpolicy.config.analysis_name import ENDS, ONLY, Atom, NameSet, ends_of
from netpolicy.config.analysis_side import Side

MANY_RANGES = 64  # a side with more is always a candidate: the tree would hold every one of its ranges


class SideIndex:
    """Sides by the numbers they hold: a segment tree over their borders. Positions are those in `sides`."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self._always = [at for at, side in enumerate(sides) if len(side) > MANY_RANGES]
        kept = [(at, side) for at, side in enumerate(sides) if len(side) <= MANY_RANGES]
        self._borders = sorted({border for _, side in kept for low, high in side for border in (low, high + 1)})
        self._number = {border: at for at, border in enumerate(self._borders)}
        self._size = max(1, len(self._borders))
        self._nodes: dict[int, list[int]] = {}
        for at, side in kept:
            for low, high in side:
                self._insert(at, self._number[low], self._number[high + 1])

    def _insert(self, at: int, first: int, last: int) -> None:
        left, right = first + self._size, last + self._size
        while left < right:
            if left & 1:
                self._nodes.setdefault(left, []).append(at)
                left += 1
            if right & 1:
                right -= 1
                self._nodes.setdefault(right, []).append(at)
            left, right = left >> 1, right >> 1

    def holding(self, number: int) -> list[list[int]]:
        """Lists of ascending positions; all sides that hold the number are among them."""
        found = [self._always] if self._always else []
        node = bisect_right(self._borders, number) - 1
        if node < 0:
            return found
        node += self._size
        while node:
            if node in self._nodes:
                found.append(self._nodes[node])
            node >>= 1
        return found


class NameIndex:
    """Sets of names by the ends of their patterns."""

    def __init__(self, sets: Sequence[NameSet]) -> None:
        self._by_text: dict[Atom, list[int]] = {}
        self._others: list[int] = []
        for at, one in enumerate(sets):
            if len(one.wanted) > MANY_RANGES or not all(map(_is_plain, one.wanted)):
                self._others.append(at)
                continue
            for atom in one.wanted:
                self._by_text.setdefault(atom, []).append(at)

    def holding(self, atom: Atom) -> list[list[int]]:
        """Lists of ascending positions; all sets that contain the atom are among them."""
        kind, text = atom
        keys = [atom]
        if kind in (ONLY, ENDS):
            keys += [(ENDS, end) for end in ends_of(text) if (ENDS, end) != atom]
        found = [self._by_text[key] for key in keys if key in self._by_text]
        return [*found, self._others] if self._others else found


def _is_plain(atom: Atom) -> bool:
    return atom[0] == ONLY or (atom[0] == ENDS and atom[1].startswith("."))


def ascending(lists: list[list[int]], below: int) -> Iterator[int]:
    """The positions under `below`, in their order."""
    for at in lists[0] if len(lists) == 1 else merge(*lists):
        if at >= below:
            return
        yield at
