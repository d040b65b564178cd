"""The values that a match field admits, as sorted ranges of whole numbers: exact, and easy to compare.

A box of such sides, one per field, is what a rule matches. Never decides which rule wins; knows
no names (analysis_name.py). The fields and their meaning are core's; -1 is "not known".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from netpolicy.core.address import BITS, V4, V6
from netpolicy.core.calendar import DAYS, MIDNIGHT, Schedule
from netpolicy.core.evaluate import UNSTEERED
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import COMPARATOR_LIMIT, SHARES, Comparator, Field, Numbers, Words
from netpolicy.core.ranges import merge, subtract
from netpolicy.core.share import MILLION

Side = tuple[tuple[int, int], ...]

UNKNOWN = -1

# Every address of both families on one line: IPv4 first.
OFFSET = {V4: 0, V6: 1 << BITS[V4]}
EVERY = {family: ((OFFSET[family], OFFSET[family] + (1 << BITS[family]) - 1),) for family in (V4, V6)}
NEVER_STEERED: Side = merge(
    [(OFFSET[family] + low, OFFSET[family] + high) for family in (V4, V6) for low, high, _ in UNSTEERED[family]]
)

LIMITS = {"src_port": 65535, "dest_port": 65535, "proto": 255, "dscp": 63}
WEEK = len(DAYS) * MIDNIGHT
WORD_LIMIT = 1 << 30  # words get numbers as they are met; the last one is "any other word"

# A measured number lies between two bounds, or is one: the bound b is 2b, what is above it 2b + 1.
MEASURED_LIMITS = {"latency_ms": 2 * COMPARATOR_LIMIT + 1, "rtt_ms": 2 * COMPARATOR_LIMIT + 1}

LIMITS_OF = {
    **LIMITS,
    **MEASURED_LIMITS,
    **dict.fromkeys(SHARES, 2 * MILLION),
    "src_addr": EVERY[V6][0][1],
    "dest_addr": EVERY[V6][0][1],
    "src_mac": WORD_LIMIT,
    "src_iface": WORD_LIMIT,
    "family": V6,
    "schedule": WEEK - 1,
}


class Sides:
    """Turns fields into sides, equal ones once. `schedules`: what the names in a schedule field stand for."""

    def __init__(self, schedules: tuple[Schedule, ...] = ()) -> None:
        self._minutes = {one.name: minutes_of(one) for one in reversed(schedules)}
        self._words: dict[object, int] = {}
        self._made: dict[int, tuple[Field, Side | None]] = {}

    def __call__(self, field: Field) -> Side | None:
        """The side, without "not known"; None where the field is no set of numbers (names)."""
        found = self._made.get(id(field))
        if found is None:  # the field is kept, so that its id stays its own
            found = self._made[id(field)] = (field, self._side(field))
        return found[1]

    def number(self, word: object) -> int:
        """The number of a device's or a sender's name."""
        return self._words.setdefault(word, len(self._words))

    def _side(self, field: Field) -> Side | None:
        if isinstance(field, Numbers):
            return field.ranges
        if isinstance(field, Addresses):
            pairs = [(OFFSET[f] + low, OFFSET[f] + high) for f in (V4, V6) for low, high in field.ranges[f]]
            return merge(pairs)
        if isinstance(field, Comparator):
            return measured(field)
        if field.name == "schedule" and isinstance(field, Words):
            return self._of_schedules(field)
        if isinstance(field, Words):
            return self._of_words(field)
        return None

    def _of_words(self, field: Words) -> Side:
        to_number: Callable[[object], int] = int if field.name == "family" else self.number  # type: ignore[assignment]
        everything: Side = ((V4, V4), (V6, V6)) if field.name == "family" else ((0, WORD_LIMIT),)
        wanted = points([to_number(word) for word in field.wanted]) if field.wanted else everything
        return subtract(wanted, points([to_number(word) for word in field.unwanted]))

    def _of_schedules(self, field: Words) -> Side | None:
        if any(name not in self._minutes for name in field.wanted + field.unwanted):
            return None
        wanted = [pair for name in field.wanted for pair in self._minutes[str(name)]]
        unwanted = [pair for name in field.unwanted for pair in self._minutes[str(name)]]
        return subtract(merge(wanted) if field.wanted else ((0, WEEK - 1),), merge(unwanted))


def points(numbers: list[int]) -> Side:
    """The set of these numbers."""
    return merge([(number, number) for number in numbers])


def everything(name: str) -> Side:
    """The side of a rule without that field: every value, and "not known"."""
    if name == "family":
        return ((UNKNOWN, UNKNOWN), (V4, V4), (V6, V6))
    return ((UNKNOWN, LIMITS_OF[name]),)


def minutes_of(schedule: Schedule) -> Side:
    """The minutes of the week (Monday 00:00 is 0) in which it is active."""
    pairs = []
    for day in schedule.days:
        start = day * MIDNIGHT
        if schedule.start < schedule.stop:
            pairs.append((start + schedule.start, start + schedule.stop - 1))
            continue
        pairs.append((start + schedule.start, start + MIDNIGHT - 1))
        if schedule.stop:
            tomorrow = (day + 1) % len(DAYS) * MIDNIGHT
            pairs.append((tomorrow, tomorrow + schedule.stop - 1))
    return merge(pairs)


def measured(field: Comparator) -> Side:
    """The numbers that satisfy a comparator, between 0 and the most that can be measured."""
    bound = round(field.bound * MILLION) if field.name in SHARES else int(field.bound)
    most = LIMITS_OF[field.name]
    low, high = {
        ">": (2 * bound + 1, most),
        ">=": (2 * bound, most),
        "<": (0, 2 * bound - 1),
        "<=": (0, 2 * bound),
        "==": (2 * bound, 2 * bound),
    }[field.operator]
    return ((low, high),) if low <= high else ()


def within(inner: Side, outer: Side) -> bool:
    """Whether every number of `inner` is in `outer` (both merged). O(inner x log outer)."""
    if inner is outer:
        return True
    for low, high in inner:
        at = bisect_right(outer, (low, 1 << 200)) - 1
        if at < 0 or outer[at][1] < high:
            return False
    return True


def holds(side: Side, number: int) -> bool:
    """Whether the number is in the merged side. O(log side)."""
    at = bisect_right(side, (number, 1 << 200)) - 1
    return at >= 0 and side[at][1] >= number
