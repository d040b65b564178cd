"""The elements of large sets as columns of numbers: what a tuple per element would say in a twentieth of the memory.

Reads like a tuple of elements: length, index, iteration, equality; an element is made when it is
asked for. Never changed once it is made. Built by groups.py and table.py. Runs on MicroPython.
"""

from netpolicy.dataplane.labels import NONE

try:
    from array import array
except ImportError:  # some builds of MicroPython
    array = None  # type: ignore[assignment,misc]

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netpolicy.dataplane.sets import Element
    from netpolicy.dataplane.shape import Box

    Elements = Sequence[Element]
else:
    Elements = object

WORD = 0xFFFFFFFF


def column(numbers: "Sequence[int]") -> "Sequence[int]":
    """The numbers in as little as they need; those of IPv6 stay the objects that they are."""
    if array is None or not numbers or max(numbers) > WORD:
        return tuple(numbers)
    return array("I", numbers)  # 32 bits on every machine that we know


class Rows(Elements):
    """What both kinds have in common."""

    __slots__ = ("labels",)

    def __init__(self, labels: "Sequence[int]") -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def __iter__(self) -> "Iterator[Element]":
        for place in range(len(self.labels)):
            yield self[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Rows, tuple)) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(len(self.labels))


class BoxRows(Rows):
    """Of a map from boxes to better labels: sorted, and each with the labels that it is better than.

    `first`: of a map that is asked before any label is known, so without them.
    """

    __slots__ = ("_highs", "_lows", "first")

    def __init__(self, found: "Sequence[tuple[Box, int]]", first: bool = False) -> None:
        super().__init__(column([label for _, label in found]))
        self.first = first
        parts = range(len(found[0][0]) if found else 0)
        self._lows = [column([box[part][0] for box, _ in found]) for part in parts]
        self._highs = [column([box[part][1] for box, _ in found]) for part in parts]

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        label = self.labels[place]
        key = [(low[place], high[place]) for low, high in zip(self._lows, self._highs)]  # noqa: B905 - MicroPython
        if not self.first:
            key.append((label + 1, NONE))
        return tuple(key), label, ""


class LabelRows(Rows):
    """Of a set whose keys are labels: each with a comment, or with the chain that it leads to."""

    __slots__ = ("has_values", "words")

    def __init__(self, labels: "Sequence[int]", words: "tuple[str, ...]", has_values: bool) -> None:
        super().__init__(labels)
        self.words = words
        self.has_values = has_values

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        label, word = self.labels[place], self.words[place]
        key = ((label, label),)
        return (key, word, "") if self.has_values else (key, None, word)

    def replaced(self, before: "LabelRows") -> "list[int] | None":
        """The places whose word differs, where the labels are the same ones; None where they are not."""
        if self.has_values != before.has_values or self.labels != before.labels:
            return None
        if self.words is before.words:
            return []
        return [place for place, word in enumerate(self.words) if word != before.words[place]]
