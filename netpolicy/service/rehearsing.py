"""Asks of a change what it must not break: administrators first, then the assertions; the answers are one table.

By packets on a copy of the router where that is possible, else by our own rules, and says which. Changes nothing and
decides nothing: whether a change may stand is the caller's matter. The document is part of a plan (docs/interfaces.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from netpolicy.core.named_list import NamedList
from netpolicy.dataplane.routing import Routing
from netpolicy.dataplane.state import Neighbour
from netpolicy.dataplane.table import Table
from netpolicy.flows.administrators import Peer
from netpolicy.outbounds.lines import LineState, View
from netpolicy.service.assertion_rules import ByRules
from netpolicy.service.assertion_sides import Ground
from netpolicy.service.assertions import ADMINISTRATION, Question, Row, of_administrator, of_assertion, probes_of, rows
from netpolicy.service.compile import Compiled

PACKETS, RULES = "packets", "rules"
OWN_RULES_ALONE = "only our own rules were judged, not the firewall"


@dataclass(frozen=True, slots=True)
class Standing:
    """A state of ours: as compiled (None: nothing of ours), and what it puts into the kernel."""

    compiled: Compiled | None = None
    table: Table | None = None
    routing: Routing = field(default_factory=Routing)


@dataclass(frozen=True, slots=True)
class Scene:
    """The network now, the lines as the candidate has them, and who must not be locked out."""

    view: View
    states: Sequence[LineState] = ()
    neighbours: Sequence[Neighbour] = ()
    lists: Sequence[NamedList] = ()
    peers: Sequence[Peer] = ()
    asserts: Sequence[str] = ()

    def questions(self) -> list[Question]:
        """Administrators first."""
        ground = Ground(self.view, self.states, self.neighbours, self.lists)
        asked = [of_administrator(peer, ground) for peer in self.peers if peer.source not in ground.own]
        return asked + [of_assertion(text, ground) for text in self.asserts]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it. `how`: by packets or by rules, and `why` not by packets; `notes`: what was left out."""

    how: str
    why: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing is broken. What cannot be told is not."""
        return all(row["ok"] is not False for row in self.rows)

    @property
    def locks_out(self) -> bool:
        """Whether somebody who administers the router could not any more."""
        return any(row["ok"] is False and row["kind"] == ADMINISTRATION for row in self.rows)

    def document(self) -> dict[str, Any]:
        """As it stands in a plan."""
        return {
            "how": self.how, "why": self.why, "ok": self.is_ok, "notes": list(self.notes), "rows": list(self.rows),
        }  # fmt: skip


async def try_change(before: Standing, after: Standing, scene: Scene, nft: str = "nft") -> Trial:
    """The table for a change from one state to the other. Raises rehearsal.Refused: the candidate does not load."""
    # Only who rehearses needs all this in memory.
    from netpolicy.dataplane.rehearsal import Candidate, Unrehearsable, rehearse

    questions = scene.questions()
    probes = probes_of(questions)
    by_rules = await asyncio.to_thread(ByRules, after.compiled, scene.view, scene.neighbours)
    candidates = [Candidate(one.table, one.routing) for one in (before, after)]
    try:
        found = await rehearse(candidates, probes, nft)
    except Unrehearsable as error:
        earlier = ByRules(before.compiled, scene.view, scene.neighbours).results(probes)
        table = rows(questions, earlier, by_rules.results(probes), by_rules.explain)
        return Trial(RULES, str(error), (OWN_RULES_ALONE,), tuple(table))
    was, now = found.results
    return Trial(PACKETS, "", found.notes, tuple(rows(questions, was, now, by_rules.explain)))
