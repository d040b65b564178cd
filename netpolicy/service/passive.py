"""Brings what conntrack and the inspector tell of clients' connections to the lines that they leave by.

Judges nothing (outbounds/line_evidence.py does) and sends nothing. A client is a MAC address of the neighbour table:
one with many addresses is one, and an address that somebody invented is nobody's. The router itself does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from netpolicy.core.address import parse_address
from netpolicy.core.pairs import limit_in, line_of
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import MAIN_TABLE, NetlinkError
from netpolicy.flows import inside
from netpolicy.flows.losses import CUT
from netpolicy.flows.model import TCP, Flow, FlowEvent
from netpolicy.service.engine import Engine

if TYPE_CHECKING:
    from netpolicy.flows.losses import News
    from netpolicy.flows.seen import Measured
    from netpolicy.outbounds.line_evidence import Evidence

MOST_NAMES = 1024  # addresses whose client is remembered
NEIGHBOUR_SECONDS = 2.0  # the neighbour table is read no sooner again
SITE_BYTES = 6  # of an address of IPv6: who has one has as many behind them as they like


class Passive:
    """One daemon's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lines: dict[int, tuple[str, Evidence]] = {}  # by the bits of a class
        self._limited: frozenset[int] = frozenset()  # the bits of those whose connections we slow down ourselves
        self._class_mask = 0
        self._inside: tuple[inside.Subnet, ...] = ()
        self._names: dict[str, str] = {}  # by address of a client; "": none
        self._macs: dict[str, str] = {}
        self._read = float("-inf")

    def turned(self) -> None:
        """The engine looked at the network, perhaps by other settings."""
        engine, view = self._engine, self._engine.view
        marks = Marks(engine.settings.fwmark_mask)
        self._class_mask = marks.class_mask
        found = [(name, number, engine.lines.evidence(line_of(name))) for name, number in engine.numbers.items()]
        self._lines = {marks.bits(number): (line_of(name), one) for name, number, one in found if one is not None}
        self._limited = frozenset(marks.bits(number) for name, number in engine.numbers.items() if limit_in(name))
        outside = {state.device for state in engine.states if state.device}
        routes = [one for one in view.routes if one.table == MAIN_TABLE]
        self._inside = inside.subnets(view.addresses, routes, outside)
        # Who lies on an Ethernet of this router, as a modem's page, answers also when the line leads nowhere.
        plain = {one.name for one in view.links.values() if not one.mac}  # tunnels: the other end is far away
        self._near = inside.connected(one for one in view.addresses if one.device not in plain)
        self._names.clear()

    def heard(self, events: Iterable[FlowEvent]) -> None:
        """Events of the table of connections. A few microseconds for each that is TCP."""
        if not self._lines:
            return
        now = asyncio.get_running_loop().time()
        for event in events:
            flow = event.flow
            if flow is None:
                if event.kind == "overrun":
                    self._missed()
            elif flow.protocol == TCP and flow.id:
                found = self._lines.get(flow.mark & self._class_mask)
                if found is not None:
                    self._heard(event.kind, flow, *found, now)

    def timed(self, outbound: str, client: str, remote: str, milliseconds: float) -> None:
        """A handshake of a client with that remote took so long."""
        evidence = self._engine.lines.evidence(outbound)
        if evidence is not None and not _is_in(remote, self._near) and (whose := self._whose(client)):
            evidence.delays.note(whose, remote, milliseconds, asyncio.get_running_loop().time())
            self._engine.lines.weigh_later(outbound)

    def went_on(self, outbound: str, client: str, remote: str, told: Measured, repeated: int) -> None:
        """An open connection, as a sweep found it: the client `repeated` itself so often since something came back.

        What comes from the MAC address of another one than its address belongs to is nobody's.
        """
        evidence, whose = self._engine.lines.evidence(outbound), self._speaker(client, remote, told)
        if evidence is None or not whose:
            return
        now, stalls, end = asyncio.get_running_loop().time(), evidence.stalls, (remote, told.key[3])
        if told.final:
            if told.was_cut:
                stalls.reset(whose, told.key, end, now)
            else:
                stalls.ended(whose, told.key)
        elif repeated:
            stalls.repeated(whose, told.key, end, repeated, now)
        else:
            stalls.heard(whose, told.key, now)
            if told.up.srtt_us:
                evidence.delays.note_open(whose, remote, told.up.srtt_us / 1000, now)
        self._engine.lines.weigh_later(outbound)

    def lost(self, mark: int, client: str, remote: str, told: Measured, new: News) -> None:
        """Packets of a connection passed, of which some were lost; or it was answered, or cut.

        What a limit that somebody set drops is no loss of the line's.
        """
        bits = mark & self._class_mask
        line, evidence = self._lines.get(bits, ("", None))
        if evidence is None or bits in self._limited or not (whose := self._speaker(client, remote, told)):
            return
        now = asyncio.get_running_loop().time()
        place = told.key[1][:SITE_BYTES] if ":" in remote else remote
        for shares, found in ((evidence.sent, new.sent), (evidence.received, new.received)):
            if found is not None:
                shares.note(whose, place, *found, now)
        if new.fate:
            evidence.cuts.note(whose, place, new.fate == CUT, 1, now)
        self._engine.lines.weigh_later(line)

    def _heard(self, kind: str, flow: Flow, line: str, evidence: Evidence, now: float) -> None:
        if flow.is_answered:
            evidence.answered(flow.id)
        elif kind == "destroy":
            evidence.ended(flow.id)
        elif kind == "new" and not _is_in(flow.destination, self._near) and (whose := self._whose(flow.source)):
            evidence.began(flow.id, whose, (flow.destination, flow.destination_port), now)
            self._engine.lines.weigh_later(line)

    def _missed(self) -> None:
        for _, evidence in self._lines.values():
            evidence.missed()

    # -- who it is -------------------------------------------------------------------------

    def _speaker(self, client: str, remote: str, told: Measured) -> str:
        """Whose connection it is, where it leads far away; "" for nobody's, as another's address sent its packets."""
        whose = "" if _is_in(remote, self._near) else self._whose(client)
        return whose if not told.mac or told.mac.hex(":") == whose else ""

    def _whose(self, address: str) -> str:
        """The client with that address; "" for what is none: the router, nobody's, and whoever comes from outside."""
        name = self._names.get(address)
        if name is None:
            if not _is_in(address, self._inside):
                name = ""
            elif not (name := self._mac(address)):
                return ""  # it may be known soon
            if len(self._names) >= MOST_NAMES:
                self._names.clear()
            self._names[address] = name
        return name

    def _mac(self, address: str) -> str:
        now = asyncio.get_running_loop().time()
        if address not in self._macs and now - self._read >= NEIGHBOUR_SECONDS:
            self._read = now
            try:
                self._macs = {one.address: one.mac for one in self._engine.netlink.neighbours()}
            except NetlinkError:
                self._macs = {}
        return self._macs.get(address, "")


def _is_in(address: str, networks: Iterable[inside.Subnet]) -> bool:
    try:
        family, number = parse_address(address)
    except ValueProblem:
        return False
    return any(one.family == family and one.low <= number <= one.high for one in networks)
