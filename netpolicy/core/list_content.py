"""What the entries of a list mean, merged while they are read: ranges of addresses, and names.

A range inside another one and a name under another name are not kept, and no text of an address is.
Takes entries one by one; never reads a file, and never decides how many are too many (`list_budget`).
"""

from netpolicy.core.address import BITS, DECIMAL, V4, V6, format_range
from netpolicy.core.domain import EXACT, KEYWORD, LABEL_CHARACTERS, MAX_LABEL, REGEX, SUFFIX, UNDER, DomainSet
from netpolicy.core.list_budget import INDEXED_NAME_BYTES, INDEXED_RANGE_BYTES, KERNEL_BYTES, MAX_INDEXED, RANGE_BYTES
from netpolicy.core.list_entry import parse_entry
from netpolicy.core.name_table import NameTable
from netpolicy.core.range_table import compact
from netpolicy.core.ranges import united

try:
    from array import array
except ImportError:  # some builds of MicroPython
    array = None  # type: ignore[assignment,misc]

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterator

    from netpolicy.core.domain import DomainPattern
    from netpolicy.core.list_budget import Budget
    from netpolicy.core.ranges import Ranges

NAME_CHARACTERS = LABEL_CHARACTERS + "."
DIGITS = "0123456789"

# The part of an IPv4 address behind a prefix length as it is written.
HOSTS = {str(length): (1 << (32 - length)) - 1 for length in range(33)}

# Ranges are sorted in parts of so many, so that no sort takes long.
PART = 4096


class ListContent:
    """The meaning of entries: merged `ranges` by family, and `names`. `memory` and `kernel`: bytes, about."""

    __slots__ = ("kernel", "memory", "names", "ranges")

    def __init__(self, ranges: "dict[int, Ranges]", names: DomainSet) -> None:
        self.ranges = ranges
        self.names = names
        self.kernel = 0
        self.memory = 0
        for family in (V4, V6):
            count = len(ranges[family])
            self.kernel += count * KERNEL_BYTES[family]
            self.memory += count * (RANGE_BYTES[family] if count > MAX_INDEXED else INDEXED_RANGE_BYTES)
        count = self.count_names()
        for names_of in (names.suffix, names.exact, names.under):
            if count <= MAX_INDEXED:
                self.memory += len(names_of) * INDEXED_NAME_BYTES
            elif isinstance(names_of, NameTable):
                self.memory += names_of.memory

    def count_addresses(self) -> int:
        """How many ranges, of both families."""
        return len(self.ranges[V4]) + len(self.ranges[V6])

    def count_names(self) -> int:
        """How many names, those apart that are found by a part of them."""
        return len(self.names.suffix) + len(self.names.exact) + len(self.names.under)

    def excess(self, budget: "Budget") -> str:
        """What there is too much of, or ""."""
        return _excess(self.count_addresses(), self.count_names(), len(self.names.others), budget)


class Gathering:
    """Entries on their way into a list. Memory grows with what is left of them after merging."""

    __slots__ = ("_exact", "_others", "_ranges", "_suffix", "_under")

    def __init__(self) -> None:
        self._ranges = {V4: _Merging(V4), V6: _Merging(V6)}
        self._suffix = NameTable()
        self._exact = NameTable()
        self._under = NameTable()
        self._others: dict[str, DomainPattern] = {}

    def take_plain(self, text: str) -> bool:
        """Take an entry that is written as most are: an IPv4 address or network, or a name; False for any other.

        What it takes `take` would take as the same. `text` has no space around it, and is not empty.
        """
        if text[0] in DIGITS:
            found = _plain_v4(text)
            if found is not None:
                self._ranges[V4].add(found[0], found[1])
                return True
        name = text.lower()
        table = self._suffix
        if name[0] == "=":
            name, table = name[1:], self._exact
        elif name[:2] == "*.":
            name, table = name[2:], self._under
        if not _is_plain_name(name):
            return False
        table.add(name)
        return True

    def take(self, text: str) -> str:
        """Take any entry; its canonical text. Raises ValueProblem."""
        found = parse_entry(text)
        if isinstance(found, tuple):
            self._ranges[found[0]].add(found[1], found[2])
            return format_range(found[0], found[1], found[2])
        if found.kind in (KEYWORD, REGEX):
            self._others[found.text] = found
        else:
            {SUFFIX: self._suffix, EXACT: self._exact, UNDER: self._under}[found.kind].add(found.word)
        return found.text

    def excess(self, budget: "Budget") -> str:
        """What there is too much of, or "".

        Ask it now and then. What may still be merged counts only where it is a quarter too much, so that
        merging is not done too often; the whole is asked again after `finish` (`ListContent.excess`).
        """
        addresses = names = 0
        if 4 * self._count_ranges() > 5 * budget.addresses:
            for one in self._ranges.values():
                one.merge()
            addresses = self._count_ranges()
        if 4 * self._count_names() > 5 * budget.names:
            self._drop_covered()
            names = self._count_names()
        return _excess(addresses, names, len(self._others), budget)

    def finish(self) -> ListContent:
        """All that was taken."""
        self._drop_covered()
        names = DomainSet(tuple([self._others[text] for text in sorted(self._others)]))
        names.take_tables(self._suffix, self._exact, self._under)
        for one in self._ranges.values():
            one.merge()
        return ListContent({family: self._ranges[family].ranges for family in (V4, V6)}, names)

    def _count_ranges(self) -> int:
        return sum([one.count for one in self._ranges.values()])

    def _count_names(self) -> int:
        return len(self._suffix) + len(self._exact) + len(self._under)

    def _drop_covered(self) -> None:
        """Names that another one covers go: what is under it, and what it is itself where that is written twice.

        A name that goes has one above it that stays, so it does not matter which goes first.
        """
        names = DomainSet()
        names.take_tables(self._suffix, NameTable(), self._under)
        for table in (self._suffix, self._exact, self._under):
            if table is not self._suffix:
                table.drop(self._suffix.__contains__)
            table.drop(names.has_parent)


