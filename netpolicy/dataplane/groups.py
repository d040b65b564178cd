"""All rules of one shape as interval maps from (what a packet shows, best label so far) to a better label.

The heart of flat cost: how many nft rules there are depends on the shapes, never on the number of
rules or on how their ranks interleave. Values in, values out; built from shapes and labels.
"""

from netpolicy.dataplane import names
from netpolicy.dataplane.areas import split
from netpolicy.dataplane.arrange import arrange
from netpolicy.dataplane.boxes import Gathering
from netpolicy.dataplane.rows import BoxRows
from netpolicy.dataplane.sets import KernelSet
from netpolicy.dataplane.shape import (
    ARRIVING,
    EVERY,
    FORWARDED,
    OWN,
    PART_NAMES,
    SPLIT_BY,
    key,
    key_types,
    number_size,
    within_text,
)

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable

    from netpolicy.dataplane.areas import Area
    from netpolicy.dataplane.boxes import Boxes
    from netpolicy.dataplane.shape import LargeSet, LearnedSet, Shape

    Signature = tuple[str, int, str, tuple[int, ...]]
    _Members = tuple[Boxes, tuple[LargeSet | LearnedSet, ...]]

# Which scopes each classifying chain asks.
FORWARDED_SCOPES = (EVERY, FORWARDED, ARRIVING)
OWN_SCOPES = (EVERY, OWN)
ARRIVING_SCOPES = (ARRIVING,)

# The largest group is asked first, and without labels, when it has so many boxes. Fewer are cheap either way.
LEAST_TO_LEAD = 256


class Group:
    """The rules of one signature: nft rules that find the best of them, and the maps that those ask.

    `leads`: it has to be asked before all others, because maps of it do not look at the label found so far.
    """

    __slots__ = ("areas", "large", "leads", "maps", "rules", "scope")

    def __init__(
        self,
        scope: str,
        rules: "tuple[str, ...]",
        maps: "tuple[KernelSet, ...]",
        large: "tuple[LargeSet | LearnedSet, ...]",
        areas: "dict[tuple[int, int], _Filled] | None" = None,
        leads: bool = False,
    ) -> None:
        self.scope = scope
        self.rules = rules
        self.maps = maps
        self.large = large
        self.areas = areas or {}  # of many boxes, by their ends: those that the next change leaves alone are kept
        self.leads = leads


class Groups:
    """Makes groups, and keeps those whose rules did not change: a reload costs what changed."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: "dict[Signature, tuple[bytes, Group]]" = {}  # noqa: UP037

    def of(self, labelled: "Iterable[tuple[tuple[Shape, ...], int]]") -> "list[Group]":
        """The groups for rules given as (shapes, label), in the order in which they are to be asked. O(n log n)."""
        members = _members(labelled)
        leader = _leader(members)
        made = {}
        for signature in members:
            leads = signature == leader
            boxes, large = members[signature]
            digest = boxes.digest()
            before = self._made.get(signature)
            if before is not None and before[1].leads != leads:
                before = None
            if before is None or before[0] != digest:
                known = {} if before is None else before[1].areas
                before = (digest, _group(signature, boxes, large, known, leads))
            made[signature] = before
        self._made = made
        return [made[signature][1] for signature in sorted(made, key=lambda one: (one != leader, one))]


def _members(labelled: "Iterable[tuple[tuple[Shape, ...], int]]") -> "dict[Signature, _Members]":
    """The boxes of all rules of one signature with their labels, and the long lists that its guard names."""
    gathered: "dict[Signature, tuple[Gathering, tuple[LargeSet | LearnedSet, ...]]]" = {}  # noqa: UP037
    for found, label in labelled:
        for shape in found:
            signature = shape.signature
            if signature not in gathered:
                gathered[signature] = (Gathering(len(signature[3]), number_size(signature)), shape.large)
            gathered[signature][0].add(shape.held, shape.count, label)
    return {signature: (gathered[signature][0].boxes(), gathered[signature][1]) for signature in gathered}


def _leader(members: "dict[Signature, _Members]") -> "Signature | None":
    """The group with most boxes, in powers of two: a few more or less do not make two groups anew. None: all are small.

    Without labels a map of one part alone would not be one of several parts, which the kernel keeps otherwise.
    """
    best, most = None, LEAST_TO_LEAD - 1
    for signature in sorted(members):
        if len(signature[3]) < 2:
            continue
        count = len(members[signature][0])
        if count > most:
            best, most = signature, LEAST_TO_LEAD - 1
            while most < count:
                most = 2 * most + 1
    return best


class _Filled:
    """An area with its maps, and what they were made from, as a digest; `alone`: no label is known before them.

    The boxes of an area may stay while it becomes one around others, and with them comes a label.
    """

    __slots__ = ("alone", "digest", "maps")

    def __init__(self, digest: bytes, maps: "list[KernelSet]", alone: bool) -> None:
        self.digest = digest
        self.maps = maps
        self.alone = alone


def _group(
    signature: "Signature",
    boxes: "Boxes",
    large: "tuple[LargeSet | LearnedSet, ...]",
    known: "dict[tuple[int, int], _Filled]",
    leads: bool,
) -> Group:
    scope, family, guard, parts = signature
    guard = guard + " " if guard else ""
    if not parts:
        # They ask the same: the best of them decides, the others never do.
        best = min([label for _, label in boxes])
        return Group(scope, (f"meta priority > {best:#x} {guard}meta priority set {best:#x}",), (), large)
    split_by, areas = split(boxes, [place for place, part in enumerate(parts) if part in SPLIT_BY])
    asked = f"{guard}meta priority set {key(parts, family)}"
    filled = {}
    rules: list[str] = []
    maps: list[KernelSet] = []
    for area in areas:
        within = "" if split_by < 0 else within_text(parts[split_by], family, area.low, area.high)
        # No map that is asked before holds a packet of such an area, so no label is known yet.
        alone = leads and not area.around
        made = filled[area.low, area.high] = _filled(signature, area, known.get((area.low, area.high)), alone)
        for number, one in enumerate(made.maps):
            better = "" if alone and number == 0 else " . meta priority"
            rules.append(f"{within}{asked}{better} map @{one.name}")
        maps.extend(made.maps)
    return Group(scope, tuple(rules), tuple(maps), large, filled if split_by >= 0 else None, leads)


def _filled(signature: "Signature", area: "Area", known: "_Filled | None", alone: bool) -> _Filled:
    digest = area.boxes.digest()
    if known is not None and known.alone == alone and known.digest == digest:
        return known
    layers = [BoxRows(found, first=alone and number == 0) for number, found in enumerate(arrange(area.boxes))]
    return _Filled(digest, [_named(signature, layer) for layer in layers], alone)


def _named(signature: "Signature", elements: BoxRows) -> KernelSet:
    """The map under a name that tells its shape and, by a hash, its content."""
    scope, family, guard, parts = signature
    asked_with = () if elements.first else ("classid",)
    held = KernelSet("", key_types(parts, family) + asked_with, elements, "classid", interval=True)
    prefix = "_".join([f"g{family or ''}{scope}"] + [PART_NAMES[part] for part in parts])
    held.name = names.content_name(prefix, guard + "\n".join(held.chunks()))
    return held
