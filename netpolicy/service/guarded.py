"""The guarded apply: after it the router is in the new confirmed state or in the old one, and the journal says which.

Takes what doors ask and lets one change at a time run (change_run.py); never calls a change confirmed without evidence
from outside. Steps, states and what happens when who dies: docs/guarded-apply.md.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from hmac import compare_digest
from typing import Any

from netpolicy.dataplane.guard import GuardError, new_id, uptime
from netpolicy.service import candidate
from netpolicy.service.change import AWAITING, LONGEST_WINDOW, UNCHANGED, Change, Request
from netpolicy.service.change_run import Run
from netpolicy.service.change_tools import ApplyRefused, Tools
from netpolicy.service.eyes import CannotSee
from netpolicy.service.failures import SYSTEM_ERRORS, in_words
from netpolicy.service.generation import Damaged
from netpolicy.service.planning import Planning, collision, lock_out

# Two boots that do not come so far, and the guard takes the generation before it (docs/guard.md).
HEALTHY_SECONDS = 180.0

# Where the kernel does not follow at that moment: a line may just have changed.
AGAIN_SECONDS = 10.0

# So often the flash is written for what changes by itself, and only where it did.
RENEW_SECONDS = 86400.0

# Changes that doors may still ask about.
REMEMBERED = 8


class Guarded:
    """The one way to change what is in force that can be taken back. One change at a time."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._planning = Planning(tools)
        self._changes: deque[Change] = deque(maxlen=REMEMBERED)
        self._run: Run | None = None
        self._health: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None  # what the next boot loads first

    @property
    def current(self) -> Change | None:
        """The change under way, if any."""
        last = self._changes[-1] if self._changes else None
        return last if last is not None and not last.is_over else None

    def find(self, id: str = "") -> Change:
        """The change of that id, or the last one. Raises ApplyRefused."""
        for change in reversed(self._changes):
            if id in ("", change.id):
                return change
        raise ApplyRefused(f"there is no change {id[:64]!r}" if id else "nothing was applied since the daemon started")

    def begin(self, request: Request) -> Change:
        """Starts a change; what becomes of it is in what is returned. Raises ApplyRefused."""
        last = self.current
        if last is not None and self._task is not None and not self._task.done():
            raise ApplyRefused(
                f"change {last.id} is under way ({last.state})",
                "confirm it or abort it first: netpolicy confirm, netpolicy abort",
            )
        if request.window is not None and not 0 <= request.window <= LONGEST_WINDOW:
            raise ApplyRefused(f"confirm: {request.window} is not between 0 and {LONGEST_WINDOW} seconds")
        change = Change(new_id(), request)
        self._changes.append(change)
        self._run = Run(self._tools, self._planning, change)
        self._task = asyncio.get_running_loop().create_task(_in_turn(self._task, self._run))
        return change

    async def ended(self) -> None:
        """Waits until the change under way, if any, is over."""
        await _until_over(self._task)

    def watch_health(self) -> None:
        """From now on: the generation that counts is well when the daemon lives long enough with it."""
        if self._health is not None:
            self._health.cancel()
        loop = asyncio.get_running_loop()
        self._health = loop.call_later(HEALTHY_SECONDS, self._mark_healthy, self._tools.store.current())

    def _mark_healthy(self, number: int) -> None:
        store, loop = self._tools.store, asyncio.get_running_loop()
        if not number or number != store.current():
            return
        if not self._is_followed():
            self._health = loop.call_later(AGAIN_SECONDS, self._mark_healthy, number)
            return
        try:
            is_new = store.mark_healthy(number)
        except (OSError, Damaged) as error:
            self._tools.say("warning", f"generation {number} cannot be marked as well: {in_words(error)}")
            self._health = loop.call_later(RENEW_SECONDS, self._mark_healthy, number)
            return
        # By now the lines are up, and their devices known.
        self._keep(number, self._tools.keep_lock if is_new else self._tools.renew_lock)

    def _is_followed(self) -> bool:
        """Whether all is as these rules want it. Who only observes never has the kernel follow."""
        engine = self._tools.engine
        return engine.in_force.in_sync or (engine.effective_mode == "observe" and not engine.in_force.error)

    def _keep(self, number: int, keep: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """What the next boot loads first is so now, and again looked at in a day: what fetched lists and names hold."""
        loop = asyncio.get_running_loop()
        # What waits for its confirmation is not what a boot begins with.
        if number == self._tools.store.current() and (self.current is None or not self.current.is_pending):
            self._keeping = loop.create_task(keep(number))
        self._health = loop.call_later(RENEW_SECONDS, self._keep, number, self._tools.renew_lock)

    async def close(self) -> None:
        """The daemon ends: what nobody confirmed is taken back first, and what is over is written down."""
        if self._health is not None:
            self._health.cancel()
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self.current is not None and self._run is not None:
            self._run.stop("netpolicyd was told to end")
        await self.ended()

    async def adopt(self, found: candidate.Files, cause: str) -> None:
        """These files are in force without anybody having guarded it: that is the confirmed state from now on."""
        if not found or (self.current is not None and self.current.is_pending):
            return
        try:
            number = await asyncio.to_thread(self._prepare, found, cause)
            if number:
                # First: no boot is with it and without that. Others may be in force by now, whose files come next.
                await self._tools.keep_lock_of(number, *self._tools.engine.followed)
                await asyncio.to_thread(self._commit, number)
        except (OSError, ValueError, Damaged) as error:
            self._tools.say("error", f"what is in force cannot be kept as a generation: {in_words(error)}")
            return
        if number:
            self.watch_health()
            await self._tools.write({"event": "adopted", "cause": cause, "generation": number})

    def _prepare(self, found: candidate.Files, cause: str) -> int:
        confirmed = self._tools.store.confirmed()
        is_kept = confirmed is not None and confirmed.number == self._tools.store.current()
        if confirmed is not None and is_kept and confirmed.files == found:
            return 0
        return self._tools.store.prepare(found, {"time": int(time.time()), "cause": cause})

    def _commit(self, number: int) -> None:
        self._tools.store.commit(number)
        self._tools.store.prune()

    async def confirm(self, token: str, claim: Mapping[str, Any], who: str) -> Change:
        """The change stays. Raises ApplyRefused: it waits on, or was taken back."""
        change = self._awaiting()
        run, task = self._run, self._task  # by the time that it is confirmed the next one may have begun
        if uptime() >= change.deadline:  # it passed while the machine slept, and we are about to notice
            raise ApplyRefused("too late: the time to confirm is over")
        id, _, nonce = token.strip().partition(".")
        if id != change.id or not compare_digest(token.strip().encode(), change.token.encode()):
            raise ApplyRefused("that is not what the apply gave out to be confirmed with", "netpolicy apply printed it")
        try:
            shown, doubt = await self._tools.eyes.evidence(self._tools.engine, claim, change.request)
        except CannotSee as error:
            raise ApplyRefused(str(error)) from None
        if doubt:
            self._tools.say("warning", f"change {change.id}: a confirmation by {who} is not believed: {doubt}")
            raise ApplyRefused(doubt)
        try:
            is_decided = await self._tools.guard.confirm(nonce)
        except GuardError:  # it ended while we looked
            is_decided = False
        except OSError as error:
            raise ApplyRefused(f"the confirmation cannot be written: {in_words(error)}", "it waits on") from None
        if not is_decided:
            raise ApplyRefused("too late: the change is being taken back")
        change.notes.append(f"confirmed by {who}: {shown}")
        assert run is not None
        run.confirmed()
        await _until_over(task)
        self.watch_health()
        return change

    async def extend(self, id: str, seconds: int) -> Change:
        """Another end: so many seconds from now. Raises ApplyRefused."""
        change = self._awaiting(id)
        if not 0 < seconds <= LONGEST_WINDOW:
            raise ApplyRefused(f"extend: {seconds} is not between 1 and {LONGEST_WINDOW} seconds")
        deadline = uptime() + seconds
        try:
            await self._tools.guard.extend(deadline)
        except (OSError, GuardError) as error:
            raise ApplyRefused(f"the deadline stays as it is: {error}") from None
        change.deadline = deadline
        self._tools.tell(change)
        return change

    async def abort(self, id: str, who: str) -> Change:
        """The change is taken back now. Raises ApplyRefused."""
        change = self.current
        if change is None or id not in ("", change.id):
            raise ApplyRefused("no such change is under way")
        assert self._run is not None
        self._run.stop(f"aborted by {who}")
        await self.ended()
        return change

    def _awaiting(self, id: str = "") -> Change:
        change = self.current
        if change is None or id not in ("", change.id):
            raise ApplyRefused("no change waits for a confirmation")
        if change.state != AWAITING:
            raise ApplyRefused(f"the change is not in force yet ({change.state})", "try again in a moment")
        return change

    async def plan(self, request: Request) -> Change:
        """What a change would be, with its hash; nothing is changed and nothing waits. Raises ApplyRefused."""
        change = Change("", request)
        try:
            planned = await self._planning.plan(change)
            if change.state != UNCHANGED:
                change.refused(collision(planned))
                change.refused(lock_out(await self._planning.rehearse(change, planned)))
        except (*SYSTEM_ERRORS, CannotSee) as error:
            raise ApplyRefused(in_words(error)) from None
        return change


async def _until_over(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        await asyncio.shield(asyncio.gather(task, return_exceptions=True))


async def _in_turn(before: asyncio.Task[None] | None, run: Run) -> None:
    """The change before is over, as everybody was told; what is still written of it is written first."""
    if before is not None:
        await asyncio.wait([before])
    await run.run()
