"""One guarded change from its plan to its end: what doors show of it and what the journal keeps.

Plain data, no steps: those are in guarded.py. The token is a secret of whoever asked for the change: it stands in
the answer to that door alone, never in a journal, a log or an event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# The states of the protocol, in their order (docs/guarded-apply.md).
PLANNING, CHECKED, REHEARSED, ARMED = "planning", "checked", "rehearsed", "armed"
APPLYING, PROBING, AWAITING = "applying", "probing", "await"
REVERTING = "reverting"
UNCHANGED, REFUSED, COMMITTED, REVERTED, RESCUE = "unchanged", "refused", "committed", "reverted", "rescue"

ENDED = (UNCHANGED, REFUSED, COMMITTED, REVERTED, RESCUE)

# From here on the kernel may differ from what is confirmed.
PENDING = (ARMED, APPLYING, PROBING, AWAITING, REVERTING)

LONGEST_WINDOW = 3600  # seconds
LONGEST_WORDS = 400


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for.

    `window`: seconds to wait for a confirmation, 0 none, None as the settings and the risk say. `plan`: the hash of
    the plan that was looked at. `given`: content by path in place of what is on disk. `cause`: apply or rollback N.
    """

    who: str = ""
    why: str = ""
    window: int | None = None
    plan: str = ""
    force: bool = False
    given: dict[str, bytes] = field(default_factory=dict)
    named: str = ""  # what a place in the given text is called, in place of the file that it would be written to
    cause: str = "apply"
    by_web: bool = False
    by_console: bool = False  # somebody says to sit at the router itself


@dataclass(slots=True)
class Change:
    """One change, as it stands now."""

    id: str
    request: Request
    state: str = PLANNING
    error: str = ""  # why it was refused or reverted
    hint: str = ""
    token: str = ""
    window: int = 0
    deadline: int = 0  # seconds since boot
    generation: int = 0  # that it becomes, or became
    plan: dict[str, Any] = field(default_factory=dict)
    rehearsal: dict[str, Any] = field(default_factory=dict)
    probes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED

    @property
    def is_pending(self) -> bool:
        """Whether the kernel may differ from what is confirmed."""
        return self.state in PENDING

    def refused(self, why: Exception | None) -> None:
        """An apply of this would be refused; the first reason counts."""
        if why is not None and not self.error:
            self.error, self.hint = str(why), str(getattr(why, "hint", ""))

    def shown(self, now: int) -> dict[str, Any]:
        """For every door: no token. `now` in seconds since boot."""
        return {
            "id": self.id,
            "state": self.state,
            "who": self.request.who,
            "why": self.request.why,
            "cause": self.request.cause,
            "error": self.error or None,
            "hint": self.hint or None,
            "window": self.window,
            "seconds_left": max(0, self.deadline - now) if self.is_pending else None,
            "generation": self.generation or None,
            "plan": self.plan,
            "rehearsal": self.rehearsal,
            "probes": list(self.probes),
            "notes": list(self.notes),
        }

    def kept(self) -> dict[str, object]:
        """For the journal."""
        plan = {name: self.plan[name] for name in ("hash", "risk", "changes") if name in self.plan}
        return {
            "id": self.id,
            "cause": self.request.cause,
            "who": self.request.who,
            "why": self.request.why,
            "outcome": self.state,
            "reason": self.error,
            "generation": self.generation,
            "window": self.window,
            "forced": self.request.force,
            "plan": plan,
            "rehearsal": self.rehearsal,
            "probes": list(self.probes),
            "notes": list(self.notes),
        }
