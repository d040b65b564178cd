"""The kind of match field whose values are addresses: one network, or any number of ranges and lists.

Most rules have one network: that takes a few words of memory, the rest is made when it is asked.
Never reads a clock or the network; lists come read. The meaning is that of docs/rules.md.
"""

from netpolicy.core.address import BITS, V4, V6, format_range, parse_range
from netpolicy.core.field_kind import Field, signed
from netpolicy.core.named_list import NO_LISTS, Lists
from netpolicy.core.packet import split_sign
from netpolicy.core.range_table import compact
from netpolicy.core.ranges import contains, merge, remaining, united

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.facts import Facts
    from netpolicy.core.named_list import NamedList
    from netpolicy.core.ranges import Ranges

EVERY_ADDRESS = {family: ((0, (1 << BITS[family]) - 1),) for family in (V4, V6)}


class ByFamily:
    """The disjoint ranges of both families, read as `found[4]` and `found[6]`: a fifth of the memory of a dict."""

    __slots__ = ("_four", "_six")

    def __init__(self, four: "Ranges", six: "Ranges") -> None:
        self._four = four
        self._six = six

    def __getitem__(self, family: int) -> "Ranges":
        return self._four if family == V4 else self._six

    def values(self) -> "tuple[Ranges, Ranges]":
        """Those of IPv4, those of IPv6."""
        return self._four, self._six

    def items(self) -> "tuple[tuple[int, Ranges], ...]":
        """The same with their families."""
        return (V4, self._four), (V6, self._six)


class Addresses(Field):
    """Addresses of both families: `ranges` has disjoint ranges for 4 and for 6."""

    __slots__ = ()

    if TYPE_CHECKING:
        ranges: ByFamily

    def matches(self, fact: object) -> bool:
        return isinstance(fact, tuple) and contains(self.ranges[fact[0]], fact[1])


class Network(Addresses):
    """One range of one family, which is what nearly every rule asks: text and ranges are made when they are wanted.

    Keeping them would take four times the memory.
    """

    __slots__ = ("beyond", "family", "low")

    def __init__(self, name: str, family: int, low: int, high: int) -> None:
        super().__init__(name)
        self.family = family
        self.low = low
        self.beyond = high - low  # of most networks a small number, which takes no memory of its own

    def has_source(self, facts: "Facts") -> bool:
        """Whether the source address lies in it. The path of decisions: no call, no number made for nothing."""
        fact = facts.src_addr
        if fact is None:
            return False
        low = self.low
        return low <= fact[1] <= low + self.beyond and fact[0] == self.family

    def has_destination(self, facts: "Facts") -> bool:
        """Whether the destination address lies in it."""
        fact = facts.dest_addr
        if fact is None:
            return False
        low = self.low
        return low <= fact[1] <= low + self.beyond and fact[0] == self.family

    @property
    def high(self) -> int:
        """The last address."""
        return self.low + self.beyond

    @property
    def values(self) -> tuple[str, ...]:  # type: ignore[override]
        """The canonical text."""
        return (format_range(self.family, self.low, self.low + self.beyond),)

    @property
    def ranges(self) -> ByFamily:  # type: ignore[override]
        """The one range, by its family."""
        held = ((self.low, self.low + self.beyond),)
        return ByFamily(held, ()) if self.family == V4 else ByFamily((), held)

    @property
    def told(self) -> int:
        """A number, at least 0."""
        if self.family == V4:
            return (self.beyond << 32 | self.low) << 1
        return (self.beyond << 128 | self.low) << 1 | 1


class Networks(Addresses):
    """Any number of ranges, written out or in lists. Those of a long list are kept once, however many name it."""

    __slots__ = ("ranges", "values")

    def __init__(self, name: str, values: tuple[str, ...], lists: Lists = NO_LISTS) -> None:
        wanted = _Chosen()
        unwanted = _Chosen()
        canonical = []
        everything = True
        for value in values:
            negated, text = split_sign(value)
            canonical.append(signed(negated, (unwanted if negated else wanted).take(text, lists)))
            everything = everything and negated
        super().__init__(name)
        self.values = tuple(canonical)
        found = []
        for family in (V4, V6):
            start: Ranges = EVERY_ADDRESS[family] if everything else wanted.ranges(family)
            holes = unwanted.ranges(family)
            found.append(compact(family, remaining(start, holes)) if holes else start)
        self.ranges = ByFamily(found[0], found[1])


def read_addresses(name: str, values: tuple[str, ...], lists: Lists) -> Addresses:
    """The field of these values, as small as can be. Raises ValueProblem."""
    negated, text = split_sign(values[0])
    if len(values) > 1 or negated or text.startswith("@"):
        return Networks(name, values, lists)
    family, low, high = parse_range(text)
    return Network(name, family, low, high)


class _Chosen:
    """The addresses of some values: ranges as they are written, and whole lists."""

    __slots__ = ("_lists", "_own")

    def __init__(self) -> None:
        self._own: dict[int, list[tuple[int, int]]] = {V4: [], V6: []}
        self._lists: list[NamedList] = []

    def take(self, text: str, lists: Lists) -> str:
        """Take a value; its canonical text. Raises ValueProblem."""
        if text.startswith("@"):
            named = lists.get(text[1:].strip(), "addresses")
            self._lists.append(named)
            return "@" + named.name
        family, low, high = parse_range(text)
        self._own[family].append((low, high))
        return format_range(family, low, high)

    def ranges(self, family: int) -> "Ranges":
        """All of them, merged."""
        found: Ranges = merge(self._own[family])
        for named in self._lists:
            more = named.ranges[family]
            found = compact(family, united(found, more)) if found and more else found or more
        return found
