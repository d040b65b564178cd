"""Which class number stands for which outbound, kept over reloads and restarts.

Open flows carry their class in the conntrack mark, so a number keeps its meaning as long
as it can. Never gives a freed number away while another was never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class TooManyOutbounds(Exception):
    """More outbounds than the mark mask can number."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """`numbers` by outbound; `recycled` had another meaning before: their flows must go first.

    `known` is what to remember: the numbers, and those of outbounds that are gone, as long as
    nobody needs them.
    """

    numbers: Mapping[str, int]
    recycled: tuple[int, ...]
    known: Mapping[str, int]


def allocate(known: Mapping[str, int], wanted: Iterable[str], capacity: int) -> Allocation:
    """A number from 1 to capacity for every wanted outbound. Raises TooManyOutbounds."""
    names = list(dict.fromkeys(wanted))
    if len(names) > capacity:
        raise TooManyOutbounds(
            f"{len(names)} outbounds, and pairs of one with a throttle, need a class; the mark mask has room for "
            f"{capacity}: "
            "remove some, or set option fwmark_mask to more bits"
        )
    numbers = {name: known[name] for name in names if 1 <= known.get(name, 0) <= capacity}
    taken = set(known.values())
    free = [n for n in range(1, capacity + 1) if n not in taken]
    free += [n for n in range(1, capacity + 1) if n in taken and n not in numbers.values()]
    recycled = []
    for name in names:
        if name not in numbers:
            numbers[name] = free.pop(0)
            if numbers[name] in taken:
                recycled.append(numbers[name])
    given = set(numbers.values())
    kept = {name: number for name, number in known.items() if name not in numbers and number not in given}
    return Allocation(numbers, tuple(recycled), {**kept, **numbers})
