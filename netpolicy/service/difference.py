"""The rules in which two policies differ: what meets none of them is decided by both alike.

Pure. Never leaves a rule out: what may touch every connection (a default, the way in, an order) is said as such.
Rules that a reload left as they are go on being the same objects, so that who compares sees it at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from netpolicy.core.facts import Facts
from netpolicy.core.field_kind import Field
from netpolicy.core.index import Building
from netpolicy.core.index_view import View
from netpolicy.core.model import DIRECT, ROUTE, Action, Rule, Ruleset
from netpolicy.dataplane.policy import Policy
from netpolicy.service.compile import Compiled
from netpolicy.service.judge import HIDDEN
from netpolicy.service.standing import SCHEDULE

# More of them are no short cut any more.
MOST = 1000

# Not asked here: what conntrack does not show may be anything, and a rule that stands has its schedule open.
LEFT_OUT = (*HIDDEN, SCHEDULE)


class Touched:
    """The connections that one of the rules may meet."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        action = Action(ROUTE, DIRECT)
        # Numbered: a rule of before and one of now may have the same name.
        self._rules = tuple([Rule(str(number), 0, _loosened(rule), action) for number, rule in enumerate(rules)])
        self._view: View | None = None

    def steps(self) -> Generator[None, None, None]:
        """Prepares; between two steps the caller may do something else."""
        building = Building(Ruleset(self._rules))
        yield from building.steps()
        assert building.index is not None
        self._view = building.index.view()

    def may_meet(self, facts: Facts) -> bool:
        """Whether one of the rules may match. Never False for one that does and is asked."""
        if self._view is None:
            for _ in self.steps():
                pass
        assert self._view is not None
        return self._view.decide(facts).rule is not None


def changed_rules(before: Compiled | None, after: Compiled) -> tuple[Rule, ...] | None:
    """The rules, of before and of now, that do not stand in both alike. None: any connection may be concerned."""
    if before is None or _general(before) != _general(after):
        return None
    old, new = set(before.policy.entries.pairs()), set(after.policy.entries.pairs())
    kept_before = [pair[0] for pair in before.policy.entries.pairs() if pair in new]
    kept_after = [pair[0] for pair in after.policy.entries.pairs() if pair in old]
    if kept_before != kept_after:
        return None
    spread = _other_shares(before.policy, after.policy)
    gone = {rule.name for rule, number in old if number in spread or (rule, number) not in new}
    come = {rule.name for rule, number in new if number in spread or (rule, number) not in old}
    if len(gone) + len(come) > MOST:
        return None
    return _named(before, gone) + _named(after, come)


def _other_shares(before: Policy, after: Policy) -> set[int]:
    """The shares that lead to other classes than they did."""
    old, new = ({one.number: one.classes for one in policy.shares} for policy in (before, after))
    return {number for number, classes in old.items() if new.get(number, classes) != classes}


def _named(compiled: Compiled, names: set[str]) -> tuple[Rule, ...]:
    # Of those that connections meet: told by device, where a rule names an interface of netifd.
    return tuple([rule for rule in compiled.enforced.rules if rule.name in names]) if names else ()


def _general(compiled: Compiled) -> tuple[object, ...]:
    """What decides beside the rules."""
    policy, world = compiled.policy, compiled.world
    return (
        policy.marks, policy.default_forwarded, policy.default_own, policy.ingress, policy.skip_marks,
        policy.device_names, [(line.name, line.number) for line in policy.lines], world.ingress, world.local,
        [(one.name, one.type) for one in compiled.enforced.outbounds], [tunnel.port for tunnel in policy.tunnels],
    )  # fmt: skip


def _loosened(rule: Rule) -> tuple[Field, ...]:
    return tuple([field for field in rule.fields if field.name not in LEFT_OUT])
