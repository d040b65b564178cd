"""Which rules above a rule match everything that it matches: one of them, or several together.

Exact: a fragment of what the rule matches is taken, a rule above that holds one point of it is
looked up, cut out of it, and so on until nothing is left or a point that no rule holds is found.
Never guesses: when the work exceeds the budget there is no answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

from netpolicy.config.analysis_index import NameIndex, SideIndex, ascending
from netpolicy.config.analysis_shape import FAMILY_BIT, Box, Shape, side_of
from netpolicy.config.analysis_side import Side, holds, points, within
from netpolicy.core.field import FIELD_ORDER, LEARNED_FIELDS
from netpolicy.core.ranges import intersect, subtract

FEW = 8  # so many rules are looked at one by one

MOST_PARTS = 200  # rules that cover another one together
STEPS_PER_RULE = 50_000
STEPS = 8_000_000  # for all rules; a step is one comparison of two ranges, some seconds in all

Point = dict[str, int]


class Exhausted(Exception):
    """The work was more than the budget."""


class Budget:
    """Steps for all rules, and for each one."""

    def __init__(self, steps: int = STEPS, per_rule: int = STEPS_PER_RULE) -> None:
        self.left = steps
        self._per_rule = per_rule
        self._of_rule = per_rule

    def begin(self) -> None:
        """The next rule. Raises Exhausted when nothing is left at all."""
        self._of_rule = self._per_rule
        if self.left <= 0:
            raise Exhausted

    def spend(self, steps: int) -> None:
        """Raises Exhausted."""
        self.left -= steps
        self._of_rule -= steps
        if self.left < 0 or self._of_rule < 0:
            raise Exhausted


class Covers:
    """The rules that can cover others, by the fields they have: a cover has no field that the other lacks."""

    def __init__(self, shapes: tuple[Shape, ...], budget: Budget) -> None:
        self._budget = budget
        self._sure: dict[int, _Group] = {}
        self._yielding: dict[tuple[str, ...], dict[int, _Group]] = {}
        self._name_sides: dict[tuple[int, int], tuple[object, object, Side]] = {}
        for shape in shapes:
            if shape.boxes:
                groups = self._sure if shape.is_sure else self._yielding.setdefault(shape.targets, {})
                groups.setdefault(shape.mask, _Group()).shapes.append(shape)

    def of(self, shape: Shape) -> tuple[Shape, ...]:
        """The highest rule above that covers it alone, or several that do together, or (). Raises Exhausted."""
        self._budget.begin()
        fragments = list(shape.boxes)
        if not fragments:
            return ()
        alone = self._alone(shape, _corner(fragments[-1]))
        if alone is not None:
            return (alone,)
        used: dict[int, Shape] = {}
        while fragments:
            fragment = fragments.pop()
            part = self._part(shape, _corner(fragment))
            if part is None or len(used) >= MOST_PARTS:
                return ()
            used[part.rank] = part
            fragments.extend(self._without(fragment, part, shape))
        return tuple(used[rank] for rank in sorted(used))

    def while_up(self, shape: Shape) -> Shape | None:
        """The highest rule above that covers it alone, but only while a line of that rule is up. Raises Exhausted."""
        self._budget.begin()
        found = []
        for groups in self._yielding.values() if shape.boxes else ():
            self._budget.spend(len(groups))
            for mask, group in groups.items():
                if not mask & ~FAMILY_BIT & ~shape.mask:
                    holding = self._holding(group, shape, _corner(shape.boxes[-1]))
                    found += [one for one in islice((one for one in holding if self._covers(one, shape)), 1)]
        return min(found, key=lambda one: one.rank, default=None)

    def _alone(self, shape: Shape, point: Point) -> Shape | None:
        """The highest rule that covers the shape: the first of one group of rules with the same fields."""
        found = []
        for group in self._groups(shape):
            holding = self._holding(group, shape, point)
            found += [one for one in islice((one for one in holding if self._covers(one, shape)), 1)]
        return min(found, key=lambda one: one.rank, default=None)

    def _part(self, shape: Shape, point: Point) -> Shape | None:
        return next((one for group in self._groups(shape) for one in self._holding(group, shape, point)), None)

    def _holding(self, group: _Group, shape: Shape, point: Point) -> Iterator[Shape]:
        """The rules of the group above the shape that match the point, the highest first."""
        for one in group.candidates(shape, point):
            self._budget.spend(len(point))
            if self._is_comparable(one, shape) and all(
                holds(self._side(one, name, shape), number) for name, number in point.items()
            ):
                yield one

    def _groups(self, shape: Shape) -> Iterator[_Group]:
        yielding = self._yielding.get(shape.targets, {}) if not shape.is_sure else {}
        for groups in (self._sure, yielding):
            self._budget.spend(len(groups))
            for mask, group in groups.items():
                if not mask & ~FAMILY_BIT & ~shape.mask:
                    yield group

    @staticmethod
    def _is_comparable(one: Shape, shape: Shape) -> bool:
        return all(shape.opaque.get(name) == values for name, values in one.opaque.items()) and all(
            name in shape.names for name in one.names
        )

    def _side(self, one: Shape, name: str, shape: Shape) -> Side:
        """What `one` admits in that dimension of the shape's boxes; of names: which of the shape's patterns."""
        if name not in LEARNED_FIELDS:
            return side_of(one, name)
        mine, other = shape.names[name], one.names.get(name)
        if other is None:
            return ((0, len(mine.wanted)),)
        key = (id(mine), id(other))
        found = self._name_sides.get(key)
        if found is None:
            self._budget.spend(len(mine.wanted) * other.cost)
            side = points([at for at, atom in enumerate(mine.wanted) if other.covers(atom, mine)])
            found = self._name_sides[key] = (mine, other, side)
        return found[2]

    def _covers(self, one: Shape, shape: Shape) -> bool:
        for box in shape.boxes:
            for name, side in box.items():
                self._budget.spend(len(side))
                if not within(side, self._side(one, name, shape)):
                    return False
        return True

    def _without(self, box: Box, part: Shape, shape: Shape) -> list[Box]:
        """The boxes that are left of a box when what the rule matches is cut out."""
        left = []
        rest = dict(box)
        for name in box:
            side = self._side(part, name, shape)
            self._budget.spend(len(side) + len(rest[name]))
            outside = subtract(rest[name], side)
            if outside:
                piece = dict(rest)
                piece[name] = outside
                left.append(piece)
            rest[name] = intersect(rest[name], side)
        return left


def _corner(box: Box) -> Point:
    return {name: side[0][0] for name, side in box.items()}


class _Group:
    """Rules with the same fields, in rank order."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self._ranks: list[int] = []
        self._by_side: dict[str, SideIndex] = {}
        self._by_name: dict[str, NameIndex] = {}

    def candidates(self, shape: Shape, point: Point) -> Iterator[Shape]:
        """Those above the shape's rank that may match the point."""
        if len(self.shapes) <= FEW:
            for one in self.shapes:
                if one.rank < shape.rank:
                    yield one
            return
        if not self._ranks:
            self._build()
        found = [index.holding(point[name]) for name, index in self._by_side.items() if name in point]
        for name, names in self._by_name.items():
            if name in shape.names:
                found.append(names.holding(shape.names[name].wanted[point[name]]))
        below = bisect_left(self._ranks, shape.rank)
        least = min(found, key=lambda lists: sum(map(len, lists)), default=None)
        for at in range(below) if least is None else ascending(least, below):
            yield self.shapes[at]

    def _build(self) -> None:
        self._ranks = [one.rank for one in self.shapes]
        for name in FIELD_ORDER:
            if all(name in one.sides for one in self.shapes):
                self._by_side[name] = SideIndex([one.sides[name] for one in self.shapes])
            elif all(name in one.names for one in self.shapes):
                self._by_name[name] = NameIndex([one.names[name] for one in self.shapes])
