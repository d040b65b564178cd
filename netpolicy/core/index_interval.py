"""Tables of intervals: which rules' ranges hold a number, by one bisection.

The borders of all ranges cut the line into slots; a range covers some slots in a row, and hangs at the
few nodes of a binary tree over the slots that make it up. A cell is what hangs around one slot, None
where nothing does. Memory and time are O(n log n) whatever overlaps whatever.
"""

from array import array

from netpolicy.core.bisection import bisect_right
from netpolicy.core.index_column import NOBODY, beside
from netpolicy.core.index_order import SLICE, sorted_steps

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from typing import Literal

    from netpolicy.core.index_column import Entry, Groups

    Steps = Generator[None, None, tuple[Sequence[int], list["Entry | None"]]]
    MeasuredSteps = Generator[None, None, tuple[list[float], list["Entry | None"]]]

LARGEST = 1 << 32  # behind the last IPv4 address: what some ranges end at
LARGEST_SHORT = 0xFFFF

BYTE_ORDER: "Literal['little', 'big']" = "little" if bytes(array("H", [1]))[0] else "big"

# The cell of numbers that no rule is asked about.
EXEMPT: "Entry" = (0, NOBODY, None, (), None)


def number_steps(
    ranges: "Iterable[tuple[int, int, int]]", groups: "Groups", exempt: "tuple[tuple[int, int], ...]" = ()
) -> "Steps":
    """(starts, cells): the cell of a number is cells[bisect_right(starts, number)].

    `ranges` are (low, high, group), inclusive, those of one group disjoint, and can be walked twice; whatever is in the
    disjoint ranges `exempt` has the cell EXEMPT.
    """
    borders = {low for low, _ in exempt}
    borders.update([high + 1 for _, high in exempt])
    for number, (low, high, _) in enumerate(ranges):
        if number % SLICE == 0:
            yield
        borders.add(low)
        borders.add(high + 1)
    starts = yield from sorted_steps(list(borders))
    del borders
    spans = ((bisect_right(starts, low), bisect_right(starts, high), group) for low, high, group in ranges)
    cells = yield from _cell_steps(len(starts) + 1, spans, groups)
    for low, high in exempt:
        for slot in range(bisect_right(starts, low), bisect_right(starts, high) + 1):
            cells[slot] = EXEMPT
    return compact(starts), cells


def compact(numbers: "list[int]") -> "Sequence[int]":
    """The numbers in as little as they need; those of IPv6 stay the objects that they are."""
    return array("Q", numbers) if numbers and numbers[-1] <= LARGEST else numbers


def page_steps(starts: "Sequence[int]", bits: int) -> "Generator[None, None, array[int]]":
    """How many of the starts are below each page of so many bits of the IPv4 addresses; one more at the end."""
    count = 1 << (32 - bits)
    kind = "H" if len(starts) <= LARGEST_SHORT else "I"
    size = 2 if kind == "H" else 4
    pages = bytearray(size)  # numbers as the machine has them: a list of as many would be made first, and taken apart
    last = 0
    for at, start in enumerate(starts):
        if at % SLICE == 0:
            yield
        page = min(start >> bits, count)
        if page != last:
            pages += at.to_bytes(size, BYTE_ORDER) * (page - last)
            last = page
    pages += len(starts).to_bytes(size, BYTE_ORDER) * (count - last)
    return array(kind, bytes(pages))


def measured_steps(bounds_of: "list[tuple[str, float, int]]", groups: "Groups") -> "MeasuredSteps":
    """(bounds, cells) for comparators (operator, bound, group).

    The cell of a fact is cells[bisect_left(bounds, fact) + bisect_right(bounds, fact)]: odd where the fact
    is a bound itself, even between two of them.
    """
    bounds = yield from sorted_steps(list({bound for _, bound, _ in bounds_of}))
    yield
    slots = {bound: 2 * at + 1 for at, bound in enumerate(bounds)}
    last = 2 * len(bounds)
    spans = []
    for number, (operator, bound, group) in enumerate(bounds_of):
        if number % SLICE == 0:
            yield
        slot = slots[bound]
        first = {">": slot + 1, ">=": slot, "==": slot}.get(operator, 0)
        spans.append((first, {"<": slot - 1, "<=": slot, "==": slot}.get(operator, last), group))
    cells = yield from _cell_steps(last + 1, spans, groups)
    return bounds, cells


def _cell_steps(
    count: int, spans: "Iterable[tuple[int, int, int]]", groups: "Groups"
) -> "Generator[None, None, list[Entry | None]]":
    """The cell of each slot; `spans` are (first slot, last slot, group)."""
    nodes: "list[int | list[int] | None]" = [None] * (2 * count)  # mostly one
    for number, (first, last, group) in enumerate(spans):
        if number % (SLICE // 4) == 0:
            yield
        if first == last:
            _hang(nodes, first + count, group)
            continue
        left, right = first + count, last + count + 1
        while left < right:
            if left & 1:
                _hang(nodes, left, group)
                left += 1
            if right & 1:
                right -= 1
                _hang(nodes, right, group)
            left >>= 1
            right >>= 1
    around: "list[Entry | None]" = [None] * (2 * count)
    done = 0
    for node in range(1, 2 * count):
        if done >= SLICE:
            done = 0
            yield
        done += 1
        hung = nodes[node]
        outer = around[node >> 1]
        if hung is None:
            around[node] = outer
            continue
        own = hung if isinstance(hung, list) else [hung]
        done += 2 * len(own)
        inner = (yield from groups.list_steps(own)) if len(own) > SLICE else groups.list_of(own)
        around[node] = inner if outer is None else beside([inner, outer])
    return around[count:]


def _hang(nodes: "list[int | list[int] | None]", node: int, group: int) -> None:
    held = nodes[node]
    if held is None:
        nodes[node] = group
    elif isinstance(held, list):
        held.append(group)
    else:
        nodes[node] = [held, group]
