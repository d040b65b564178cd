"""What a person says of groups at run time: other weights, another order of members.

Never written anywhere and never checked against what is well: it is forgotten by a restart, and a member that is down
is passed over as ever. Asked by service/line_watch.py whenever lines are ordered.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

from netpolicy.core.model import GROUP, Outbound, Ruleset

Said = TypeVar("Said", int, tuple[str, ...])

LEAST_WEIGHT, MOST_WEIGHT = 1, 1000  # as in the configuration


class ByHand:
    """Weights by outbound and orders by group, and the outbounds of a rule set as they are with these."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._orders: dict[str, tuple[str, ...]] = {}
        self._of: Ruleset | None = None
        self._made: Ruleset | None = None

    def check(self, weight: int) -> None:
        """Whether it can be a share. Raises ValueError in words."""
        if weight and not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
            raise ValueError(f"weight: {weight} is not between {LEAST_WEIGHT} and {MOST_WEIGHT} (0: as configured)")

    def weigh(self, name: str, weight: int) -> None:
        """From now on the share of this member; 0: as configured. Raises as `check`."""
        self.check(weight)
        _note(self._weights, name, weight)
        self._of = None

    def order(self, group: Outbound, members: Sequence[object]) -> None:
        """From now on this order; none: as configured. Raises ValueError in words."""
        found = tuple(one for one in members if isinstance(one, str))
        if group.type != GROUP:
            raise ValueError(f"{group.name} is of type {group.type}: only groups have members")
        if members and sorted(found) != sorted(group.member):
            raise ValueError(f"member: name all of {', '.join(group.member)}, each once")
        _note(self._orders, group.name, found)
        self._of = None

    def said(self, outbound: Outbound) -> tuple[int, tuple[str, ...]]:
        """Weight and order of members that count now."""
        known = set(outbound.member)
        asked = tuple(one for one in self._orders.get(outbound.name, ()) if one in known)
        order = asked + tuple(one for one in outbound.member if one not in asked)  # a reload may have brought more
        return self._weights.get(outbound.name, outbound.weight), order

    def applied(self, ruleset: Ruleset) -> Ruleset:
        """The outbounds of a rule set as they are to be used; without its rules, unless nothing was said."""
        if not (self._weights or self._orders):
            return ruleset
        if self._of is not ruleset or self._made is None:
            self._of, self._made = ruleset, Ruleset(outbounds=tuple(self._other(one) for one in ruleset.outbounds))
        return self._made

    def _other(self, outbound: Outbound) -> Outbound:
        made = copy.copy(outbound)
        made.weight, made.member = self.said(outbound)
        return made


def _note(kept: dict[str, Said], name: str, value: Said) -> None:
    if value:
        kept[name] = value
    else:
        kept.pop(name, None)
