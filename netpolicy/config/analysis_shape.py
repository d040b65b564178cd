"""What a rule matches, as boxes over all that decides whether it does: fields, states, the way in.

Exact for facts as connections have them (docs/rules.md, "Meaning"): the family follows from the
addresses, a block spares the router itself, what comes in by an outbound is asked by blocks with
src_iface only. Never compares two rules; that is analysis_shadow.py.
"""

from __future__ import annotations

from netpolicy.config.analysis_name import NameSet, Open, name_set
from netpolicy.config.analysis_side import EVERY, NEVER_STEERED, Side, Sides, everything, points
from netpolicy.core.address import V4, V6
from netpolicy.core.evaluate import gate
from netpolicy.core.field import FIELD_RANK, LEARNED_FIELDS
from netpolicy.core.field_kind import Field
from netpolicy.core.health import STATES
from netpolicy.core.model import BLOCK, BUILT_IN_OUTBOUNDS, DIRECT, ROUTER_ITSELF, ROUTES, Rule, Ruleset
from netpolicy.core.ranges import intersect, subtract

STATE = "state"
CAME_IN = "came_in"  # 0: an ordinary connection; 1: it came in by the device of an outbound
ADDRESSES = ("src_addr", "dest_addr")
FAMILY_BIT = 1 << FIELD_RANK["family"]

Box = dict[str, Side]


class Shape:
    """One rule: its sides, its sets of names, and fields of which nothing lasting can be said (`opaque`)."""

    __slots__ = ("boxes", "is_sure", "mask", "names", "opaque", "rank", "rule", "sides", "targets")

    def __init__(self, rank: int, rule: Rule) -> None:
        self.rank = rank
        self.rule = rule
        self.mask = sum(1 << FIELD_RANK[field.name] for field in rule.fields)
        self.sides: Box = {}
        self.names: dict[str, NameSet] = {}
        self.opaque: dict[str, tuple[str, ...]] = {}
        self.boxes: tuple[Box, ...] = ()  # what it matches; sides of fields that it has, and of the ways in
        self.is_sure = False  # whether it always wins when it matches
        self.targets: tuple[str, ...] = ()  # else the outbounds that must be down for the next rule


class Shapes:
    """Makes the shapes of the rules of one rule set."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._sides = Sides(ruleset.schedules)
        self._lists = {one.name: one for one in ruleset.lists}
        self._name_sets: dict[int, tuple[Field, NameSet | None]] = {}
        self._parts: dict[tuple[str, int, int], tuple[Side, Side]] = {}  # the side is kept: its id stays its own
        self._router = points([self._sides.number(ROUTER_ITSELF)])
        names = [one.interface for one in ruleset.outbounds if one.type == "interface" and one.interface]
        self._uplinks = points(sorted({self._sides.number(name) for name in names}))

    def __call__(self, rank: int, rule: Rule) -> Shape:
        """The shape of a rule."""
        shape = Shape(rank, rule)
        for field in rule.fields:
            self._take(shape, field)
        self._add_gates(shape)
        shape.boxes = tuple(box for box in self._boxes(shape) if all(box.values()))
        shape.is_sure, shape.targets = self._outcome(rule)
        return shape

    def _take(self, shape: Shape, field: Field) -> None:
        if self._is_open(field):
            shape.opaque[field.name] = tuple(sorted(field.values))
            return
        if field.name in LEARNED_FIELDS:
            found = self._names(field)
            if found is not None:
                shape.names[field.name] = found
                return
        side = self._sides(field)
        if side is None:
            shape.opaque[field.name] = tuple(sorted(field.values))
        else:
            shape.sides[field.name] = side

    def _is_open(self, field: Field) -> bool:
        """Whether a list of it may change while the configuration stays."""
        for value in field.values:
            name = value.lstrip("!")
            known = self._lists.get(name[1:]) if name[:1] == "@" else None  # a device may be called so too
            if known is not None and known.is_open:
                return True
        return False

    def _names(self, field: Field) -> NameSet | None:
        found = self._name_sets.get(id(field))
        if found is None:
            try:
                made: NameSet | None = name_set(field, self._lists)
            except Open:
                made = None
            found = self._name_sets[id(field)] = (field, made)
        return found[1]

    def _add_gates(self, shape: Shape) -> None:
        rule = shape.rule
        shape.sides[STATE] = points([at for at, state in enumerate(STATES) if not gate(rule, state)])
        came_in = rule.field("src_iface")
        blocks = self._ruleset.blocks(rule)
        shape.sides[CAME_IN] = ((0, 1),) if blocks and came_in is not None else ((0, 0),)
        if blocks and not rule.blocks_router_itself:
            shape.sides["src_iface"] = subtract(shape.sides.get("src_iface", everything("src_iface")), self._router)

    def _boxes(self, shape: Shape) -> list[Box]:
        ordinary = dict(shape.sides)
        ordinary[CAME_IN] = ((0, 0),)
        ordinary.setdefault("src_iface", everything("src_iface"))
        ordinary.setdefault("family", everything("family"))
        for name, names in shape.names.items():
            ordinary[name] = names.left
        found = self._by_family(ordinary)
        if shape.sides[CAME_IN] == ((0, 1),):
            brought_in = dict(ordinary)
            brought_in[CAME_IN] = ((1, 1),)
            brought_in["src_iface"] = intersect(ordinary["src_iface"], self._uplinks)
            found += self._by_family(brought_in)
        return found

    def _by_family(self, box: Box) -> list[Box]:
        """One box per family where addresses are matched: both are of the connection's family."""
        given = [name for name in ADDRESSES if name in box]
        if not given:
            return [box]
        found = []
        for family in (V4, V6):
            part = dict(box)
            part["family"] = intersect(box["family"], ((family, family),))
            for name in given:
                part[name] = self._of_family(name, box[name], family)
            found.append(part)
        return found

    def _of_family(self, name: str, side: Side, family: int) -> Side:
        """The addresses of one family. Remembered: a list of thousands stands in many rules."""
        key = (name, id(side), family)
        found = self._parts.get(key)
        if found is None:
            part = intersect(side, EVERY[family])
            if name == "dest_addr":
                part = subtract(part, NEVER_STEERED)
            found = self._parts[key] = (side, part)
        return found[1]

    def _outcome(self, rule: Rule) -> tuple[bool, tuple[str, ...]]:
        action = rule.action
        if action.kind not in ROUTES or action.on_fail != "next" or any(map(self._is_always_up, action.targets)):
            return True, ()
        return False, tuple(sorted(set(action.targets)))

    def _is_always_up(self, name: str) -> bool:
        outbound = self._ruleset.outbound(name)
        return name in BUILT_IN_OUTBOUNDS or (outbound is not None and outbound.type in (DIRECT, BLOCK))


def side_of(shape: Shape, name: str) -> Side:
    """The side of the rule in that dimension; everything where it does not have the field."""
    side = shape.sides.get(name)
    return side if side is not None else everything(name)
