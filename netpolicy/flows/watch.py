"""Keep a flow table true: events and dumps over ctnetlink, or polling /proc where that fails.

Never blocks the loop longer than one batch (about a hundred flows), never decides what a flow means.
`tier` and `reason` say which source serves and why not a better one; falls at run time too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import ctnetlink, proc
from netpolicy.flows.model import RESYNC, Flow, FlowEvent, FlowKey
from netpolicy.flows.table import FlowTable

OnChange = Callable[[list[FlowEvent]], None]
Say = Callable[[str, str], None]  # level, text

# A flow takes about 400 bytes here; a small router's whole conntrack table fits.
LIMIT = 16384
# Events carry no byte counters, and flows older than the subscription end unheard: read the table this often.
REFRESH_SECONDS = 30.0
# Without events the table is as old as this; reading 10,000 lines costs a router about a second of CPU.
POLL_SECONDS = 5.0
# Between lost events and the dump that repairs them: a storm should be over, not be joined.
REPAIR_SECONDS = 0.5
# A failed ctnetlink is tried again this often: modules are loaded late, memory comes back.
RETRY_SECONDS = 60.0

TIERS = ("ctnetlink", "proc", "none")


def snapshot() -> tuple[list[Flow], str, str]:
    """All flows now, the tier that told them and the reason; blocks. For tools without a daemon."""
    try:
        return ctnetlink.dump(), "ctnetlink", ""
    except NetlinkError as refused:
        try:
            return [flow for batch in proc.batches() for flow in batch], "proc", str(refused)
        except OSError as error:
            return [], "none", f"{refused}; {proc.PATH}: {error.strerror}"


class FlowWatch:
    """Owns the subscription, the timers and the table. One loop, one caller."""

    def __init__(
        self,
        limit: int = LIMIT,
        refresh_seconds: float = REFRESH_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        receive_buffer: int = ctnetlink.RECEIVE_BUFFER,
        retry_seconds: float = RETRY_SECONDS,
        say: Say = lambda level, text: None,
    ) -> None:
        """`say` hears of each change of the tier, once, with its reason; not of the best one at the start."""
        self.table = FlowTable(limit)
        self.tier = "none"
        self.reason = "not started"
        self._say = say
        self._said = "ctnetlink"
        self._refusal = ""  # why ctnetlink does not serve
        self._refresh_seconds = refresh_seconds
        self._poll_seconds = poll_seconds
        self._receive_buffer = receive_buffer
        self._retry_seconds = retry_seconds
        self._retry_at = 0.0
        self._events: ctnetlink.Events | None = None
        self._batches: Iterator[list[Flow]] | None = None
        self._collected: dict[FlowKey, Flow] = {}
        self._held: list[FlowEvent] = []  # heard while a dump is read; later than the dump
        self._timer: asyncio.Handle | None = None
        self._repair_is_due = False

    def attach(self, loop: asyncio.AbstractEventLoop, on_change: OnChange) -> None:
        """Start. `on_change` is called from the loop after the table changed, with what was applied."""
        self._loop = loop
        self._on_change = on_change
        self.refresh()

    def fileno(self) -> int:
        """The event socket's descriptor; -1 where the tier polls."""
        return self._events.fileno() if self._events else -1

    def refresh(self) -> None:
        """Read the whole table soon; nothing where that is under way."""
        if self._batches is None:
            self._repair_is_due = False
            self._subscribe()
            self._batches = ctnetlink.dump_batches() if self._events else proc.batches()
            self._collected = {}
            self._schedule(0.0, self._step)

    def close(self) -> None:
        """Stop; may be repeated. The table stays readable."""
        self._cancel()
        self._batches = None
        self._unsubscribe()
        self.tier, self.reason = "none", "closed"

    def _ready(self) -> None:
        assert self._events is not None
        try:
            events = self._events.read()
        except NetlinkError as error:
            self._fall(error)
            self.refresh()
            return
        if self._batches is None:
            self._apply(events)
        else:
            self._hold(events)

    def _hold(self, events: list[FlowEvent]) -> None:
        self._held += events
        if len(self._held) > self.table.limit:  # a dump slower than its storm: read again afterwards
            self._held = [FlowEvent("overrun")]

    def _apply(self, events: list[FlowEvent]) -> None:
        for event in events:
            self.table.apply(event)
        # Not put off by the events that follow: on a busy router there is no quiet half second.
        if self.table.needs_resync and self._batches is None and not self._repair_is_due:
            self._repair_is_due = True
            self._schedule(REPAIR_SECONDS, self.refresh)
        if events:
            self._on_change(events)

    def _step(self) -> None:
        """Read one batch of the table, or finish."""
        self._timer = None
        batches = self._batches
        if batches is None:
            return
        try:
            batch = next(batches, None)
        except NetlinkError as error:
            self._fall(error)
            self.refresh()
        except OSError as error:
            self._give_up(error)
        else:
            if batch is None or len(self._collected) >= self.table.limit:
                self._finish()
            else:
                self._collected.update((flow.key, flow) for flow in batch)
                self._schedule(0.0, self._step)

    def _finish(self) -> None:
        self._batches = None
        self.tier = "ctnetlink" if self._events else "proc"
        self.reason = "" if self._events else self._refusal
        self._tell()
        collected, held = self._collected, self._held
        self._collected, self._held = {}, []
        self.table.adopt(collected)
        self._schedule(self._refresh_seconds if self._events else self._poll_seconds, self.refresh)
        self._apply(held)
        self._on_change([RESYNC])

    def _fall(self, error: NetlinkError) -> None:
        """ctnetlink failed: go on with the text table."""
        self._unsubscribe()
        self._batches = None
        self._held = []
        self.table.needs_resync = True
        self._retry_at = self._loop.time() + self._retry_seconds
        self._refusal = f"{error}; reading {proc.PATH} every {self._poll_seconds:g} s instead"

    def _give_up(self, error: OSError) -> None:
        """No source at all; ask again later, because the kernel module may be loaded meanwhile."""
        self._batches = None
        self.tier = "none"
        self.reason = f"{self._refusal}; {proc.PATH}: {error.strerror}; is the nf_conntrack module loaded?"
        self._tell()
        self._schedule(self._poll_seconds, self.refresh)

    def _tell(self) -> None:
        """A source that fails every minute with other words is said once."""
        if self.tier == self._said:
            return
        self._said = self.tier
        if self.tier == "none":
            self._say("warning", f"connections cannot be read: {self.reason}")
        elif self.reason:
            self._say("warning", f"connections are seen late: {self.reason}")
        else:
            self._say("info", "connections are told by ctnetlink again")

    def _subscribe(self) -> None:
        """Listen before the table is read, so that nothing happens unheard between the two."""
        if self._events is not None or self._loop.time() < self._retry_at:
            return
        try:
            self._events = ctnetlink.Events(self._receive_buffer)
        except NetlinkError as error:
            self._fall(error)
        else:
            self._loop.add_reader(self._events.fileno(), self._ready)

    def _unsubscribe(self) -> None:
        if self._events is not None:
            self._loop.remove_reader(self._events.fileno())
            self._events.close()
            self._events = None

    def _schedule(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self._loop.call_later(seconds, call) if seconds else self._loop.call_soon(call)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
