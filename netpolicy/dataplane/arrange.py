"""Boxes of many rules made disjoint, so that interval maps can hold them: the best label wins everywhere.

Never decides between two rules but by their labels. Kernel maps of intervals refuse elements that
overlap (measured with nft 1.0.6), so overlaps are worked out here. Values in, values out.
"""

from netpolicy.dataplane.overlaps import Overlaps

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable

    Box = tuple[tuple[int, int], ...]
    Interval = tuple[int, int, int]  # low, high, label

# With more that are open at once than this, bits are cheaper than to compare each with each.
FEW = 64

# Each is a map and an nft rule that every first packet is looked up in.
MOST_LAYERS = 1024


class TooManyBoxes(ValueError):
    """The rules are more than the kernel's maps should hold; the text says what to do."""


def arrange(boxes: "Iterable[tuple[Box, int]]") -> "list[list[tuple[Box, int]]]":
    """(box, label) pairs as few lists of disjoint boxes; every list is sorted.

    A point that is in several boxes is, of all lists, in the box with the best (lowest) label and in
    others with worse ones. Rules that differ in one part only, nested networks say, become one list;
    boxes that overlap in several parts are spread over more. O(n log n) for those that hardly overlap.
    Raises TooManyBoxes where that would be more lists than a packet should be looked up in.
    """
    every = list(boxes)
    if not every:
        return []
    across = _most_various(every)
    buckets: dict[Box, list[Interval]] = {}
    for box, label in every:
        low, high = box[across]
        others = box[:across] + box[across + 1 :]
        if others in buckets:
            buckets[others].append((low, high, label))
        else:
            buckets[others] = [(low, high, label)]
    ordered = [(others, flatten(buckets[others])) for others in sorted(buckets)]
    layers = _layers(ordered) if len(ordered) > 1 else [0]
    result: list[list[tuple[Box, int]]] = [[] for _ in range(max(layers) + 1)]
    for layer, (others, intervals) in zip(layers, ordered):  # noqa: B905 - MicroPython's zip knows no strict
        head, tail = others[:across], others[across:]
        result[layer].extend([(head + ((low, high),) + tail, label) for low, high, label in intervals])  # noqa: RUF005
    return [sorted(found) for found in result]


def _most_various(boxes: "list[tuple[Box, int]]") -> int:
    """The part in which the boxes differ most: overlaps along it are solved exactly."""
    best, most = 0, 0
    for part in range(len(boxes[0][0])):
        count = len({box[part] for box, _ in boxes})
        if count > most:
            best, most = part, count
    return best


def flatten(intervals: "list[Interval]") -> "list[Interval]":
    """Disjoint intervals that say for every number the best label of those that cover it; sorted. O(n log n)."""
    ordered = sorted(intervals)
    if all(ordered[i][1] < ordered[i + 1][0] for i in range(len(ordered) - 1)):
        return ordered
    borders = {low for low, _, _ in ordered}
    borders.update([high + 1 for _, high, _ in ordered])
    result: list[Interval] = []
    open_: list[tuple[int, int]] = []  # (label, high) of those that have begun, best first
    begin = 0
    points = sorted(borders)
    for index, point in enumerate(points):
        while begin < len(ordered) and ordered[begin][0] == point:
            _insert(open_, (ordered[begin][2], ordered[begin][1]))
            begin += 1
        while open_ and open_[0][1] < point:
            open_.pop(0)
        if not open_:
            continue
        label, last = open_[0][0], points[index + 1] - 1
        if result and result[-1][2] == label and result[-1][1] == point - 1:
            result[-1] = (result[-1][0], last, label)
        else:
            result.append((point, last, label))
    return result


def _insert(ordered: "list[tuple[int, int]]", one: "tuple[int, int]") -> None:
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < one:
            low = middle + 1
        else:
            high = middle
    ordered.insert(low, one)


def _layers(buckets: "list[tuple[Box, list[Interval]]]") -> "list[int]":
    """For each bucket the lowest layer that no bucket before it overlaps in."""
    pivot = _most_various([(others, 0) for others, _ in buckets])
    layers = [0] * len(buckets)
    # A walk along the part in which they differ most: only buckets that are open at once can overlap.
    order = sorted([(others[pivot], index) for index, (others, _) in enumerate(buckets)])
    open_: list[int] = []
    for place, ((low, _), index) in enumerate(order):
        open_ = [one for one in open_ if buckets[one][0][pivot][1] >= low]
        if len(open_) > FEW:
            _spread([one for _, one in order], place, buckets, layers)
            break
        others, intervals = buckets[index]
        used = {layers[one] for one in open_ if _overlap(buckets[one][0], others) and _meet(buckets[one][1], intervals)}
        layer = 0
        while layer in used:
            layer += 1
        layers[index] = layer
        open_.append(index)
    return layers


def _spread(order: "list[int]", place: int, buckets: "list[tuple[Box, list[Interval]]]", layers: "list[int]") -> None:
    """The same from this place of the walk on, where each with each would be too many. Raises TooManyBoxes."""
    overlaps = Overlaps(buckets)
    held = [0] * (max(layers) + 1)  # of each layer, which boxes are in it
    for index in order[:place]:
        held[layers[index]] |= overlaps.own(index)
    for index in order[place:]:
        met = overlaps.of(index)
        layer = 0
        while layer < len(held) and met & held[layer]:
            layer += 1
        if layer == MOST_LAYERS:
            raise TooManyBoxes(
                f"more than {MOST_LAYERS} rules of the same fields overlap in several of them at once, as ranges of "
                "source ports with ranges of destination ports do: each would be asked for on its own; let their "
                "ranges be the same, or apart, in all fields but one"
            )
        if layer == len(held):
            held.append(0)
        layers[index] = layer
        held[layer] |= overlaps.own(index)


def _overlap(left: "Box", right: "Box") -> bool:
    pairs = zip(left, right)  # noqa: B905 - MicroPython's zip knows no strict
    return all([one[0] <= other[1] and other[0] <= one[1] for one, other in pairs])


def _meet(left: "list[Interval]", right: "list[Interval]") -> bool:
    """Whether two sorted lists of disjoint intervals have a number in common. O(shorter x log longer)."""
    if len(left) > len(right):
        left, right = right, left
    for low, high, _ in left:
        begin, end = 0, len(right)
        while begin < end:
            middle = (begin + end) // 2
            if right[middle][1] < low:
                begin = middle + 1
            else:
                end = middle
        if begin < len(right) and right[begin][0] <= high:
            return True
    return False
