"""A number per rule whose order is the rank order: what the kernel compares instead of walking rules.

Never changes the number of a rule that keeps its place, so that a reload touches what changed only.
Built from names in rank order. Why the numbers are chosen as they are: docs/dataplane.md ("Labels").
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# No rule found yet. Every label is below it, and above 0, which is what a packet's priority is set back to.
NONE = 0xFFFFFFFF

_SPACE = 1 << 32

# Distances below this are for rules that come after the last one: people add rules at the end.
_AT_THE_END = 1 << 16

# Rules that come later find a place between two old ones in the bits below these.
_FIRST_BITS = 24


def assign(ranked: "Sequence[str]", before: "Mapping[str, int] | None" = None) -> "dict[str, int]":
    """A label for every name, ascending in rank order; those of `before` stay where the order lets them.

    A number that a name loses goes to no other name at once: elements of before still say it. Only when
    there is no room between two is everything numbered anew. O(n log n). An interval map compares with
    [label + 1, max], which it holds as one prefix for each 1 bit of 2^32 - 1 - label: of the numbers
    that are free the ones with the fewest are taken.
    """
    known = before or {}
    kept = _longest_rising([(known[name], place) for place, name in enumerate(ranked) if 0 < known.get(name, 0) < NONE])
    # As distances from the end: the first rule has the greatest, and the round numbers are spread evenly.
    given: dict[int, int] = {place: NONE - label for label, place in kept}
    if not given:
        return _from_scratch(ranked)
    taken = {NONE - label for label in known.values()}
    anchors = sorted(given)
    upper, start = _SPACE - 1, 0
    for place in anchors + [len(ranked)]:  # noqa: RUF005 - not in MicroPython
        lower = given[place] if place < len(ranked) else 0
        low, high = _near(lower, upper, place - start)
        if not (_fill(given, start, place, low, high, taken) or _fill(given, start, place, lower, upper, taken)):
            return _from_scratch(ranked)
        upper, start = lower, place + 1
    return {name: NONE - given[place] for place, name in enumerate(ranked)}


def _from_scratch(ranked: "Sequence[str]") -> "dict[str, int]":
    """The roundest numbers there are, as many as there are names."""
    count, shift = len(ranked), 32 - _FIRST_BITS
    found: list[int] = []
    bits = 0
    while len(found) < count:
        bits += 1
        number = (1 << bits) - 1  # of the numbers with this many 1 bits the smallest, then the next (Gosper)
        while number < 1 << _FIRST_BITS and len(found) < count:
            if number << shift >= _AT_THE_END:
                found.append(number << shift)
            lowest = number & -number
            ripple = number + lowest
            number = ((number ^ ripple) // lowest >> 2) | ripple
    found.sort(reverse=True)
    return {name: NONE - found[place] for place, name in enumerate(ranked)}


def _near(lower: int, upper: int, count: int) -> "tuple[int, int]":
    """Where new ones go at the beginning or at the end: a sixteenth of the room for each, so that many find some."""
    if lower == 0:
        return max(0, upper - 1 - (upper >> 4) * min(count, 8)), upper
    if upper == _SPACE - 1:
        return lower, min(upper, lower + 1 + (upper - lower >> 4) * min(count, 8))
    return lower, upper


def _fill(given: "dict[int, int]", start: int, end: int, lower: int, upper: int, taken: "set[int]") -> bool:
    """Distances for the places start to end - 1, falling, between two that are given; False where there is no room."""
    if _nth_free(lower, 1, end - start, taken) >= upper:
        return False
    waiting = [(start, end, lower, upper)]
    while waiting:
        start, end, lower, upper = waiting.pop()
        if start >= end:
            continue
        # The middle one gets the roundest number near the middle of the gap, so that both halves have room.
        middle = (start + end) // 2
        below = _nth_free(lower, 1, end - middle, taken)  # behind it the later ones find their numbers
        above = _nth_free(upper, -1, middle - start + 1, taken)
        spare = (upper - lower - 1 - (end - start)) // 4
        low, high = max(below, (lower + upper) // 2 - spare), min(above, (lower + upper) // 2 + spare)
        number = _roundest(min(low, above), max(high, below))
        while number in taken:  # `above` is not
            number += 1
        given[middle] = number
        waiting.append((start, middle, number, upper))
        waiting.append((middle + 1, end, lower, number))
    return True


def _nth_free(start: int, step: int, count: int, taken: "set[int]") -> int:
    """The number at which, counted from behind `start`, so many are free; `start` for none."""
    number = start
    while count:
        number += step
        if number not in taken:
            count -= 1
    return number


def _roundest(low: int, high: int) -> int:
    """The number with the fewest 1 bits from low to high (low > 0)."""
    number = high
    while number & (number - 1) >= low:
        number &= number - 1
    return number


def _longest_rising(pairs: "list[tuple[int, int]]") -> "list[tuple[int, int]]":
    """The most of the (label, place) pairs, which are in the order of places, whose labels rise. O(n log n)."""
    if all(pairs[i][0] < pairs[i + 1][0] for i in range(len(pairs) - 1)):  # as after nearly every change
        return pairs
    tails: list[int] = []  # indices: the smallest end of a rising run of each length
    previous = [-1] * len(pairs)
    for index, (label, _) in enumerate(pairs):
        low, high = 0, len(tails)
        while low < high:
            middle = (low + high) // 2
            if pairs[tails[middle]][0] < label:
                low = middle + 1
            else:
                high = middle
        previous[index] = tails[low - 1] if low else -1
        if low == len(tails):
            tails.append(index)
        else:
            tails[low] = index
    found = []
    index = tails[-1] if tails else -1
    while index >= 0:
        found.append(pairs[index])
        index = previous[index]
    found.reverse()
    return found
