"""Which open connections a change of rules concerns: those that a block now cuts and those that `switch_route` moves.

Pure. Takes the policies since a connection may have got its class, and one connection at a time. A plain `route`
concerns new connections only (docs/rules.md), and those of a sealed line that may have begun without any rules. What
is in doubt stays, unless the doubt is whether it is blocked.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise

from netpolicy.core.facts import Facts
from netpolicy.core.model import ROUTER_ITSELF, SWITCH_ROUTE, Rule
from netpolicy.dataplane.policy import DIRECT_CLASS, Policy
from netpolicy.flows.model import Flow
from netpolicy.service.compile import Compiled
from netpolicy.service.difference import Touched, changed_rules
from netpolicy.service.doubt import Doubt
from netpolicy.service.indexes import Indexes
from netpolicy.service.judge import Fate, Judge

# States of TCP, SCTP and DCCP in which nothing is carried any more.
ENDED = ("TIME_WAIT", "CLOSE", "CLOSED", "TIMEWAIT")


class Affected:
    """The way from one policy to the last one, for connections that are open.

    The first one None: what was in force is not known. With more than two the outcome is that of one apply after the
    other, each with all its connections decided again before the next, whichever of them a connection has seen: its
    class says where it is, and a class that is right already changes nothing. But a block that came and went in
    between cuts nothing.
    """

    def __init__(self, *policies: Compiled | None, indexes: Indexes | None = None) -> None:
        self._opinions = [_Opinion(one, indexes) if one is not None else None for one in policies]
        last = self._opinions[-1]
        assert last is not None
        self._last = last
        self._touched = _touched(policies)
        self.marks = last.judge.marks

    @property
    def asks_source_port(self) -> bool:
        """Whether two connections that differ in nothing but their source port may be decided differently."""
        return any(one is not None and one.asks_source_port for one in self._opinions)

    def steps(self) -> Generator[None, None, None]:
        """Prepares for a whole table of connections; between two steps the caller may do something else."""
        if self._touched is not None:
            yield from self._touched.steps()
        for opinion in self._opinions:
            if opinion is not None:
                yield from opinion.steps()

    def fate(self, flow: Flow, facts: Facts) -> Fate | None:
        """What becomes of the flow when it is decided again; None where it stays as it is."""
        judge = self._last.judge
        number = self._number(flow, facts)
        if flow.state in ENDED or number is None or judge.blocks(number):
            return None
        if facts.src_iface is None:
            facts.src_iface = judge.ingress.get(number)  # from outside, and the class tells by which line
            if facts.src_iface is None:
                return None  # a block of what comes in names a device: without one it would be a guess
        if self._touched is not None and not self._touched.may_meet(facts):
            return None
        return self._walk(facts, number, self.marks.is_done(flow.mark))

    def _walk(self, facts: Facts, number: int, is_done: bool) -> Fate | None:
        """From policy to policy: where each would have sent it, had it been decided again as each came."""
        if self._last.leaves(facts, number):
            return None
        at, made = number, None
        for before, after in pairwise(self._opinions):
            assert after is not None
            if at != number and after.judge.blocks(at):
                worst = after.doubt.worst(facts)
                if after.judge.blocks(worst.number):
                    at, made = worst.number, worst
                    continue
                at, made = number, None  # cut by a block that is gone: it was not reached in time, and lives
            found = _moved(before, after, facts, at, is_done)
            if found is not None:
                at, made = found.number, found
        return made if at != number else None

    def _number(self, flow: Flow, facts: Facts) -> int | None:
        """The class that the flow has now; None where it is none of ours."""
        number = self.marks.number(flow.mark)
        if self.marks.is_done(flow.mark):
            return number if number != self.marks.bypass else None
        if facts.src_iface in (None, ROUTER_ITSELF) or self._last.judge.skips_marks:
            return None  # a socket or a packet that its owner has marked: we never look at those
        return DIRECT_CLASS  # older than our table, which leaves such connections on the way they have


class _Opinion:
    """What one policy says of connections."""

    def __init__(self, compiled: Compiled, indexes: Indexes | None) -> None:
        self.judge = Judge(compiled, indexes)
        self.doubt = Doubt(self.judge)
        self.sealed = _sealed(compiled.policy)
        asked = (rule.field("src_port") is not None for rule in compiled.enforced.rules)
        self.asks_source_port = bool(compiled.policy.tunnels) or any(asked)
        self._indexes = indexes

    def steps(self) -> Generator[None, None, None]:
        # The rules in force have an index already; of one that was given up we make our own.
        if self._indexes is None or self._indexes.of(self.judge.compiled.enforced) is None:
            yield from self.judge.steps()
        yield from self.doubt.steps()

    def leaves(self, facts: Facts, number: int) -> bool:
        """Whether a flow of this class would get it once more."""
        fate = self.judge.fate(facts)
        return self.judge.is_of(number, fate.number) and self.doubt.is_certain(facts, fate)


def _moved(before: _Opinion | None, after: _Opinion, facts: Facts, number: int, is_done: bool) -> Fate | None:
    """Where one apply takes a flow of this class, None where it leaves it."""
    fate = after.judge.fate(facts)
    if not after.doubt.is_certain(facts, fate):
        return _in_doubt(before, after, facts)
    if after.judge.is_of(number, fate.number):
        return None
    was = before.judge.fate(facts) if before is not None else None
    is_left = before is not None and was is not None and before.judge.is_of(number, was.number)
    if was == fate and not is_left:
        return None  # this apply changed nothing for it: it is older than the rule
    if after.judge.blocks(fate.number):
        return fate
    if not is_done:
        return None
    if before is None and number == DIRECT_CLASS and fate.number in after.sealed:
        return fate  # it may have begun without our table, and what is sealed leaves by its own line alone
    # By the rule that moves, or by those that are left when such a rule is gone, or is a plain route from now on.
    is_moved = fate.kind == SWITCH_ROUTE
    if before is not None and was is not None and was.kind == SWITCH_ROUTE:
        is_moved = is_moved or is_left
    return fate if is_moved else None


def _in_doubt(before: _Opinion | None, after: _Opinion, facts: Facts) -> Fate | None:
    """Decided again where a block may be meant: the kernel sees what conntrack does not show."""
    worst = after.doubt.worst(facts)
    if not after.judge.blocks(worst.number):
        return None
    if before is not None and before.doubt.worst(facts) == worst:
        return None
    return worst


def _touched(policies: tuple[Compiled | None, ...]) -> Touched | None:
    """What can be concerned at all; None where that may be anything."""
    rules: list[Rule] = []
    for before, after in pairwise(policies):
        assert after is not None
        changed = changed_rules(before, after)
        if changed is None:
            return None
        rules += changed
    return Touched(rules)


def can_affect(before: Policy | None, after: Policy) -> bool:
    """Whether there can be such connections at all; most changes are of plain routes. O(rules)."""
    if before == after:
        return False
    blocked = (after.marks.drop, after.marks.reject)
    if after.default_forwarded in blocked or any(
        number in blocked or rule.action.kind == SWITCH_ROUTE for rule, number in after.entries.pairs()
    ):
        return True
    if before is None:
        return bool(_sealed(after))
    return any(rule.action.kind == SWITCH_ROUTE for rule in before.entries.rules)


def _sealed(policy: Policy) -> set[int]:
    """What rules give, lines and shares, of which something must not leave by another line."""
    lines = {line.number for line in policy.lines if line.sealed}
    return lines | {share.number for share in policy.shares if not lines.isdisjoint(share.classes)}


def ended_limits(before: Policy, after: Policy) -> dict[int, int]:
    """The classes of limits that no rule gives any more while they stand, as when a schedule closes: those of the ways.

    Their connections go on by it, without the limit. A rule that leads elsewhere ends none. O(rules), where there are
    limits.
    """
    if not after.limits or (before.entries is after.entries and before.shares == after.shares):
        return {}
    given, still = _given(before), _given(after)
    ended = [one for one in after.limits if not given.isdisjoint(one.numbers) and still.isdisjoint(one.numbers)]
    ways = {line.number: line.home for line in after.lines}
    return {number: ways.get(number, DIRECT_CLASS) for limit in ended for number in limit.numbers}


def _given(policy: Policy) -> set[int]:
    """The classes that some rule gives."""
    shares = {share.number: share.classes for share in policy.shares}
    numbers = {number for _, number in policy.entries.pairs()}
    return {number for one in numbers for number in shares.get(one, (one,))}


def moved_classes(before: Policy, after: Policy) -> list[int]:
    """The classes whose outbound leads elsewhere now: their connections have the addresses of the way before."""
    ways = {line.number: (line.device, line.foreign_table) for line in after.lines}
    return [
        line.number
        for line in before.lines
        if (line.device or line.foreign_table)
        and ways.get(line.number) not in (None, (line.device, line.foreign_table))
    ]
