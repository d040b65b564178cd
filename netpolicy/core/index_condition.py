"""What a rule still asks once its key is met: predicates on facts, as exact as the fields and cheaper.

Protocol and destination port are asked in most rules, so they are plain sets that a decision
looks into without a call; every other field is a function of the facts. Never decides between rules.
"""

from netpolicy.core.bisection import bisect_right
from netpolicy.core.field_address import Addresses, Network
from netpolicy.core.field_kind import Comparator, Field, Numbers, Schedules, Words
from netpolicy.core.range_table import RangeTable

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netpolicy.core.facts import Facts
    from netpolicy.core.index_column import Entry

    Check = Callable[[Facts], bool]

# A set of numbers up to this size is written out; more stay ranges.
MAX_WRITTEN_OUT = 256


class Conditions:
    """Makes entries; what several rules ask alike is made once and shared."""

    __slots__ = ("_checks", "_sets")

    def __init__(self) -> None:
        self._sets: dict[tuple[tuple[int, int], ...], frozenset[int] | None] = {}
        self._checks: dict[tuple[str, object], Check] = {}

    def entry(self, rank: int, fields: "list[Field] | tuple[Field, ...]") -> "Entry":
        """The entry of a rule that asks these fields besides its key; nothing follows it yet."""
        protocols = ports = check = None
        for field in fields:
            numbers = self._written_out(field) if field.name in ("proto", "dest_port") else None
            if numbers is not None and field.name == "proto" and protocols is None:
                protocols = numbers
            elif numbers is not None and field.name == "dest_port" and ports is None:
                ports = numbers
            else:
                more = self._check(field)
                check = more if check is None else _both(check, more)
        return (rank, protocols, ports, check, None)

    def _written_out(self, field: Field) -> "frozenset[int] | None":
        """The numbers of a field, None where they are too many."""
        if not isinstance(field, Numbers):
            return None
        ranges = field.ranges
        numbers = self._sets.get(ranges)
        if numbers is None and ranges not in self._sets:
            few = sum([high - low + 1 for low, high in ranges]) <= MAX_WRITTEN_OUT
            numbers = frozenset([one for low, high in ranges for one in range(low, high + 1)]) if few else None
            self._sets[ranges] = numbers
        return numbers

    def _check(self, field: Field) -> "Check":
        key = (field.name, field.told)
        found = self._checks.get(key)
        if found is None:
            found = self._checks[key] = check_of(field)
        return found


def check_of(field: Field) -> "Check":
    """Whether facts satisfy the field: `field.matches` of its fact, by the cheapest way that is exact."""
    if isinstance(field, Comparator):
        return _COMPARED[field.operator](field.name, field.bound)
    if isinstance(field, Numbers):
        return _in_ranges(field.name, field.ranges)
    if isinstance(field, Network):
        return _in_network(field)
    if isinstance(field, Addresses):
        return _in_networks(field)
    if isinstance(field, Words) and not isinstance(field, Schedules):
        wanted = frozenset([word for word in field.wanted if word not in field.unwanted])
        return _in_words(field.name, wanted) if field.wanted else _not_in_words(field.name, frozenset(field.unwanted))
    return _as_the_field_says(field)


def _both(first: "Check", second: "Check") -> "Check":
    def check(facts: "Facts") -> bool:
        return first(facts) and second(facts)

    return check


def _as_the_field_says(field: Field) -> "Check":
    name, matches = field.name, field.matches

    def check(facts: "Facts") -> bool:
        return matches(getattr(facts, name))

    return check


def _in_words(name: str, wanted: "frozenset[object]") -> "Check":
    def check(facts: "Facts") -> bool:
        return getattr(facts, name) in wanted

    return check


def _not_in_words(name: str, unwanted: "frozenset[object]") -> "Check":
    def check(facts: "Facts") -> bool:
        fact = getattr(facts, name)
        return fact is not None and fact not in unwanted

    return check


def _in_ranges(name: str, ranges: "tuple[tuple[int, int], ...]") -> "Check":
    starts = [low for low, _ in ranges]
    ends = [high for _, high in ranges]

    def check(facts: "Facts") -> bool:
        fact = getattr(facts, name)
        if fact is None:
            return False
        at = bisect_right(starts, fact)
        return at > 0 and fact <= ends[at - 1]

    return check


def _in_networks(field: Addresses) -> "Check":
    name = field.name
    held = [(family, ranges) for family, ranges in field.ranges.items() if ranges]
    if len(held) == 1 and len(held[0][1]) == 1:  # a kilobyte less, and faster
        return _in_network(Network(name, held[0][0], *held[0][1][0]))
    starts: dict[int, Sequence[int]] = {}
    ends: dict[int, Sequence[int]] = {}
    for family in (4, 6):
        ranges = field.ranges[family]
        if isinstance(ranges, RangeTable):  # its two rows, shared with whoever else asks the list
            starts[family], ends[family] = ranges.starts, ranges.ends
        else:
            starts[family], ends[family] = [low for low, _ in ranges], [high for _, high in ranges]

    def check(facts: "Facts") -> bool:
        fact = getattr(facts, name)
        if fact is None:
            return False
        family, number = fact
        at = bisect_right(starts[family], number)
        return at > 0 and number <= ends[family][at - 1]

    return check


def _in_network(field: Network) -> "Check":
    """Thousands of rules have one: a method of the field takes a fifth of the memory of a function that knows it."""
    return field.has_source if field.name == "src_addr" else field.has_destination


def _above(name: str, bound: float) -> "Check":
    def check(facts: "Facts") -> bool:
        fact = getattr(facts, name)
        return fact is not None and fact > bound

    return check


def _below(name: str, bound: float) -> "Check":
    def check(facts: "Facts") -> bool:
        fact = getattr(facts, name)
        return fact is not None and fact < bound

    return check


def _from(name: str, bound: float) -> "Check":
    def check(facts: "Facts") -> bool:
        fact = getattr(facts, name)
        return fact is not None and fact >= bound

    return check


def _up_to(name: str, bound: float) -> "Check":
    def check(facts: "Facts") -> bool:
        fact = getattr(facts, name)
        return fact is not None and fact <= bound

    return check


def _equal(name: str, bound: float) -> "Check":
    def check(facts: "Facts") -> bool:
        return bool(getattr(facts, name) == bound)

    return check


_COMPARED = {">": _above, "<": _below, ">=": _from, "<=": _up_to, "==": _equal}
