"""Follows one change until it is over or somebody has to act, and tells on standard error how far it is.

Never decides anything: when this ends, by Ctrl-C or together with the daemon, the change goes on by itself, and what
became of it is asked from whoever is left. States: docs/guarded-apply.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import change_picture, picture
from .exit_code import CHANGES_PENDING, FINDINGS, FINE, REFUSED, RESCUE, REVERTED, Failure
from .running import Daemon
from .terminal import Terminal, clean

ENDS = {"unchanged": FINE, "committed": FINE, "refused": REFUSED, "reverted": REVERTED, "rescue": RESCUE}
AWAITING = "await"

PROGRESS = {
    "planning": "reading and planning …",
    "checked": "rehearsing …",
    "rehearsed": "preparing the way back …",
    "armed": "the guard watches …",
    "applying": "changing the kernel …",
    "probing": "probing the lines …",
    AWAITING: "in force, not confirmed yet",
    "reverting": "taking it back …",
}

STEP_SECONDS = 0.1  # between two looks while it is being made
WAIT_SECONDS = 1.0  # and while a person is waited for

# When so much is left, it is said.
MARKS = (3000, 1800, 900, 600, 300, 120, 60, 30, 10, 5)

# The guard leads back at once, in three attempts at most; then netpolicyd starts again and tells.
LOST_SECONDS = 60
KEPT_BY_GUARD = "an edited text that the guard replaced is kept in the store: /etc/netpolicy/rejected"
LOOKED_THROUGH = 50  # lines of the journal

# How the guard's outcome (docs/guard.md) ends a change.
OUTCOMES = {"confirmed": "committed", "reverted": "reverted", "fallback": "reverted", "rescue": "rescue"}


class Follower:
    """One change as it was seen last. `told_at_once`: end as soon as it waits for a person."""

    def __init__(self, terminal: Terminal, id: str, told_at_once: bool, is_console: bool) -> None:
        self._terminal = terminal
        self._id = id
        self._ends_at_await = told_at_once
        self._is_console = is_console
        self._left = 0
        self.last: dict[str, Any] = {"id": id, "state": ""}
        self.token = ""

    def follow(self, daemon: Daemon, socket: str | None) -> dict[str, Any]:
        """The change when it is over, or waits. Raises Failure: nobody says what became of it; KeyboardInterrupt."""
        try:
            try:
                return self._follow(daemon)
            except Failure as failure:
                return self._lost(socket, failure)
        except KeyboardInterrupt:
            self._leave()
            raise

    def _follow(self, daemon: Daemon) -> dict[str, Any]:
        while True:
            found = daemon.call("job", {"id": self._id})
            self.token = str(found.get("token") or self.token)
            before, self.last = self.last.get("state"), found
            state = str(found.get("state"))
            if state in ENDS or (state == AWAITING and self._ends_at_await):
                return found
            if state != before:
                self._terminal.note(clean(PROGRESS.get(state, state)))
            if state == AWAITING:
                self._tell(found, is_new=state != before)
            time.sleep(WAIT_SECONDS if state == AWAITING else STEP_SECONDS)

    # -- waiting ---------------------------------------------------------------------------

    def _tell(self, found: Mapping[str, Any], is_new: bool) -> None:
        left = found.get("seconds_left")
        left = left if isinstance(left, int) else 0
        if is_new and self._terminal.as_json:  # the document comes at the end, too late to confirm
            self._terminal.note(f"{left} s to say: netpolicy confirm {clean(self.token)}")
        elif is_new:
            change_picture.change(self._terminal, found)
            change_picture.how_to_confirm(self._terminal, found, self.token, self._is_console)
        elif left > self._left:
            self._terminal.note(f"the time was extended: {left} s left")
        elif any(left <= mark < self._left for mark in MARKS):
            self._terminal.note(f"{left} s left")
        self._left = left

    def _leave(self) -> None:
        """Said to a person who pressed Ctrl-C; the change knows nothing of it."""
        if self._terminal.as_json:
            self._terminal.document(self.last)
        if self.last.get("state") == AWAITING:
            self._terminal.note(f"\nchange {clean(self._id)} goes on waiting:")
            self._terminal.note(f"  stays:     netpolicy confirm {clean(self.token)}")
            self._terminal.note(f"  goes now:  netpolicy abort; by itself in {clean(self.last.get('seconds_left'))} s")
            return
        self._terminal.note(f"\nchange {clean(self._id)} goes on without this command:")
        self._terminal.note("  look: netpolicy status; confirm: netpolicy call job has its token")
        self._terminal.note("  take it back: netpolicy abort")

    # -- without a daemon ------------------------------------------------------------------

    def _lost(self, socket: str | None, failure: Failure) -> dict[str, Any]:
        """The daemon went away meanwhile: the guard leads back then, and the next daemon tells."""
        self._terminal.note(clean(failure.text))
        self._terminal.note(
            f"if it has died, the guard takes the change back; waiting {LOST_SECONDS} s for word of it …"
        )
        for _ in range(LOST_SECONDS):
            try:
                with Daemon(socket) as daemon:
                    return self._ended_meanwhile(daemon) or self._follow(daemon)
            except Failure as again:
                if self._is_pending(socket):
                    hint = (
                        "netpolicy status shows it, netpolicy abort takes it back; unconfirmed it goes back by itself"
                    )
                    raise Failure(f"change {self._id} goes on ({again.text})", hint, CHANGES_PENDING) from None
                time.sleep(1.0)
        raise Failure(
            f"nobody says what became of change {self._id}",
            "/usr/lib/netpolicy/guard status says it now, netpolicy history when netpolicyd runs again",
            FINDINGS,
        )

    def _is_pending(self, socket: str | None) -> bool:
        """Whether a daemon is there that has the change, though it cannot show it."""
        try:
            with Daemon(socket) as daemon:
                pending = daemon.call("status").get("pending")
        except Failure:
            return False
        return isinstance(pending, dict) and pending.get("id") == self._id

    def _ended_meanwhile(self, daemon: Daemon) -> dict[str, Any] | None:
        """How it ended, by the journal; None when it says nothing."""
        for row in picture.rows(daemon.call("history", {"limit": LOOKED_THROUGH}), "entries"):
            state, why = _end_in(row, self._id)
            if state:
                kept = {"notes": row.get("notes") or [], "hint": KEPT_BY_GUARD if _is_led_back(row) else None}
                return {**self.last, "state": state, "error": why or None, "seconds_left": None, "token": None, **kept}
        return None


def _is_led_back(row: Mapping[str, Any]) -> bool:
    return row.get("event") == "recovered" and OUTCOMES.get(str(row.get("outcome"))) == "reverted"


def _end_in(row: Mapping[str, Any], id: str) -> tuple[str, str]:
    """The end of that change in a line of the journal, and why; "" where the line is of something else."""
    if row.get("event") == "change" and row.get("id") == id and row.get("outcome") in ENDS:
        return str(row["outcome"]), str(row.get("reason") or "")
    named, reason, *how = [*str(row.get("detail") or "").split(" "), "", ""]
    if row.get("event") == "recovered" and named == id:
        return OUTCOMES.get(str(row.get("outcome")), ""), f"{reason.replace('-', ' ')} ({' '.join(how).strip()})"
    return "", ""
