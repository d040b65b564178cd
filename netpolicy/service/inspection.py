"""The inspector as the rest of the daemon has it: there when the settings want one, and not even in memory else.

Never decides about a connection. Says how clients and names are shown, with an inspector and without.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from netpolicy.core.facts import Facts
from netpolicy.core.model import Settings
from netpolicy.dataplane.netlink_watch import Change
from netpolicy.dataplane.state import MAIN_TABLE, NetlinkError
from netpolicy.flows import inside
from netpolicy.flows.model import Flow, FlowEvent
from netpolicy.flows.table import FlowTable
from netpolicy.service.anonymous import OPEN, Shade
from netpolicy.service.engine import Engine

if TYPE_CHECKING:
    from netpolicy.flows.losses import News
    from netpolicy.flows.seen import Measured
    from netpolicy.service.inspector import Inspector

OFF = "off"


class Inspection:
    """One daemon's. `outbound` says where connections with a mark go."""

    def __init__(
        self, engine: Engine, outbound: Callable[[int], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._outbound = outbound
        self._clock = clock
        self._is_clean = False
        self.inspector: Inspector | None = None
        self.tell_name: Callable[[str, Iterable[tuple[bytes, float]]], None] | None = None
        self.tell_round_trip: Callable[[str, str, str, float], None] | None = None
        self.tell_course: Callable[[str, str, str, Measured, int], None] | None = None
        self.tell_losses: Callable[[int, str, str, Measured, News], None] | None = None
        self.tell_sets: Callable[[], dict[str, Any]] | None = None  # how the sets of names are filled
        self.shade = OPEN

    # -- what the daemon hears -------------------------------------------------------------

    def turned(self) -> None:
        """The engine looked at the network, perhaps by other settings."""
        self._choose_shade()
        if not self._is_clean:
            self._is_clean = True
            self._remove_left_over()
        settings = self._engine.settings
        is_wanted = settings.enabled and settings.inspector != OFF and self._engine.loaded is not None
        if self.inspector is not None:
            self.inspector.configure(settings if is_wanted else Settings(inspector=OFF))
        elif (
            is_wanted and not self._engine.in_force.is_indexing
        ):  # its modules take the place that the making of an index leaves
            from netpolicy.service.inspector import Inspector

            engine = self._engine
            self.inspector = Inspector(engine.netlink, lambda: _outside(engine), self._outbound, self._say)
            self.inspector.feed.tell_name = self.tell_name
            self.inspector.feed.tell_round_trip = self.tell_round_trip
            self.inspector.feed.tell_course = self.tell_course
            self.inspector.feed.tell_losses = self.tell_losses
            self.inspector.start(asyncio.get_running_loop(), settings)

    def network_changed(self, changes: Iterable[Change]) -> None:
        """Devices, addresses and routes; of qdiscs only those of devices that are watched."""
        inspector = self.inspector
        if inspector is not None and any(
            change.device in inspector.tiers.devices if change.kind == "tc" else change.kind not in ("nft", "table")
            for change in changes
        ):
            inspector.look_later()

    def heard(self, events: Iterable[FlowEvent], table: FlowTable) -> None:
        """Events of the table of connections."""
        if self.inspector is not None:
            self.inspector.heard(events, table)

    def close(self) -> None:
        """Nothing of ours is left in the kernel. May be repeated."""
        if self.inspector is not None:
            self.inspector.close()

    def names(self) -> Iterator[tuple[str, tuple[tuple[bytes, float], ...]]]:
        """Every name that is known, with an address and the seconds that this may be believed."""
        if self.inspector is not None:
            for name, told in self.inspector.feed.learned.everything(self._clock()):
                yield name, (told,)

    # -- for doors -------------------------------------------------------------------------

    def drain(self) -> None:
        """Take what waits in the kernel, for whoever is about to look."""
        if self.inspector is not None:
            self.inspector.drain()

    def status(self, tier: str, reason: str) -> dict[str, Any]:
        """The `inspector` part of `status`; `tier` and `reason` of what reads the table of connections."""
        shown: dict[str, Any] = {
            "table": {"tier": tier, "reason": reason},
            "anonymize": list(self._engine.settings.anonymize),
        }
        shown["names"] = self.tell_sets() if self.tell_sets is not None else {}
        if self.inspector is None:
            setting = self._engine.settings.inspector
            why = ["option inspector is off" if setting == OFF else "not started or not enabled", reason]
            told = {"tier": tier, "reason": "; ".join(filter(None, why)), "setting": setting}
            return {
                **told,
                "inspect": [],
                "devices": [],
                "not_watched": [],
                "bypasses": [],
                "counters": {},
                "unknown": {},
                **shown,
            }
        from netpolicy.service import inspector_documents

        found = inspector_documents.bypasses(self.inspector.feed, self._clock())
        for one in found:  # a name server is nobody's secret, a client may be
            one["client"] = self.shade.address(one["client"])
        return {**inspector_documents.status(self.inspector, tier, reason), **shown, "bypasses": found}

    def line(self, flow: Flow) -> dict[str, Any]:
        """What a connection's line says beside what conntrack knows; {} where nobody looks."""
        if self.inspector is None:
            return {}
        from netpolicy.service import inspector_documents

        found = inspector_documents.line(self.inspector.feed, flow, self._clock())
        return {**found, "name": self.shade.name(found["name"]) if found["name"] else None}

    def name(self, flow: Flow) -> str:
        """The name of a connection as it is shown; "" where there is none."""
        return self.shade.name(self.inspector.feed.name_of(flow, self._clock())[0]) if self.inspector else ""

    def quality(self, outbound: str) -> dict[str, Any] | None:
        """How connections by an outbound go; None where nobody looks."""
        if self.inspector is None:
            return None
        from netpolicy.service import inspector_documents

        return inspector_documents.quality(self.inspector.feed, outbound, self._clock())

    def complete(self, facts: Facts, flow: Flow) -> None:
        """Adds to the facts of an open connection what was learned and measured since its first packet."""
        if self.inspector is not None:
            from netpolicy.service import inspector_documents

            inspector_documents.complete(self.inspector.feed, facts, flow, self._clock())

    # -- inside ----------------------------------------------------------------------------

    def _choose_shade(self) -> None:
        wanted, view = self._engine.settings.anonymize, self._engine.view
        if wanted or self.shade is not OPEN:
            routes = [one for one in view.routes if one.table == MAIN_TABLE]
            self.shade = Shade(wanted, inside.subnets(view.addresses, routes, _outside(self._engine)))

    def _remove_left_over(self) -> None:
        """tcx links end with their process, filters do not: those of one that was killed would go on."""
        from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
        from netpolicy.flows.ebpf.clsact import TrafficControl

        try:
            kernel = KernelSocket(ROUTE)
            try:
                TrafficControl(kernel).remove_all()
            finally:
                kernel.close()
        except NetlinkError as error:
            self._say("warning", f"filters of an earlier inspector may still be there: {error}")

    def _say(self, level: str, text: str) -> None:
        self._engine.log.add(level, "flow", text)


def _outside(engine: Engine) -> frozenset[str]:
    """Devices of outbounds: what is behind them are no clients."""
    return frozenset(state.device for state in engine.states if state.device)
