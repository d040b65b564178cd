"""What the parts of a guarded change share: the rooms they work with, and how they tell what happens.

Holds no step of a change. Whoever is told: the log, events, the journal, which never gets the token.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from netpolicy.config.kept_list import FOLDER as LISTS
from netpolicy.core.model import Ruleset
from netpolicy.dataplane.guard import Guard, uptime
from netpolicy.observe.journal import Journal
from netpolicy.service.boot_lock import TooLong, copies
from netpolicy.service.change import RESCUE, REVERTED, REVERTING, UNCHANGED, Change
from netpolicy.service.engine import Engine
from netpolicy.service.eyes import Eyes
from netpolicy.service.failures import in_words
from netpolicy.service.generation import Damaged
from netpolicy.service.generations import Store

EX_SOFTWARE = 70  # sysexits.h

# Of a journal on a full disk: rows that are kept in memory, and how often they are tried again.
MOST_UNWRITTEN = 32
RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 1.0, 60.0

if TYPE_CHECKING:
    from netpolicy.dataplane.boot_lock import Known, Lock
    from netpolicy.dataplane.policy import Policy
    from netpolicy.service.compile import Compiled

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

# Lists in one line of the log.
MOST_NAMED = 8

OPEN_AT_BOOT = "blocks and on_fail block hold only once the daemon runs"


class NameServer(Protocol):
    """Who has a name server fill sets by names (naming.py); also a change that asks for none waits for it."""

    @property
    def refused(self) -> str:
        """What it does not live with."""

    async def followed(self, refused: str = "") -> str:
        """It reads what belongs to what is in force; else why not."""

    async def kept(self, candidate: Ruleset) -> tuple[dict[str, str], dict[str, str]]:
        """What leads it back: texts for the bundle, and for a reboot."""

    async def for_a_boot(self) -> Known:
        """What is known of names now."""


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
    names: NameServer | None = None
    _unwritten: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=MOST_UNWRITTEN))
    _one_writer: asyncio.Lock = field(default_factory=asyncio.Lock)
    _retry: asyncio.TimerHandle | None = None
    _writing: asyncio.Task[None] | None = None
    _pause: float = 0.0  # seconds; 0: everything is written

    def move(self, change: Change, state: str) -> None:
        """The change is in that state now."""
        change.state = state
        if change.is_over:  # whoever is told so may reload at once
            self.engine.frozen = ""
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

    async def keep_lock(self, number: int) -> None:
        """What is blocked or sealed now is so at a boot with that generation before anybody runs (docs/guard.md)."""
        # Not "in sync": that is unknown while a line changes, and a generation without its locks would be confirmed.
        await self.keep_lock_of(number, *await self.engine.between_turns())

    async def keep_lock_of(self, number: int, enforced: Compiled | None, numbers: Mapping[str, int]) -> None:
        """The same of rules that were in force, with the class of each outbound then."""
        # A change that began meanwhile: what is in force is the candidate's, and this is what it would be led back to.
        if enforced is None or (self.engine.frozen and number == self.store.current()):
            return
        from netpolicy.dataplane import boot_lock

        policy = enforced.policy
        known = await self._known(policy)
        try:
            lock = await asyncio.to_thread(boot_lock.lock, policy, numbers, known)
            left_out = await asyncio.to_thread(self._keep, number, lock)
        except TooLong as size:
            self.say("warning", f"these rules are too long to be kept for the next boot ({size}); then {OPEN_AT_BOOT}")
        except (OSError, Damaged, ValueError) as error:
            self.say("warning", f"the locks for the next boot cannot be kept: {in_words(error)}; {OPEN_AT_BOOT}")
        else:
            if left_out:
                text = f"no room for all lists and names at the next boot ({left_out}): by them {OPEN_AT_BOOT}"
                self.say("warning", text)

    def _keep(self, number: int, lock: Lock) -> str:
        """What is not kept, in words, "" where all is. Lists and names need not fit; without them the rest does."""
        try:
            self.store.keep_lock(number, lock.texts, lock.further)
        except OSError as error:
            if error.errno not in NO_ROOM or not lock.further:
                raise
            # What it was made of is not said: it is made anew as soon as there is room (`renew_lock`).
            from netpolicy.dataplane.boot_lock import MADE

            self.store.keep_lock(number, {**lock.texts, MADE: ""})
            return in_words(error)
        return "; ".join(lock.left_out[:MOST_NAMED])

    async def renew_lock(self, number: int) -> None:
        """Where devices, lists or addresses of names are others, or the release; nothing else is written: flash."""
        from netpolicy.dataplane import boot_lock

        enforced, _ = await self.engine.between_turns()
        if enforced is None:
            return
        policy = enforced.policy
        known = await self._known(policy)
        kept = [self.store.lock_text(number, name) for name in (boot_lock.MADE, boot_lock.ADDRESSES)]
        if await asyncio.to_thread(boot_lock.is_stale, *kept, policy, known):
            await self.keep_lock(number)

    async def _known(self, policy: Policy) -> Known:
        from netpolicy.dataplane import boot_lists, boot_lock

        known = await self.names.for_a_boot() if self.names is not None else boot_lock.NOTHING
        folder = os.path.join(self.engine.places.state, LISTS)
        lists = await asyncio.to_thread(boot_lists.named, policy)
        return known._replace(copies=await asyncio.to_thread(copies, folder, lists))

    async def note_begin(self, change: Change) -> None:
        """Before the kernel changes: whatever dies, the journal knows that there was a change."""
        kept = change.kept()
        begun = {key: kept[key] for key in ("id", "cause", "who", "why", "generation", "window", "forced", "plan")}
        await self.write({"event": "begin", **begun})

    async def conclude(self, change: Change, state: str) -> None:
        """It has ended so: first into the journal, then it is told, then the record of it goes. Raises OSError."""
        await self.note(change, state)
        self.move(change, state)
        await self.guard.finish()

    async def note(self, change: Change, outcome: str) -> None:
        """How it ended."""
        if outcome != UNCHANGED:
            await self.write({"event": "change", **change.kept(), "outcome": outcome})

    async def write(self, entry: Mapping[str, object]) -> None:
        """Into the journal. One that cannot be written stops nothing, and is written when there is room again."""
        self._unwritten.append({"time": round(time.time(), 3), **entry})
        await self._write_all()

    async def _write_all(self) -> None:
        async with self._one_writer:
            while self._unwritten:
                entry = self._unwritten[0]
                try:
                    await asyncio.to_thread(self.journal.append, entry)
                except OSError as error:
                    self._write_later(error)
                    return
                if self._unwritten and self._unwritten[0] is entry:  # else too many came meanwhile, and it went first
                    self._unwritten.popleft()
            if self._pause:
                self.say("info", "the journal is written again")
            self._pause = 0.0

    def _write_later(self, error: OSError) -> None:
        if not self._pause:
            self.say("error", f"the journal was not written, it is tried again: {in_words(error)}")
        self._pause = min(self._pause * 2 or RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS)
        if self._retry is not None:
            self._retry.cancel()
        self._retry = asyncio.get_running_loop().call_later(self._pause, self._write_again)

    def _write_again(self) -> None:
        self._writing = asyncio.get_running_loop().create_task(self._write_all())
