"""The live connections: where the kernel sent each, and which rule that was.

The class comes from the conntrack mark, so the outbound is what really happened; the rule
is decided again, and a class that disagrees is counted and shown, never hidden.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from netpolicy.core.evaluate import Decision
from netpolicy.core.facts import Facts
from netpolicy.core.field import LEARNED_FIELDS
from netpolicy.core.index_view import Choice
from netpolicy.core.model import BLOCK, DIRECT, SWITCH_ROUTE
from netpolicy.core.packet import PROTOCOL_NAMES
from netpolicy.core.pairs import line_of
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.model import Flow, FlowKey
from netpolicy.flows.table import FlowTable
from netpolicy.service.anonymous import OPEN, Shade
from netpolicy.service.compile import Compiled
from netpolicy.service.engine import Engine
from netpolicy.service.facts import Surroundings
from netpolicy.service.inspection import Inspection
from netpolicy.service.judge import MAC, Judge

PAGE_LIMIT = 500

# Of each second, how long flows are decided at their beginning, and of each page, how long those
# that were not: the loop has other things to do, and a decision takes longer the more rules there are.
JUDGING_SECONDS = 0.05
PAGE_SECONDS = 0.02


# Of the newest connections so many are looked at where a name was slower than they were.
NEWEST = 500

# What a line of the document rests on: the class in the mark alone, or the rules asked once more as well.
BY_MARK = "mark"
DECIDED_AGAIN = "decided again"


class Judgement:
    """What the rules say of a flow: the rule's name or None, and whether the kernel agrees (None: cannot tell).

    `at` is when that was found, in seconds since the epoch.
    """

    __slots__ = ("agrees", "at", "rule")

    def __init__(self, rule: str | None, agrees: bool | None, at: float) -> None:
        self.rule = rule
        self.agrees = agrees
        self.at = at


class Explained(NamedTuple):
    """One connection, looked at now: `agrees` None where it cannot be told; `first` is the judgement that is kept."""

    flow: Flow
    line: dict[str, Any]
    facts: Facts
    hidden: tuple[str, ...]
    rule: str | None
    is_ours: bool  # a rule of ours has seen it
    agrees: bool | None
    first: Judgement | None


class Connections:
    """The flow table with a judgement per flow. `note_new` is called for each flow as it begins."""

    def __init__(
        self,
        engine: Engine,
        table: FlowTable,
        stopwatch: Callable[[], float] = time.perf_counter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stopwatch = stopwatch
        self._clock = clock
        self._engine = engine
        self._table = table
        self._judged: dict[FlowKey, Judgement] = {}
        self._judges: list[Judge] = []
        self._spent = 0.0
        self._second = 0
        self._neighbours_second = -1
        self._around: Surroundings | None = None
        self._around_of: object = None
        self.disagreements = 0
        self.inspection: Inspection | None = None  # what else is known of connections

    def note_new(self, flow: Flow, now: float) -> Decision | Choice | None:
        """Decides a flow at its beginning, while the rules are those that the kernel used. None beyond the budget."""
        original = self._engine.release.original(flow)
        if original is not None and self._set_right(flow, original):
            return None
        if int(now) != self._second:
            self._second, self._spent = int(now), 0.0
        if self._spent > JUDGING_SECONDS or not self._is_judgeable(flow):
            return None
        begin = self._stopwatch()
        decision = self._decide_new(flow)
        self._spent += self._stopwatch() - begin
        return decision

    def _set_right(self, flow: Flow, original: Flow) -> bool:
        """A connection that was forgotten came back the wrong way round: it gets what its right way round would."""
        judge = self._judge_of(self._engine.enforced)
        if judge is None:
            return False
        facts = self._facts(original, judge)
        fate = judge.fate(facts)
        if not judge.is_certain(facts, fate) or not (fate.kind == SWITCH_ROUTE or judge.blocks(fate.number)):
            return False
        self._engine.release.give(flow, judge.class_of(fate.number), judge.marks)
        self._judged[flow.key] = Judgement(fate.rule, True, self._clock())
        return True

    def _decide_new(self, flow: Flow) -> Decision | Choice:
        decision, judgement = self._judge(flow, self._engine.enforced)
        # It may have begun just before the rules changed, or while they do: then others decided it.
        for others in (self._engine.in_force.enforced_before, self._engine.compiled):
            if judgement.agrees is False and others is not None:
                other_decision, by_others = self._judge(flow, others)
                if by_others.agrees:
                    decision, judgement = other_decision, by_others
        if judgement.agrees is False:
            self.disagreements += 1
            which, chosen = describe(flow, self.shade), self.outbound(flow)
            text = f"{which}: the kernel chose {chosen}, the rules say {decision.outbound}"
            self._engine.log.add("warning", "flow", text)
        self._judged[flow.key] = judgement
        return decision

    def decide_again(self, addresses: frozenset[str]) -> int:
        """These addresses have just been learned: what was quicker, and is not answered yet, is decided once more.

        Returns how many were; one that is answered goes on as it began.
        """
        judge, door = self._judge_of(self._engine.enforced), self._engine.flows
        if judge is None or door is None:
            return 0
        due = [
            flow
            for flow in islice(self._table, NEWEST)
            if flow.destination in addresses and not flow.is_answered and self._is_elsewhere(flow, judge)
        ]
        try:
            return len(door.delete(due)) if due else 0
        except NetlinkError:
            return 0  # it goes on as it began

    def _is_elsewhere(self, flow: Flow, judge: Judge) -> bool:
        """Whether the rules would lead it to another class now, whatever conntrack does not show."""
        if not self._is_judgeable(flow):
            return False
        facts = self._facts(flow, judge)
        if facts.src_iface is None or set(judge.hidden(facts)) - set(LEARNED_FIELDS):
            return False
        return judge.fate(facts).number != judge.marks.number(flow.mark)

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
            if text and not self._contains(flow, text):
                continue
            if offset <= total < offset + limit:
                page.append(self._line(flow, until))
            total += 1
        return {"total": total, "disagreements": self.disagreements, "connections": page}

    def _contains(self, flow: Flow, text: str) -> bool:
        """Whether the text is in what is shown of it."""
        if text in describe(flow, self.shade) or text in self.outbound(flow):
            return True
        return self.inspection is not None and text in self.inspection.name(flow)

    @property
    def shade(self) -> Shade:
        """How clients and names are shown."""
        return self.inspection.shade if self.inspection is not None else OPEN

    def explained(self, flow: Flow) -> Explained:
        """What is known of one connection, what the rules in force say of it, and whether the kernel agrees."""
        is_ours = self._is_judgeable(flow)
        judge = self._judge_of(self._engine.enforced)
        rule: str | None = None
        agrees: bool | None = None
        hidden: tuple[str, ...] = ()
        facts = self._facts(flow, judge) if judge is not None else self._surroundings().facts(flow)
        if judge is not None:
            hidden = judge.hidden(facts)
            rule = judge.fate(facts).rule
        if is_ours:
            _, found = self._judge(flow, self._engine.enforced)
            agrees = found.agrees
        facts.domain = facts.sni = None  # where it was learned, not what is its name
        if self.inspection is not None:  # after it was judged: the kernel knew only the first packet
            self.inspection.complete(facts, flow)
        shown = self._line(flow, self._stopwatch() + PAGE_SECONDS)
        return Explained(flow, shown, facts, hidden, rule, is_ours, agrees, self._judged.get(flow.key))

    def _line(self, flow: Flow, until: float) -> dict[str, Any]:
        judgement = self._judged.get(flow.key)
        if judgement is None and self._is_judgeable(flow) and self._stopwatch() < until:
            judgement = self._judge_late(flow)
        found = line(flow, self.outbound(flow), self._marks.number(flow.mark), judgement, self.shade)
        if self.inspection is not None:
            found.update(self.inspection.line(flow))
        return found

    def _judge_late(self, flow: Flow) -> Judgement:
        """It began under other rules, perhaps: a difference says nothing now."""
        _, found = self._judge(flow, self._engine.enforced)
        self._judged[flow.key] = Judgement(found.rule if found.agrees else None, found.agrees or None, found.at)
        return self._judged[flow.key]

    @property
    def _marks(self) -> Marks:
        return Marks(self._engine.settings.fwmark_mask)

    def _is_judgeable(self, flow: Flow) -> bool:
        return self._engine.enforced is not None and self._marks.is_done(flow.mark)

    def outbound(self, flow: Flow) -> str:
        """Where the kernel sent it, by the class in its mark."""
        return self.outbound_of(flow.mark)

    def outbound_of(self, mark: int) -> str:
        """Where the kernel sends what has this mark."""
        marks = self._marks
        number = marks.number(mark)
        if number == 0:
            return DIRECT
        if number in (marks.drop, marks.reject):
            return BLOCK
        for name, known in self._engine.numbers.items():
            if known == number:
                return line_of(name)
        return f"class {number}"

    def _judge(self, flow: Flow, compiled: Compiled | None) -> tuple[Decision | Choice, Judgement]:
        """Decides the flow by the rules that the kernel had, and compares the classes."""
        judge = self._judge_of(compiled)
        assert judge is not None
        facts = self._facts(flow, judge)
        decision = judge.decide(facts)
        agrees = judge.is_of(judge.marks.number(flow.mark), judge.number(decision, facts))
        if not agrees and (facts.src_iface is None or judge.hidden(facts)):
            # The kernel saw something of the packet that cannot be told from here.
            return decision, Judgement(None, None, self._clock())
        return decision, Judgement(decision.rule.name if decision.rule else None, agrees, self._clock())

    def _judge_of(self, compiled: Compiled | None) -> Judge | None:
        """Made once for each rule set; those before and those to come are asked now and then too."""
        if compiled is None:
            return None
        for judge in self._judges:
            if judge.compiled is compiled:
                return judge
        self._judges = [Judge(compiled, self._engine.in_force.indexes), *self._judges[:1]]
        return self._judges[0]

    def _facts(self, flow: Flow, judge: Judge) -> Facts:
        """The facts of a flow; a client that is not in the neighbour table yet is looked up again, once a second."""
        facts = self._surroundings().facts(flow)
        if MAC in judge.hidden(facts) and self._neighbours_second != self._second:
            self._neighbours_second = self._second
            self._around = None
            facts = self._surroundings().facts(flow)
        return facts

    def _surroundings(self) -> Surroundings:
        """Neighbours change often and matter for MAC rules only: read again with each new view of the network."""
        if self._around is None or self._around_of is not self._engine.view:
            self._around = self._engine.surroundings()
            self._around_of = self._engine.view
        return self._around


def line(flow: Flow, outbound: str, number: int, judgement: Judgement | None, shade: Shade = OPEN) -> dict[str, Any]:
    """One connection of the document."""
    is_told = judgement is not None and judgement.agrees is not None
    return {
        "id": flow.id,
        "family": flow.family,
        "protocol": PROTOCOL_NAMES.get(flow.protocol, str(flow.protocol)),
        "src": shade.address(flow.source),
        "src_port": flow.source_port,
        "dest": shade.address(flow.destination),
        "dest_port": flow.destination_port,
        "rule": judgement.rule if judgement else None,
        "outbound": outbound,
        "class": number,
        "agrees": judgement.agrees if judgement else None,
        "by": DECIDED_AGAIN if is_told else BY_MARK,
        "bytes": flow.bytes,
        "packets": flow.packets,
        "state": flow.state,
    }


def describe(flow: Flow, shade: Shade = OPEN) -> str:
    """The connection as one line: protocol, ends and ports."""
    protocol = PROTOCOL_NAMES.get(flow.protocol, str(flow.protocol))
    source, destination = shade.address(flow.source), shade.address(flow.destination)
    return f"{protocol} {source}:{flow.source_port} → {destination}:{flow.destination_port}"
