"""Sets of numbers as sorted, disjoint, inclusive ranges ((low, high), …).

Addresses, ports and protocol numbers all become such sets, so that "these but not
those" is computed once, when a rule is read. Never does I/O. Plain integers only.
A set is merged when its ranges are sorted, disjoint and not adjacent.
"""


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


def subtract(ranges: tuple[tuple[int, int], ...], holes: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The numbers of `ranges` that are not in `holes` (both merged). O(n + m)."""
    if not holes:
        return ranges
    result = []
    position = 0
    for low, high in ranges:
        while position < len(holes) and holes[position][1] < low:
            position += 1
        here = position
        while here < len(holes) and holes[here][0] <= high:
            if holes[here][0] > low:
                result.append((low, holes[here][0] - 1))
            low = holes[here][1] + 1
            here += 1
        if low <= high:
            result.append((low, high))
    return tuple(result)


def intersect(left: tuple[tuple[int, int], ...], right: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
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


def contains(ranges: tuple[tuple[int, int], ...], number: int) -> bool:
    """Whether the number is in the set: a plain walk, O(n), because this is the reference."""
    for low, high in ranges:
        if low <= number <= high:
            return True
    return False
