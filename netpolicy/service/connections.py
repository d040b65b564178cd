"""The live connections: where the kernel sent each, and which rule that was.

The class comes from the conntrack mark, so the outbound is what really happened; the rule
is decided again, and a class that disagrees is counted and shown, never hidden.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from netpolicy.core.evaluate import Decision, decide
from netpolicy.core.facts import Facts
from netpolicy.core.model import BLOCK, DIRECT, ROUTER_ITSELF
from netpolicy.core.packet import PROTOCOL_NAMES
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.model import Flow, FlowKey
from netpolicy.flows.table import FlowTable
from netpolicy.service.compile import Compiled
from netpolicy.service.engine import Engine
from netpolicy.service.facts import Surroundings

PAGE_LIMIT = 500

# Of each second, how long flows are decided at their beginning, and of each page, how long those
# that were not: the loop has other things to do, and a decision takes longer the more rules there are.
JUDGING_SECONDS = 0.05
PAGE_SECONDS = 0.02


class Judgement:
    """What the engine says of a flow: the rule's name or None, and whether the kernel agrees (None: cannot tell)."""

    __slots__ = ("agrees", "rule")

    def __init__(self, rule: str | None, agrees: bool | None) -> None:
        self.rule = rule
        self.agrees = agrees


class Connections:
    """The flow table with a judgement per flow. `note_new` is called for each flow as it begins."""

    def __init__(self, engine: Engine, table: FlowTable, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._stopwatch = stopwatch
        self._engine = engine
        self._table = table
        self._judged: dict[FlowKey, Judgement] = {}
        self._spent = 0.0
        self._second = 0
        self._neighbours_second = -1
        self._around: Surroundings | None = None
        self._around_of: object = None
        self.disagreements = 0

    def note_new(self, flow: Flow, now: float) -> Decision | None:
        """Decides a flow at its beginning, while the rules are those that the kernel used. None beyond the budget."""
        if int(now) != self._second:
            self._second, self._spent = int(now), 0.0
        if self._spent > JUDGING_SECONDS or not self._is_judgeable(flow):
            return None
        begin = self._stopwatch()
        decision = self._decide_new(flow)
        self._spent += self._stopwatch() - begin
        return decision

    def _decide_new(self, flow: Flow) -> Decision:
        decision, judgement = self._judge(flow, self._engine.enforced)
        # It may have begun just before the rules changed, or while they do: then others decided it.
        for others in (self._engine.enforced_before, self._engine.compiled):
            if judgement.agrees is False and others is not None:
                other_decision, by_others = self._judge(flow, others)
                if by_others.agrees:
                    decision, judgement = other_decision, by_others
        if judgement.agrees is False:
            self.disagreements += 1
            self._engine.log.add("warning", "flow", f"{_describe(flow)}: the kernel chose {self._outbound(flow)}, "
                                                    f"the rules say {decision.outbound}")  # fmt: skip
        self._judged[flow.key] = judgement
        return decision

    def note_gone(self, flow: Flow) -> None:
        """The flow ended."""
        self._judged.pop(flow.key, None)

    def forget_ended(self) -> None:
        """The whole table was read: judgements of flows that ended unheard go."""
        self._judged = {key: found for key, found in self._judged.items() if self._table.get(key) is not None}

    def document(self, limit: int, offset: int, text: str) -> dict[str, Any]:
        """A page of connections, newest first, of those whose line contains the text."""
        limit = min(max(limit, 0), PAGE_LIMIT)
        offset = max(offset, 0)
        page, total = [], 0
        until = self._stopwatch() + PAGE_SECONDS
        for flow in self._table:
            if text and text not in _describe(flow) and text not in self._outbound(flow):
                continue
            if offset <= total < offset + limit:
                page.append(self._line(flow, until))
            total += 1
        return {"total": total, "disagreements": self.disagreements, "connections": page}

    def _line(self, flow: Flow, until: float) -> dict[str, Any]:
        judgement = self._judged.get(flow.key)
        if judgement is None and self._is_judgeable(flow) and self._stopwatch() < until:
            # It began under other rules, perhaps: a difference says nothing now.
            _, judgement = self._judge(flow, self._engine.enforced)
            judgement = Judgement(judgement.rule if judgement.agrees else None, judgement.agrees or None)
            self._judged[flow.key] = judgement
        return {
            "id": flow.id,
            "family": flow.family,
            "protocol": PROTOCOL_NAMES.get(flow.protocol, str(flow.protocol)),
            "src": flow.source,
            "src_port": flow.source_port,
            "dest": flow.destination,
            "dest_port": flow.destination_port,
            "rule": judgement.rule if judgement else None,
            "outbound": self._outbound(flow),
            "class": self._marks.number(flow.mark),
            "agrees": judgement.agrees if judgement else None,
            "bytes": flow.bytes,
            "packets": flow.packets,
            "state": flow.state,
        }

    @property
    def _marks(self) -> Marks:
        return Marks(self._engine.settings.fwmark_mask)

    def _is_judgeable(self, flow: Flow) -> bool:
        return self._engine.enforced is not None and self._marks.is_done(flow.mark)

    def _outbound(self, flow: Flow) -> str:
        """Where the kernel sent it, by the class in its mark."""
        marks = self._marks
        number = marks.number(flow.mark)
        if number == 0:
            return DIRECT
        if number in (marks.drop, marks.reject):
            return BLOCK
        for name, known in self._engine.numbers.items():
            if known == number:
                return name
        return f"class {number}"

    def _judge(self, flow: Flow, compiled: Compiled | None) -> tuple[Decision, Judgement]:
        """Decides the flow by the rules that the kernel had, and compares."""
        engine = self._engine
        assert compiled is not None
        facts = self._facts(flow, compiled.wants_mac)
        decision = decide(compiled.enforced, facts, engine.state, compiled.world)
        goes = compiled.enforced.outbound(decision.outbound)
        expected = goes.type if goes is not None and goes.type in (DIRECT, BLOCK) else decision.outbound
        if expected != self._outbound(flow) and _is_blind(facts, compiled.wants_mac):
            return decision, Judgement(None, None)
        rule = decision.rule.name if decision.rule else None
        return decision, Judgement(rule, expected == self._outbound(flow))

    def _facts(self, flow: Flow, wants_mac: bool) -> Facts:
        """The facts of a flow; a client that is not in the neighbour table yet is looked up again, once a second."""
        facts = self._surroundings().facts(flow)
        if wants_mac and _lacks_mac(facts) and self._neighbours_second != self._second:
            self._neighbours_second = self._second
            self._around = None
            facts = self._surroundings().facts(flow)
        return facts

    def _surroundings(self) -> Surroundings:
        """Neighbours change often and matter for MAC rules only: read again with each new view of the network."""
        if self._around is None or self._around_of is not self._engine.view:
            try:
                neighbours = self._engine.netlink.neighbours()
            except NetlinkError:
                neighbours = ()
            self._around = Surroundings(self._engine.view, neighbours)
            self._around_of = self._engine.view
        return self._around


def _is_blind(facts: Facts, wants_mac: bool) -> bool:
    """Whether the kernel saw something of the packet that cannot be told from here."""
    return facts.src_iface is None or (wants_mac and _lacks_mac(facts))


def _lacks_mac(facts: Facts) -> bool:
    return facts.src_mac is None and facts.src_iface != ROUTER_ITSELF


def _describe(flow: Flow) -> str:
    protocol = PROTOCOL_NAMES.get(flow.protocol, str(flow.protocol))
    return f"{protocol} {flow.source}:{flow.source_port} → {flow.destination}:{flow.destination_port}"
