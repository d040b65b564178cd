"""One look at many open connections: which of them a change of rules concerns, each kind of connection asked once.

Pure. Most connections of a busy router differ from another one in their source port only. Never keeps more than
some thousand outcomes; made anew when the rules or the network around have changed.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.core.facts import Facts
from netpolicy.flows.entry import Entry, Gist
from netpolicy.flows.model import Flow
from netpolicy.service.affected import Affected

# About 300 bytes each.
KEPT = 8192


class Look:
    """What `affected` says of the entries of a table, whose facts are told by `facts`."""

    def __init__(self, affected: Affected, facts: Callable[[Flow], Facts]) -> None:
        self._affected = affected
        self._facts = facts
        self._with_source_port = affected.asks_source_port
        self._known: dict[Gist, bool] = {}
        self.asked = 0  # how many were decided, and not known from another one

    def concerned(self, entry: Entry) -> Flow | None:
        """The flow, where the change concerns it."""
        gist = entry.gist(self._with_source_port)
        is_concerned = self._known.get(gist)
        if is_concerned is False:
            return None
        flow = entry.flow
        if flow is not None and is_concerned is None:
            is_concerned = self._keep(gist, flow)
        return flow if is_concerned else None

    def _keep(self, gist: Gist, flow: Flow) -> bool:
        if len(self._known) >= KEPT:
            self._known.clear()
        self.asked += 1
        found = self._known[gist] = self._affected.fate(flow, self._facts(flow)) is not None
        return found
