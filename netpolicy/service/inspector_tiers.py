"""Which tier watches which device: the best that works, and the next one when it stops working.

Never lets a tier take the daemon with it, never tries one again and again that was refused, and remembers why for
each device. A tier is loaded when the first device needs it, and unloaded when none does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from netpolicy.flows.seen import Measured, Payload
from netpolicy.service.inspector_options import CONNTRACK, EBPF, PACKET, Options, Wanted

# A tier that could not be loaded, or broke, is tried again: memory comes back, modules are loaded late.
RETRY_SECONDS = 600.0
# Who takes our programs off a device more often than this within the time above is not fought for as long.
MOST_LOSSES = 3
# A clsact that somebody removed is not put back at once: whoever did it may be about to put an `ingress` there, which
# ours would make fail, and a script on a slow router takes its time.
PAUSE_SECONDS = 5.0

# The word of flows.ebpf.attach, which is not in memory until it is used.
CLSACT = "clsact"

LOST = "somebody took it off the device {} times"
LOST_NOW = "somebody took it off the device just now"


class Tier(Protocol):
    """What the tiers of `flows` have in common."""

    def attach(self, name: str, role: str = ...) -> str: ...
    def detach(self, name: str) -> None: ...
    def attached(self) -> dict[str, tuple[str, bool]]: ...
    def is_taken_off(self, name: str) -> bool: ...
    def fileno(self) -> int: ...
    def drain(self) -> int: ...
    def sweep(self) -> Iterator[int]: ...
    def counters(self) -> dict[str, int]: ...
    def close(self) -> None: ...


OnPayload = Callable[[Payload], None]
OnMeasured = Callable[[Measured], None]
Open = Callable[[OnPayload, OnMeasured, Wanted], Tier]


class Watching(NamedTuple):
    """How a device is watched; `reason`: why not by a better tier, "" for the best."""

    name: str
    tier: str
    way: str
    reason: str
    taken_off: int = 0  # how often somebody took our programs off, of late; they were put back, unless `reason` says so


def open_ebpf(on_payload: OnPayload, on_measured: OnMeasured, wanted: Wanted) -> Tier:
    """Loads the programs. Raises what the loader raises."""
    from netpolicy.flows.ebpf.inspector import Inspector, Switches

    return Inspector(on_payload, on_measured, Switches(*wanted))


def open_packet(on_payload: OnPayload, on_measured: OnMeasured, wanted: Wanted) -> Tier:
    """Makes the object; sockets are opened for each device."""
    from netpolicy.flows.packet import PacketInspector

    return PacketInspector(on_payload, on_measured, wanted)


OPENERS: dict[str, Open] = {EBPF: open_ebpf, PACKET: open_packet}


class Tiers:
    """The tiers in use. `changed` hears what is worth a line of the log: level and text."""

    def __init__(
        self,
        on_payload: OnPayload,
        on_measured: OnMeasured,
        changed: Callable[[str, str], None],
        openers: Mapping[str, Open] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._callbacks = on_payload, on_measured
        self._changed = changed
        self._openers = OPENERS if openers is None else openers
        self._clock = clock
        self._options: Options | None = None
        self.open: dict[str, Tier] = {}
        self._refused: dict[str, tuple[str, float]] = {}  # by tier: why, and until when it is not tried
        self._losses: dict[str, list[float]] = {}  # by device: when somebody took our programs off
        self._paused: dict[str, float] = {}  # by device: until when they are not put back
        self._gone: dict[str, int] = {}  # counters of tiers that were closed
        self.devices: dict[str, Watching] = {}

    def configure(self, options: Options) -> None:
        """Other options: what was refused may be tried again. `follow` does the rest."""
        if options == self._options:
            return
        self._options = options
        self._refused.clear()
        self._losses.clear()
        self._paused.clear()
        for tier in list(self.open):
            self._close(tier)

    @property
    def are_waiting(self) -> bool:
        """Whether programs that were taken off are to be put back soon. Call `follow` then."""
        return bool(self._paused)

    def follow(self, names: list[str]) -> None:
        """Watch exactly these devices, each by the best tier. To be called after everything that may change that."""
        for name in [name for name in self.devices if name not in names]:
            self._leave(name)
            del self.devices[name]
            self._losses.pop(name, None)
            self._paused.pop(name, None)
        for name in names:
            self._note_loss(name)
            self._watch(name)
        for tier in [tier for tier in self.open if not any(one.tier == tier for one in self.devices.values())]:
            self._close(tier)

    def failed(self, tier: str, error: BaseException) -> None:
        """A tier broke while it ran: its devices go to the next one."""
        names = [one.name for one in self.devices.values() if one.tier == tier]
        self._refuse(tier, error)
        self._close(tier)
        for name in names:
            self._watch(name)

    def are_alive(self) -> bool:
        """Whether every device is still watched as was said. False: call `follow`."""
        return all(alive for tier in self.open.values() for _, alive in tier.attached().values())

    def counters(self) -> dict[str, int]:
        """The sum over all tiers since the start."""
        total = dict(self._gone)
        for tier in self.open.values():
            for name, value in tier.counters().items():
                total[name] = total.get(name, 0) + value
        return total

    def close(self) -> None:
        """Nothing of ours is left in the kernel. May be repeated."""
        for tier in list(self.open):
            self._close(tier)
        self.devices.clear()

    def _watch(self, name: str) -> None:
        assert self._options is not None
        before = self.devices.get(name)
        reasons: list[str] = []
        losses = len(self._recent_losses(name))
        for tier in self._options.tiers:
            way = self._attach(tier, name, reasons)
            if way:
                self._now(before, Watching(name, tier, way, "; ".join(reasons), losses))
                return
        reason = "; ".join(reasons) or f"option inspector is {self._options.setting}"
        self._now(before, Watching(name, CONNTRACK, "", reason, losses))

    def _attach(self, tier: str, name: str, reasons: list[str]) -> str:
        """By which way; "" where it cannot be, and one reason more."""
        reason, until = self._refused.get(tier, ("", 0.0))
        if self._clock() < until:
            reasons.append(f"{tier}: {reason}")
            return ""
        if tier == EBPF and (why := self._given_way(name)):
            reasons.append(f"{tier}: {why}")
            return ""
        assert self._options is not None
        if tier not in self.open:
            try:
                self.open[tier] = self._openers[tier](*self._callbacks, self._options.wanted)
            except Exception as error:  # noqa: BLE001 - the border of a tier: whatever it meets, the next one serves
                self._refuse(tier, error)
                reasons.append(f"{tier}: {_words(error)}")
                return ""
        try:
            return self.open[tier].attach(name)
        except Exception as error:  # noqa: BLE001 - as above
            reasons.append(f"{tier}: {_words(error)}")
            return ""

    def _note_loss(self, name: str) -> None:
        """Somebody took our programs off. What a broken tier cannot say of itself, `_attach` meets again."""
        before = self.devices.get(name)
        if before is None or before.tier != EBPF or before.tier not in self.open:
            return
        try:
            if not self.open[EBPF].is_taken_off(name):
                return
        except Exception:  # noqa: BLE001 - the border of a tier
            return
        now = self._clock()
        self._losses[name] = losses = [*self._recent_losses(name), now]
        if before.way == CLSACT:
            self._paused[name] = now + PAUSE_SECONDS
        then = "are put back" if len(losses) <= MOST_LOSSES else "stay off for some time: it was done too often"
        self._changed("warning", f"somebody took the inspector's programs off {name} ({before.way}); they {then}")

    def _recent_losses(self, name: str) -> list[float]:
        """Those that count. Who did it too often is left alone until the last one is old."""
        losses, now = self._losses.get(name, []), self._clock()
        if len(losses) > MOST_LOSSES and now - losses[-1] < RETRY_SECONDS:
            return losses
        return [when for when in losses if now - when < RETRY_SECONDS]

    def _given_way(self, name: str) -> str:
        """Why our programs are not put back on the device; "" where they may be."""
        losses = len(self._recent_losses(name))
        if losses > MOST_LOSSES:
            self._paused.pop(name, None)
            return LOST.format(losses)
        if self._clock() < self._paused.get(name, 0.0):
            return LOST_NOW
        self._paused.pop(name, None)
        return ""

    def _now(self, before: Watching | None, after: Watching) -> None:
        self.devices[after.name] = after
        if before is not None and before.tier != after.tier:
            self._leave(before.name, before.tier)
        if before is None or before._replace(taken_off=0) != after._replace(taken_off=0):
            why = f": {after.reason}" if after.reason else ""
            by = f"{after.tier} ({after.way})" if after.way and after.way != after.tier else after.tier
            level = "warning" if before is not None and after.reason else "info"
            self._changed(level, f"connections on {after.name} are seen by {by}{why}")

    def _leave(self, name: str, tier: str = "") -> None:
        found = self.open.get(tier or self.devices[name].tier)
        if found is not None:
            try:
                found.detach(name)
            except Exception as error:  # noqa: BLE001 - as above; mostly the device is gone
                self._changed("debug", f"connections on {name}: {_words(error)}")

    def _refuse(self, tier: str, error: BaseException) -> None:
        self._refused[tier] = _words(error), self._clock() + RETRY_SECONDS

    def _close(self, tier: str) -> None:
        found = self.open.pop(tier)
        try:
            for name, value in found.counters().items():
                self._gone[name] = self._gone.get(name, 0) + value
        except Exception:  # noqa: BLE001, S110 - it broke: what it counted is lost with it
            pass
        try:
            found.close()
        except Exception as error:  # noqa: BLE001 - as above
            self._changed("warning", f"{tier}: {_words(error)}")


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
