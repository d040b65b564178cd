"""What the parts of a guarded change share: the rooms they work with, and how they tell what happens.

Holds no step of a change. Whoever is told: the log, events, the journal, which never gets the token.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from netpolicy.dataplane.guard import Guard, uptime
from netpolicy.observe.journal import Journal
from netpolicy.service.change import RESCUE, REVERTED, REVERTING, UNCHANGED, Change
from netpolicy.service.engine import Engine
from netpolicy.service.eyes import Eyes
from netpolicy.service.generations import Store

EX_SOFTWARE = 70  # sysexits.h


class ApplyRefused(Exception):
    """The change is not made, or not confirmed; nothing is different. `hint` says what to do."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


def _die_at_once() -> None:
    """Without a farewell: ending as usual would remove what is in force."""
    os._exit(EX_SOFTWARE)


@dataclass(slots=True)
class Tools:
    """One of each. `die` ends this process, so that the guard leads back."""

    engine: Engine
    guard: Guard
    store: Store
    journal: Journal
    eyes: Eyes = field(default_factory=Eyes)
    die: Callable[[], None] = _die_at_once

    def move(self, change: Change, state: str) -> None:
        """The change is in that state now."""
        change.state = state
        level = "warning" if state in (REVERTING, REVERTED, RESCUE) else "info"
        why = f": {change.error}" if change.error else ""
        self.say(level, f"change {change.id}: {state}{why}")
        self.tell(change)

    def tell(self, change: Change) -> None:
        """To whoever listens on the bus."""
        shown = change.shown(uptime())
        told = {key: shown[key] for key in ("id", "state", "error", "seconds_left", "generation", "cause")}
        self.engine.publish("netpolicy.change", told)

    def say(self, level: str, text: str) -> None:
        """Into the log."""
        self.engine.log.add(level, "apply", text)

    async def note_begin(self, change: Change) -> None:
        """Before the kernel changes: whatever dies, the journal knows that there was a change."""
        kept = change.kept()
        begun = {key: kept[key] for key in ("id", "cause", "who", "why", "generation", "window", "forced", "plan")}
        await self.write({"event": "begin", **begun})

    async def conclude(self, change: Change, state: str) -> None:
        """It has ended so: first into the journal, then the record of it goes. Raises OSError."""
        self.move(change, state)
        await self.note(change)
        await self.guard.finish()

    async def note(self, change: Change) -> None:
        """How it ended."""
        if change.state != UNCHANGED:
            await self.write({"event": "change", **change.kept()})

    async def write(self, entry: Mapping[str, object]) -> None:
        """Into the journal. One that cannot be written stops nothing."""
        try:
            await asyncio.to_thread(self.journal.append, entry)
        except OSError as error:
            self.say("error", f"the journal was not written: {in_words(error)}")


def in_words(error: BaseException) -> str:
    """One sentence for a person."""
    if isinstance(error, OSError) and error.filename:
        return f"cannot write {error.filename}: {error.strerror}"
    return str(error)
