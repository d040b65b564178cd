"""All rules of one shape as interval maps from (what a packet shows, best label so far) to a better label.

The heart of flat cost: how many nft rules there are depends on the shapes, never on the number of
rules or on how their ranks interleave. Values in, values out; built from shapes and labels.
"""

from netpolicy.dataplane import names
from netpolicy.dataplane.arrange import arrange
from netpolicy.dataplane.labels import NONE
from netpolicy.dataplane.sets import KernelSet
from netpolicy.dataplane.shape import ARRIVING, EVERY, FORWARDED, OWN, PART_NAMES, key, key_types

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable

    from netpolicy.dataplane.shape import Box, LargeSet, Shape

    Signature = tuple[str, int, str, tuple[int, ...]]

# Which scopes each classifying chain asks.
FORWARDED_SCOPES = (EVERY, FORWARDED, ARRIVING)
OWN_SCOPES = (EVERY, OWN)
ARRIVING_SCOPES = (ARRIVING,)


class Group:
    """The rules of one signature: nft rules that find the best of them, and the maps that those ask."""

    __slots__ = ("large", "maps", "rules", "scope")

    def __init__(
        self, scope: str, rules: "tuple[str, ...]", maps: "tuple[KernelSet, ...]", large: "tuple[LargeSet, ...]"
    ) -> None:
        self.scope = scope
        self.rules = rules
        self.maps = maps
        self.large = large


class Groups:
    """Makes groups, and keeps those whose rules did not change: a reload costs what changed."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: "dict[Signature, tuple[list[tuple[Shape, int]], Group]]" = {}  # noqa: UP037

    def of(self, labelled: "Iterable[tuple[tuple[Shape, ...], int]]") -> "list[Group]":
        """The groups for rules given as (shapes, label), in the order of their signatures. O(n log n)."""
        members: dict[Signature, list[tuple[Shape, int]]] = {}
        for found, label in labelled:
            for shape in found:
                signature = shape.signature
                if signature in members:
                    members[signature].append((shape, label))
                else:
                    members[signature] = [(shape, label)]
        made = {}
        for signature in members:
            before = self._made.get(signature)
            if before is None or not _equal(before[0], members[signature]):
                before = (members[signature], _group(signature, members[signature]))
            made[signature] = before
        self._made = made
        return [made[signature][1] for signature in sorted(made)]


def _equal(before: "list[tuple[Shape, int]]", now: "list[tuple[Shape, int]]") -> bool:
    """Whether rules of one signature are the same boxes with the same labels."""
    if len(before) != len(now):
        return False
    for place, (shape, label) in enumerate(now):
        known, known_label = before[place]
        if label != known_label or (shape is not known and shape.boxes != known.boxes):
            return False
    return True


def _group(signature: "Signature", members: "list[tuple[Shape, int]]") -> Group:
    scope, family, guard, parts = signature
    large = {found.name: found for shape, _ in members for found in shape.large}
    sets = tuple([large[name] for name in sorted(large)])
    guard = guard + " " if guard else ""
    if not parts:
        # They ask the same: the best of them decides, the others never do.
        best = min([label for _, label in members])
        return Group(scope, (f"meta priority > {best:#x} {guard}meta priority set {best:#x}",), (), sets)
    boxes: list[tuple[Box, int]] = [(box, label) for shape, label in members for box in shape.boxes]
    maps = []
    for found in arrange(boxes):
        elements = tuple([(box + ((label + 1, NONE),), label, "") for box, label in found])  # noqa: RUF005
        maps.append(_named(signature, elements))
    asked = key(parts, family)
    rules = [f"{guard}meta priority set {asked} . meta priority map @{one.name}" for one in maps]
    return Group(scope, tuple(rules), tuple(maps), sets)


def _named(signature: "Signature", elements: "tuple[tuple[Box, int, str], ...]") -> KernelSet:
    """The map under a name that tells its shape and, by a hash, its content."""
    scope, family, guard, parts = signature
    held = KernelSet("", key_types(parts, family) + ("classid",), elements, "classid", interval=True)  # noqa: RUF005
    prefix = "_".join([f"g{family or ''}{scope}"] + [PART_NAMES[part] for part in parts])
    held.name = names.content_name(prefix, guard + "\n".join(held.chunks()))
    return held
