"""Sorting in slices: the ranks of the rules, and any other long row of values that the index needs in order.

A sort of 100 000 values would hold the loop for a tenth of a second. Never compares two equal
values, so that a sort which is not stable (MicroPython's) gives the same order.
"""

from netpolicy.core.bisection import bisect_right
from netpolicy.core.model import MORE_THAN_FIELDS

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, TypeVar

    from netpolicy.core.model import Rule, Ruleset

    Value = TypeVar("Value", int, float, tuple[int, int])

# What is done between two steps: about a millisecond of CPython.
SLICE = 1000

# Values that show where a row may be cut into parts of about one slice.
SAMPLES_PER_SLICE = 8


def ranked_steps(ruleset: "Ruleset") -> "Generator[None, None, list[Rule]]":
    """The rules of `ruleset.ranked`, in slices: by priority, then specificity, then the file's order."""
    equals: dict[int, list[Rule]] = {}
    find = equals.get
    for number, rule in enumerate(ruleset.rules):
        if number % SLICE == 0:
            yield
        key = -(rule.priority * MORE_THAN_FIELDS + len(rule.fields))
        row = find(key)
        if row is None:
            equals[key] = [rule]
        else:
            row.append(rule)
    ranked: list[Rule] = []
    ordered = yield from sorted_steps(list(equals))
    for number, key in enumerate(ordered):
        if number % SLICE == 0:
            yield
        ranked += equals[key]
    return ranked


def sorted_steps(values: "list[Value]") -> "Generator[None, None, list[Value]]":
    """The values, each other than the rest, in ascending order. O(n log n)."""
    yield
    if len(values) <= 2 * SLICE:
        return sorted(values)
    parts = yield from _parts(values)
    ordered: "list[Value]" = []
    for part in parts:
        if 2 * SLICE < len(part) < len(values):
            part = yield from sorted_steps(part)
        else:
            part = sorted(part)
            yield
        ordered += part
    return ordered


def _parts(values: "list[Value]") -> "Generator[None, None, list[list[Value]]]":
    """The values in parts, each below the next one; of about one slice where the sample is fair."""
    cuts = max(1, min(len(values) // SLICE, SLICE // SAMPLES_PER_SLICE))
    sample = sorted(values[:: len(values) // (cuts * SAMPLES_PER_SLICE)])
    bounds = sample[SAMPLES_PER_SLICE::SAMPLES_PER_SLICE]
    parts: "list[list[Value]]" = [[] for _ in range(len(bounds) + 1)]
    for start in range(0, len(values), SLICE):
        yield
        for value in values[start : start + SLICE]:
            parts[bisect_right(bounds, value)].append(value)
    return parts


def emptied_steps(table: "dict[Any, Any]") -> "Generator[None, None, None]":
    """Take everything out of a table that nobody needs any more; at once it would hold the loop."""
    while table:
        for _ in range(min(len(table), 2 * SLICE)):
            table.popitem()
        yield
