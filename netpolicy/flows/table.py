"""The flows known now, bounded in number: events and dumps in, the newest first out.

Pure: no clock, no socket. Never grows beyond its limit: the flow that was seen first makes room, counted.
Fed by `watch`; after lost events it asks for a whole dump (`needs_resync`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

from netpolicy.flows.model import Flow, FlowEvent, FlowKey


class FlowTable:
    """Keyed by the kernel's id and the original direction."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("a flow table needs room for one flow at least")
        self.limit = limit
        self.needs_resync = True  # nothing was read yet
        self.counters = {"new": 0, "update": 0, "destroy": 0, "overrun": 0, "resync": 0, "dropped": 0}
        self._flows: dict[FlowKey, Flow] = {}  # in the order of first sight

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[Flow]:
        """Newest first. The table must not change meanwhile."""
        return reversed(self._flows.values())

    def get(self, key: FlowKey) -> Flow | None:
        """The flow with this key, or None."""
        return self._flows.get(key)

    def apply(self, event: FlowEvent) -> None:
        """Take one event in; counted by its kind."""
        self.counters[event.kind] = self.counters.get(event.kind, 0) + 1
        if event.kind == "overrun":
            self.needs_resync = True
        elif event.flow is not None and event.kind == "destroy":
            self._flows.pop(event.flow.key, None)
        elif event.flow is not None:
            self._put(event.flow)

    def replace(self, flows: Iterable[Flow]) -> None:
        """A whole dump: it is the truth. Flows known before keep their place in the order."""
        self.adopt({flow.key: flow for flow in flows})

    def adopt(self, told: dict[FlowKey, Flow]) -> None:
        """The same by key, for who collects a dump step by step; the dict belongs to the table afterwards."""
        known = self._flows
        kept = {key: told.pop(key) for key in known if key in told}
        excess = len(kept) + len(told) - self.limit
        if excess > 0:
            self.counters["dropped"] += excess
            for key in list(islice(chain(kept, told), excess)):
                (kept if key in kept else told).pop(key)
        kept.update(told)
        self._flows = kept
        self.needs_resync = False
        self.counters["resync"] += 1

    def _put(self, flow: Flow) -> None:
        key = flow.key
        known = self._flows.get(key)
        if known is None and len(self._flows) >= self.limit:
            del self._flows[next(iter(self._flows))]
            self.counters["dropped"] += 1
        self._flows[key] = flow if known is None else _merged(known, flow)


def _merged(known: Flow, update: Flow) -> Flow:
    """Events tell counters only at the end of a flow, and the state only where it changed."""
    is_newer = update.packets > 0 or (known.packets == 0 and known.bytes == 0)
    if is_newer and (update.state or not known.state):
        return update  # nearly always
    return replace(
        update,
        packets=max(known.packets, update.packets),
        bytes=max(known.bytes, update.bytes),
        state=update.state or known.state,
    )
