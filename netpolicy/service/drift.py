"""Whether somebody else changed what is ours in the kernel, and whether to put it right, tell of it, or stop.

Never heals without end: who removes our rules a third time means it, or is another program that heals too.
Knows a plan and what was wanted before; reads no clock of its own. Words: docs/architecture.md ("drift").
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from netpolicy.dataplane.plan import Plan
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import Routing

HEAL, ALERT, LEAVE = "heal", "alert", "leave"
MODES = (HEAL, ALERT, LEAVE)
PAUSED = "paused"  # heal, but twice within the window was enough

MOST_HEALS = 2
WINDOW_SECONDS = 600.0

# A plan that rebuilds everything has thousands of changes; these are for a person.
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Found:
    """One time that our state was found changed by others."""

    at: float  # seconds of the monotonic clock
    changes: tuple[str, ...]  # what would put it right, in the words of nft and ip
    treatment: str  # heal, alert, leave or paused


class Drift:
    """Judges plans. One for each engine."""

    def __init__(self) -> None:
        self._wanted: tuple[Policy, Routing] | None = None
        self._changes = 0  # of links and addresses, that were heard of
        self._looked_after = 0  # so many of them the kernel was read last
        self._followed_after = 0
        self._heals: deque[float] = deque(maxlen=MOST_HEALS)
        self.last: Found | None = None
        self.is_there = False  # and was not put right
        self.count = 0  # since the start

    def look(self) -> None:
        """The kernel is about to be read for a plan: what changes from now on may be missing in the next one."""
        self._looked_after = self._changes

    def followed(self, plan: Plan) -> None:
        """The kernel does now what this plan wanted."""
        self._wanted = (plan.policy, plan.wanted)
        self._followed_after = self._looked_after
        self.is_there = False

    def lost(self) -> None:
        """Nobody knows what is in force: a step failed, or everything was removed on purpose."""
        self._wanted = None
        self.is_there = False

    def network_changed(self) -> None:
        """A link or an address came, went or changed: the kernel removes routes by itself then."""
        self._changes += 1

    def judge(self, plan: Plan, mode: str, now: float) -> Found | None:
        """None when this plan is no drift: what is wanted has changed, or the kernel is as it should be."""
        if plan.is_empty or self._wanted != (plan.policy, plan.wanted):
            return None
        is_disturbed = self._changes > self._followed_after
        if is_disturbed and plan.nft.is_empty and not plan.routing.add_rules and not plan.routing.delete_rules:
            return None  # routes alone: those of a device that was down for a moment
        treatment = PAUSED if mode == HEAL and self.resumes_in(now) > 0 else mode
        found = Found(now, plan.changes[:MOST_SHOWN], treatment)
        if not self.is_there or self.last is None or self.last.changes != found.changes:
            self.count += 1
        self.last, self.is_there = found, True
        if treatment == HEAL:
            self._heals.append(now)
        return found

    def resumes_in(self, now: float) -> float:
        """Seconds until drift is healed again; 0 when it is healed at once."""
        if len(self._heals) < MOST_HEALS:
            return 0.0
        return max(0.0, self._heals[0] + WINDOW_SECONDS - now)

    def insist(self) -> None:
        """A person wants it put right now, whatever was before."""
        self._heals.clear()
