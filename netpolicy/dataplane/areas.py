"""Many boxes in areas of one part of their key: the map of an area stays small however many rules there are.

So a change costs one or two areas, and a packet asks the map of its own area only. Which areas there
are depends on the boxes alone: a restart finds the same. Values in, values out.
"""

from netpolicy.core.bisection import bisect_left

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netpolicy.dataplane.boxes import Boxes

# More boxes than this are split. An element of a new map takes the kernel 16 microseconds, a change as many
# elements as its areas have; a first packet asks in front of each area's map whether it is the right one.
MOST = 1024

# So many full areas at most: with more boxes than fit into these the areas are larger.
AREAS = 32


class Area:
    """The boxes within `low` to `high` of the part that was split; `high` -1: wherever they are.

    `around`: of a block whose halves are areas too. No two of the others have a number in common.
    """

    __slots__ = ("around", "boxes", "high", "low")

    def __init__(self, low: int, high: int, boxes: "Boxes", around: bool = False) -> None:
        self.low = low
        self.high = high
        self.boxes = boxes
        self.around = around


def split(boxes: "Boxes", parts: "Sequence[int]", most: int = MOST) -> "tuple[int, list[Area]]":
    """Which of `parts` was split, as the place in a box, or -1; and the areas, those that hold nothing left out.

    Areas are aligned blocks of numbers, halved until few boxes are in one. A box that reaches into both halves stays
    with the whole block; such areas come last. Every box is in one area. The part in which boxes differ most is
    split. O(n log n).
    """
    if len(boxes) <= most or not parts:
        return -1, [Area(0, -1, boxes)]
    while len(boxes) > AREAS * most:
        most *= 2
    part = -max([(boxes.various(part), -part) for part in parts])[1]
    lows, highs = boxes.lows(part), boxes.highs(part)
    found: list[tuple[bool, int, int, Sequence[int]]] = []
    order = sorted(range(len(boxes)), key=lambda place: lows[place])
    waiting = [(0, -1, [lows[place] for place in order], order)]
    while waiting:
        low, high, begins, inside = waiting.pop()
        if len(inside) <= most:
            found.append((False, low, high, inside))
            continue
        # The smallest aligned block around them: what is left out of the block that is known is empty.
        size = 1 << _bits(begins[0] ^ max([highs[place] for place in inside]))
        if size == 1:  # all of them are about one number
            found.append((False, low, high, inside))
            continue
        first = begins[0] & -size
        middle = first + size // 2
        at = bisect_left(begins, middle)
        both = [place for place in range(at) if highs[inside[place]] >= middle]
        if both:
            found.append((True, low, high, [inside[place] for place in both]))
        waiting.append((middle, first + size - 1, begins[at:], inside[at:]))
        below = _without(both, at)
        waiting.append((first, middle - 1, [begins[place] for place in below], [inside[place] for place in below]))
    found.sort(key=lambda area: area[:3])
    return part, [Area(low, high, boxes.chosen(inside), around) for around, low, high, inside in found if inside]


def _without(places: "list[int]", end: int) -> "Sequence[int]":
    """The numbers up to `end` that are not among these."""
    if not places:
        return range(end)
    out = set(places)
    return [place for place in range(end) if place not in out]


def _bits(number: int) -> int:
    """How many bits the number has."""
    count = 0
    while number >> count:
        count += 1
    return count
