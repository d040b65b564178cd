"""What a connection may be where conntrack does not show all that rules ask for: certain, or at worst which block.

Pure. Says what `Judge.is_certain` and `Judge.worst` say, without a walk over the rules: only those that ask for
what is hidden can make a difference, and they have an index of their own, without what they ask for.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import combinations
from typing import NamedTuple

from netpolicy.core.facts import Facts
from netpolicy.core.index import Building
from netpolicy.core.index_view import View
from netpolicy.core.model import Rule, Ruleset
from netpolicy.service.judge import Fate, Judge

Hidden = tuple[str, ...]


class _Asking(NamedTuple):
    """The rules that ask for something hidden, as if they did not: all of them, and those that refuse."""

    all: View
    refusing: View


class Doubt:
    """One judge's. Built in O(rules) where a rule asks for what conntrack does not show, else at no cost."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._hideable = judge.hidden(Facts())
        ranked = judge.compiled.enforced.ranked if self._hideable else ()
        self._ranks = {rule.name: rank for rank, rule in enumerate(ranked)}
        self._asking: dict[Hidden, _Asking] = {}

    def steps(self) -> Generator[None, None, None]:
        """Prepares for thousands of questions; between two steps the caller may do something else."""
        for length in range(1, len(self._hideable) + 1):
            for hidden in combinations(self._hideable, length):
                yield from self._prepare(hidden)

    def is_certain(self, facts: Facts, fate: Fate) -> bool:
        """Whether the fate is the same whatever the hidden facts are."""
        hidden = self._judge.hidden(facts)
        if not hidden:
            return True
        other = self._fate(self._of(hidden).all, facts)
        return other is None or other == fate or not self._is_before(other, fate)

    def worst(self, facts: Facts) -> Fate:
        """The fate if the hidden facts are such as a rule blocks, where they may be."""
        fate = self._judge.fate(facts)
        hidden = self._judge.hidden(facts)
        other = self._fate(self._of(hidden).refusing, facts) if hidden else None
        return other if other is not None and self._is_before(other, fate) else fate

    def _is_before(self, other: Fate, fate: Fate) -> bool:
        assert other.rule is not None
        return fate.rule is None or self._ranks[other.rule] < self._ranks[fate.rule]

    def _fate(self, view: View, facts: Facts) -> Fate | None:
        facts.schedule = self._judge.compiled.active
        choice = view.decide(facts)
        if choice.rule is None:
            return None
        return Fate(choice.rule.name, choice.rule.action.kind, self._judge.number(choice, facts))

    def _of(self, hidden: Hidden) -> _Asking:
        if hidden not in self._asking:
            for _ in self._prepare(hidden):
                pass
        return self._asking[hidden]

    def _prepare(self, hidden: Hidden) -> Generator[None, None, None]:
        compiled = self._judge.compiled
        blocked = {rule.name for rule, number in compiled.policy.entries.pairs() if self._judge.blocks(number)}
        rules = list(self._without(hidden))
        yield
        everything = yield from self._view(rules)
        refusing = yield from self._view([rule for rule in rules if rule.name in blocked])
        self._asking[hidden] = _Asking(everything, refusing)

    def _without(self, hidden: Hidden) -> Iterator[Rule]:
        """Such rules without the hidden fields; the priority says their rank, which went by those fields too."""
        for rank, rule in enumerate(self._judge.compiled.enforced.ranked):
            if any(map(rule.field, hidden)):
                fields = tuple([field for field in rule.fields if field.name not in hidden])
                yield Rule(rule.name, -rank, fields, rule.action, rule.when, rule.disable, rule.enabled)

    def _view(self, rules: list[Rule]) -> Generator[None, None, View]:
        compiled = self._judge.compiled
        building = Building(Ruleset(tuple(rules), compiled.enforced.outbounds, compiled.enforced.settings))
        yield from building.steps()
        assert building.index is not None
        return building.index.view(compiled.state, compiled.world)
