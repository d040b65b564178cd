"""How the rules of one apply decide an open connection, down to the class that the kernel gives it.

Pure. The one place of the service that asks the core about live connections. Never guesses: where
conntrack does not show what a rule asks for, it says what is certain and what may be.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from netpolicy.core.evaluate import Decision, decide
from netpolicy.core.facts import Facts
from netpolicy.core.field import LEARNED_FIELDS
from netpolicy.core.field_kind import Written
from netpolicy.core.index import Building
from netpolicy.core.index_view import Choice, View
from netpolicy.core.model import BLOCK, DIRECT, ROUTER_ITSELF, Rule, Ruleset
from netpolicy.dataplane import own_tunnels
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import DIRECT_CLASS
from netpolicy.service.compile import Compiled
from netpolicy.service.indexes import Indexes
from netpolicy.service.learned_addresses import UNSETTLED

MAC = "src_mac"
UDP = 17

# Facts of a first packet that no entry of conntrack keeps. A neighbour may tell the MAC address, and the sets of
# names which of them the address was in.
HIDDEN = (MAC, "dscp", *LEARNED_FIELDS)


class Fate(NamedTuple):
    """What became of a connection: the deciding rule (None: none), the kind of its action ("": none), the class."""

    rule: str | None
    kind: str
    number: int


class Judge:
    """One compiled policy, asked. Built in O(rules), asked in what a decision costs."""

    def __init__(self, compiled: Compiled, indexes: Indexes | None = None) -> None:
        policy = compiled.policy
        self.marks: Marks = policy.marks
        self.ingress = {number: device for device, number in reversed(policy.ingress)}  # class: device
        self.skips_marks = bool(policy.skip_marks)
        self.compiled = compiled
        self._by_rule = {rule.name: number for rule, number in policy.entries.pairs()}
        self._lines = {line.name: line.number for line in policy.lines}
        self._default = policy.default_forwarded
        self._shares = {share.number: share.classes for share in policy.shares}
        self._state = compiled.state
        asked = {field.name for rule in compiled.enforced.rules for field in rule.fields}
        self._asked = tuple(name for name in HIDDEN if name in asked)
        self._indexes = indexes
        self._prepared: View | None = None
        self._loose: dict[tuple[str, ...], Ruleset] = {}
        self._loose_blocks: dict[tuple[str, ...], Ruleset] = {}

    def steps(self) -> Generator[None, None, None]:
        """Prepares for thousands of questions; between two steps the caller may do something else. O(rules).

        Takes a kilobyte for a rule: let go of the judge when all is asked.
        """
        if self._prepared is not None:
            return
        building = Building(self.compiled.enforced)
        yield from building.steps()
        assert building.index is not None
        self._prepared = building.index.view(self._state, self.compiled.world)

    def decide(self, facts: Facts) -> Decision | Choice:
        """The decision by the rules that the kernel follows; with its reasons where nothing was prepared."""
        if self._prepared is None and self._indexes is not None:
            index = self._indexes.of(self.compiled.enforced)
            self._prepared = index.view(self._state, self.compiled.world) if index is not None else None
        if self._prepared is None:
            return self._decide(self.compiled.enforced, facts)
        facts.schedule = self.compiled.active
        return self._prepared.decide(facts)

    def is_of(self, number: int, wanted: int) -> bool:
        """Whether a connection of class `number` is where `wanted` has it: a class, or one of those of a share."""
        return number in self._shares.get(wanted, (wanted,))

    def class_of(self, wanted: int) -> int:
        """One class for a connection that has none of them."""
        return self._shares.get(wanted, (wanted,))[0]

    def number(self, decision: Decision | Choice, facts: Facts | None = None) -> int:
        """The class, or the share of several, that the kernel gives a connection with this decision."""
        if facts is not None and self._is_spared(decision, facts):
            return DIRECT_CLASS
        if decision.rule is not None:
            return self._by_rule[decision.rule.name]
        goes = self.compiled.enforced.outbound(decision.outbound)
        if goes is None or goes.type == BLOCK:
            return self.marks.reject
        found = DIRECT_CLASS if goes.type == DIRECT else self._lines.get(goes.name, DIRECT_CLASS)
        return self._default if found in self._shares.get(self._default, ()) else found

    def _is_spared(self, decision: Decision | Choice, facts: Facts) -> bool:
        """Whether it is a tunnel's own, which does not follow what leads to that tunnel."""
        policy = self.compiled.policy
        if not policy.tunnels or facts.src_iface != ROUTER_ITSELF or facts.proto != UDP or facts.src_port is None:
            return False
        return own_tunnels.is_spared(policy, decision.rule.name if decision.rule else None, facts.src_port)

    def fate(self, facts: Facts) -> Fate:
        """What the rules make of a connection with these facts."""
        return self._fate(self.decide(facts), facts)

    def blocks(self, number: int) -> bool:
        """Whether the class is one of those that do not pass."""
        return number in (self.marks.drop, self.marks.reject)

    def hidden(self, facts: Facts) -> tuple[str, ...]:
        """What some rule asks for that is not known of this connection."""
        own = facts.src_iface == ROUTER_ITSELF  # its packets have no sender's MAC address
        return tuple([name for name in self._asked if _is_hidden(getattr(facts, name)) and not (own and name == MAC)])

    def is_certain(self, facts: Facts, fate: Fate) -> bool:
        """Whether the fate is the same whatever the hidden facts are."""
        hidden = self.hidden(facts)
        if not hidden:
            return True
        if hidden not in self._loose:
            self._loose[hidden] = self._with([_without(rule, hidden) for rule in self.compiled.enforced.ranked])
        return self._fate(self._decide(self._loose[hidden], facts), facts) == fate

    def worst(self, facts: Facts) -> Fate:
        """The fate if the hidden facts are such as a rule blocks, where they may be."""
        hidden = self.hidden(facts)
        if hidden not in self._loose_blocks:
            ranked = self.compiled.enforced.ranked
            rules = [rule for rule in ranked if self._refuses(rule) or not any(map(rule.field, hidden))]
            self._loose_blocks[hidden] = self._with([_without(rule, hidden) for rule in rules])
        return self._fate(self._decide(self._loose_blocks[hidden], facts), facts)

    def _refuses(self, rule: Rule) -> bool:
        return self.blocks(self._by_rule.get(rule.name, DIRECT_CLASS))

    def _decide(self, rules: Ruleset, facts: Facts) -> Decision:
        facts.schedule = self.compiled.active  # as it was when these rules were made
        return decide(rules, facts, self._state, self.compiled.world)

    def _fate(self, made: Decision | Choice, facts: Facts) -> Fate:
        if made.rule is None:
            return Fate(None, "", self.number(made, facts))
        return Fate(made.rule.name, made.rule.action.kind, self.number(made, facts))

    def _with(self, rules: list[Rule]) -> Ruleset:
        return Ruleset(tuple(rules), self.compiled.enforced.outbounds, self.compiled.enforced.settings)


def _is_hidden(fact: object) -> bool:
    return fact is None or (isinstance(fact, frozenset) and UNSETTLED in fact)


class _Anything(Written):
    """In the place of a field whose fact is not known: the rank of the rule stays what it is."""

    __slots__ = ()

    def matches(self, fact: object) -> bool:
        return True


def _without(rule: Rule, names: tuple[str, ...]) -> Rule:
    if not any(map(rule.field, names)):
        return rule
    fields = tuple([_Anything(one.name, one.values) if one.name in names else one for one in rule.fields])
    return Rule(rule.name, rule.priority, fields, rule.action, rule.when, rule.disable, rule.enabled)
