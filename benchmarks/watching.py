"""The inspector's tiers on the router of a course, and one that is not there, as samples want them.

Never measures anything. A tier that this machine has not is left out, with its reason.
"""

from __future__ import annotations

import contextlib
import importlib
import select
from functools import cache
from typing import Any, NamedTuple

from benchmarks.course import Course
from benchmarks.measure import leave_out
from netpolicy.flows.packet import PacketInspector, Refused
from netpolicy.flows.quic_crypto import choose
from netpolicy.flows.reader import Name, Reader
from netpolicy.flows.seen import Measured, Payload

NONE, EBPF, PACKET = "none", "ebpf", "packet"
TIERS = (EBPF, PACKET)
DEVICE = "lan"
TICK = 0.2  # seconds between two looks where nothing wakes us: as the daemon has it when there is traffic


class Switches(NamedTuple):
    """All that a tier can be asked for."""

    tls: bool = True
    http: bool = True
    dns_answers: bool = True
    dns_queries: bool = True
    quic: bool = True
    flows: bool = True


class Watching:
    """A tier that counts what it is told; with `reads` names are read as well, as the daemon does it."""

    def __init__(self, tier: str, course: Course, reads: bool = False) -> None:
        """Raises what the tier raises: see REFUSALS."""
        self.hellos = self.names = self.ends = 0
        self._reader = Reader(choose()[0]) if reads else None
        with course.router.entered():
            self.tier = _made(tier, self._payload, self._measured)
        self._router = course.router
        self.come()

    def come(self) -> None:
        """Onto the device."""
        with self._router.entered():
            self.tier.attach(DEVICE)

    def leave(self) -> None:
        """Off the device, with all that waits."""
        self.drain(0)
        with self._router.entered():
            self.tier.detach(DEVICE)

    def drain(self, seconds: float) -> None:
        """Waits so long for something, and takes all that is there."""
        select.select([self.tier], [], [], seconds)
        while self.tier.drain():
            continue

    def lost(self) -> int:
        """Events that found no room."""
        return int(self.tier.counters()["lost"])

    def close(self) -> None:
        self.tier.close()

    def _payload(self, payload: Payload) -> None:
        self.hellos += 1
        if self._reader is not None:
            self.names += isinstance(self._reader.read(payload), Name)

    def _measured(self, measured: Measured) -> None:
        self.ends += measured.final


@cache
def there() -> tuple[str, ...]:
    """The tiers that this machine has; the others are left out, once."""
    course = Course()
    found = []
    for tier in TIERS:
        try:
            Watching(tier, course).close()
        except refusals() as why:
            leave_out(f"inspector/*/{tier}", why)
        else:
            found.append(tier)
    course.close()
    return tuple(found)


def refusals() -> tuple[type[Exception], ...]:
    """What tiers raise where the kernel does not have them."""
    found: list[type[Exception]] = [ImportError, OSError, Refused]
    with contextlib.suppress(ImportError):
        for module, name in (("loading", "Unloadable"), ("bpf_call", "BpfError"), ("attach", "NotAttached")):
            found.append(getattr(importlib.import_module(f"netpolicy.flows.ebpf.{module}"), name))
    return tuple(found)


def _made(tier: str, on_payload: Any, on_measured: Any) -> Any:
    if tier == PACKET:
        return PacketInspector(on_payload, on_measured, Switches(), blocks=16)
    ebpf = importlib.import_module("netpolicy.flows.ebpf.inspector")
    return ebpf.Inspector(on_payload, on_measured, ebpf.Switches(*Switches()))
