"""What the log and the bus hear of lines, of the engine's state, and of what others changed of ours.

Never decides anything. Data: what the engine has just found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netpolicy.core.health import FAILOVER
from netpolicy.core.line_health import Transition
from netpolicy.observe.ring import Ring
from netpolicy.outbounds.lines import LineState
from netpolicy.service.drift import ALERT, HEAL, LEAVE, Found

Publish = Callable[[str, Mapping[str, object]], None]

DONE = {HEAL: "put right", ALERT: "left, as `drift` says", LEAVE: "left, as `drift` says"}
PAUSED = "left: it was put right twice in ten minutes"


class LineNews:
    """The voice of one engine."""

    def __init__(self, log: Ring, publish: Publish) -> None:
        self._log = log
        self._publish = publish

    def line(self, now: LineState) -> None:
        """It begins or ends to carry."""
        word = "up" if now.up else "down"
        self._log.add("info" if now.up else "warning", "state", f"outbound {now.name} is {word}: {now.reason}")
        self._publish("netpolicy.outbound", {"name": now.name, "up": now.up, "reason": now.reason})

    def transition(self, name: str, made: Transition, up: bool) -> None:
        """A line's health is another. That it carries, or not, is told by the turn that follows."""
        level = "warning" if made.after == FAILOVER else "info"
        self._log.add(level, "state", f"outbound {name} {made.before} → {made.after} because: {made.because}")
        told = {"name": name, "up": up, "reason": made.because, "before": made.before, "state": made.after}
        self._publish("netpolicy.outbound", told)

    def state(self, before: str, now: str) -> None:
        """That of the primary outbound is another."""
        self._log.add("warning" if now == FAILOVER else "info", "state", f"state {before} → {now}")

    def drift(self, found: Found) -> None:
        """Others changed what is ours."""
        text = f"others changed what is ours: {len(found.changes)} differences, {found.changes[0]}"
        level = "info" if found.treatment == LEAVE else "warning"
        self._log.add(level, "apply", f"{text}: {DONE.get(found.treatment, PAUSED)}")
        self._publish("netpolicy.drift", {"treatment": found.treatment, "changes": list(found.changes[:10])})
