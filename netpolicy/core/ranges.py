"""Sets of numbers as sorted, disjoint, inclusive ranges ((low, high), …).

Addresses, ports and protocol numbers all become such sets, so that "these but not
those" is computed once, when a rule is read. Never does I/O. Plain integers only.
A set is merged when its ranges are sorted, disjoint and not adjacent.
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Ranges = Sequence[tuple[int, int]]


def merge(pairs: tuple[tuple[int, int], ...] | list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same numbers as `pairs`, sorted and with overlapping or adjacent ranges joined. O(n log n)."""
    if len(pairs) < 2:  # the usual value: one network, one port
        return tuple(pairs)
    result: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if result and low <= result[-1][1] + 1:
            if high > result[-1][1]:
                result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return tuple(result)


def subtract(ranges: "Ranges", holes: "Ranges") -> tuple[tuple[int, int], ...]:
    """The numbers of `ranges` that are not in `holes` (both merged). O(n + m)."""
    return tuple(ranges) if not holes else tuple(remaining(ranges, holes))


def remaining(ranges: "Ranges", holes: "Ranges") -> "Iterator[tuple[int, int]]":
    """The same, one range after the other."""
    position = 0
    for low, high in ranges:
        while position < len(holes) and holes[position][1] < low:
            position += 1
        here = position
        while here < len(holes) and holes[here][0] <= high:
            first, last = holes[here]
            if first > low:
                yield low, first - 1
            low = last + 1
            here += 1
        if low <= high:
            yield low, high


def united(left: "Ranges", right: "Ranges") -> "Iterator[tuple[int, int]]":
    """The numbers in either (both merged), merged, one range after the other. O(n + m)."""
    i = j = 0
    low, high = 0, -2  # nothing yet: no range begins before it ends
    while i < len(left) or j < len(right):
        if j == len(right) or (i < len(left) and left[i] <= right[j]):
            first, last = left[i]
            i += 1
        else:
            first, last = right[j]
            j += 1
        if first > high + 1:
            if low <= high:
                yield low, high
            low, high = first, last
        elif last > high:
            high = last
    if low <= high:
        yield low, high


def intersect(left: "Ranges", right: "Ranges") -> tuple[tuple[int, int], ...]:
    """The numbers in both (both merged). O(n + m)."""
    result = []
    i = j = 0
    while i < len(left) and j < len(right):
        low = max(left[i][0], right[j][0])
        high = min(left[i][1], right[j][1])
        if low <= high:
            result.append((low, high))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(result)


def contains(ranges: "Ranges", number: int) -> bool:
    """Whether the number is in the set: a plain walk, O(n), because this is the reference."""
    for low, high in ranges:
        if low <= number <= high:
            return True
    return False