class _Merging:
    """Ranges of one family: merged ones, and others that wait for it as low << bits | high."""

    __slots__ = ("_bits", "_family", "_part", "_waiting", "ranges")

    def __init__(self, family: int) -> None:
        self.ranges: Ranges = ()
        self._family = family
        self._bits = BITS[family]
        self._part: list[int] = []
        self._waiting: array[int] | list[int] = array("Q") if family == V4 and array is not None else []

    @property
    def count(self) -> int:
        """How many, at most."""
        return len(self.ranges) + len(self._part) + len(self._waiting)

    def add(self, low: int, high: int) -> None:
        """Take a range."""
        self._part.append(low << self._bits | high)
        if len(self._part) >= PART:
            self._close_part()

    def merge(self) -> None:
        """Let nothing wait. O(n log n), and O(n) where the entries were in order."""
        self._close_part()
        waiting = sorted(self._waiting)  # parts in order, so that it is quickly done
        self._waiting = self._waiting[:0]
        found = _joined(waiting, self._bits)
        if self.ranges:
            found = united(self.ranges, compact(self._family, found))
        self.ranges = compact(self._family, found)

    def _close_part(self) -> None:
        self._part.sort()
        self._waiting.extend(self._part)
        self._part = []


def _joined(codes: "list[int]", bits: int) -> "Iterator[tuple[int, int]]":
    """The ranges of sorted codes, overlapping and adjacent ones as one."""
    mask = (1 << bits) - 1
    low, high = 0, -2  # nothing yet: no range begins before it ends
    for code in codes:
        first, last = code >> bits, code & mask
        if first > high + 1:
            if low <= high:
                yield low, high
            low, high = first, last
        elif last > high:
            high = last
    if low <= high:
        yield low, high


def _excess(addresses: int, names: int, patterns: int, budget: "Budget") -> str:
    for count, limit, what in (
        (addresses, budget.addresses, "addresses, networks and ranges"),
        (names, budget.names, "names"),
        (patterns, budget.patterns, "keyword: and regex: entries, of which each is tried on every name"),
    ):
        if count > limit:
            return "more than {} {}".format(limit, what)
    return ""


def _plain_v4(text: str) -> "tuple[int, int] | None":
    """First and last of a dotted quad, with or without a prefix length; None for anything else."""
    slash = text.find("/")
    parts = (text if slash < 0 else text[:slash]).split(".")
    host = 0 if slash < 0 else HOSTS.get(text[slash + 1 :])
    if host is None or len(parts) != 4:
        return None
    number = 0
    for part in parts:
        value = DECIMAL.get(part)
        if value is None:
            return None
        number = number << 8 | value
    return None if number & host else (number, number | host)


def _is_plain_name(name: str) -> bool:
    """Whether parse_domain would take it, as it is; False also where that is not seen at a glance."""
    if not 0 < len(name) <= MAX_LABEL or name.strip(NAME_CHARACTERS):
        return False
    if name[0] in "-." or name[-1] in "-." or ".." in name or ".-" in name or "-." in name:
        return False
    # What ends in a number is meant as an address, and what begins with one before a dash may be.
    return name[-1] not in DIGITS and not (name[0] in DIGITS and "-" in name)
