"""Which open connections an apply concerns: those that a block now cuts and those that `switch_route` moves.

Pure. Takes the rules before and after, and one connection at a time. A plain `route` concerns new
connections only (docs/rules.md), and what is in doubt stays, unless the doubt is whether it is blocked.
"""

from __future__ import annotations

from collections.abc import Generator

from netpolicy.core.facts import Facts
from netpolicy.core.model import ROUTER_ITSELF, SWITCH_ROUTE
from netpolicy.dataplane.policy import DIRECT_CLASS, Policy
from netpolicy.flows.model import Flow
from netpolicy.service.compile import Compiled
from netpolicy.service.judge import Fate, Judge

# States of TCP, SCTP and DCCP in which nothing is carried any more.
ENDED = ("TIME_WAIT", "CLOSE", "CLOSED", "TIMEWAIT")


class Affected:
    """The difference between two policies, for connections that are open. `before` None: what was is not known."""

    def __init__(self, before: Compiled | None, after: Compiled) -> None:
        self._before = Judge(before) if before is not None else None
        self._after = Judge(after)
        self.marks = self._after.marks

    def steps(self) -> Generator[None, None, None]:
        """Prepares for a whole table of connections; between two steps the caller may do something else."""
        for judge in (self._before, self._after):
            if judge is not None:
                yield from judge.steps()

    def fate(self, flow: Flow, facts: Facts) -> Fate | None:
        """What becomes of the flow when it is decided again; None where it stays as it is."""
        number = self._number(flow, facts)
        if flow.state in ENDED or number is None or self._after.blocks(number):
            return None
        if facts.src_iface is None:
            facts.src_iface = self._after.ingress.get(number)  # from outside, and the class tells by which line
            if facts.src_iface is None:
                return None  # a block of what comes in names a device: without one it would be a guess
        after = self._after.fate(facts)
        if not self._after.is_certain(facts, after):
            return self._in_doubt(facts)
        if after.number == number:
            return None
        return after if self._is_moved(flow, facts, number, after) else None

    def _number(self, flow: Flow, facts: Facts) -> int | None:
        """The class that the flow has now; None where it is none of ours."""
        number = self.marks.number(flow.mark)
        if self.marks.is_done(flow.mark):
            return number if number != self.marks.bypass else None
        if facts.src_iface in (None, ROUTER_ITSELF) or self._after.skips_marks:
            return None  # a socket or a packet that its owner has marked: we never look at those
        return DIRECT_CLASS  # older than our table, which leaves such connections on the way they have

    def _is_moved(self, flow: Flow, facts: Facts, number: int, after: Fate) -> bool:
        before = self._before.fate(facts) if self._before is not None else None
        if before == after:
            return False  # this apply changed nothing for it: it is older than the rule
        if self._after.blocks(after.number):
            return True
        if not self.marks.is_done(flow.mark):
            return False
        if after.kind == SWITCH_ROUTE:
            return True
        # Gone, or a plain route from now on: what it had moved follows the rules that are left.
        return before is not None and before.kind == SWITCH_ROUTE and before.number == number

    def _in_doubt(self, facts: Facts) -> Fate | None:
        """Decided again where a block may be meant: the kernel sees what conntrack does not show."""
        worst = self._after.worst(facts)
        if not self._after.blocks(worst.number):
            return None
        if self._before is not None and self._before.worst(facts) == worst:
            return None
        return worst


def can_affect(before: Policy | None, after: Policy) -> bool:
    """Whether there can be such connections at all; most changes are of plain routes. O(rules)."""
    if before == after:
        return False
    blocked = (after.marks.drop, after.marks.reject)
    if after.default_forwarded in blocked or any(
        entry.number in blocked or entry.rule.action.kind == SWITCH_ROUTE for entry in after.entries
    ):
        return True
    return before is not None and any(entry.rule.action.kind == SWITCH_ROUTE for entry in before.entries)


def moved_classes(before: Policy, after: Policy) -> list[int]:
    """The classes whose outbound leads elsewhere now: their connections have the addresses of the way before."""
    ways = {line.number: (line.device, line.foreign_table) for line in after.lines}
    return [
        line.number
        for line in before.lines
        if (line.device or line.foreign_table)
        and ways.get(line.number) not in (None, (line.device, line.foreign_table))
    ]
