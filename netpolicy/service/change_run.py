"""One guarded change from its first step to its end: confirmed, or everything as before.

Every death in between is somebody else's to mend: the guard's, or `recover` at the next start. Steps and states:
docs/guarded-apply.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from netpolicy.dataplane.guard import GuardError, uptime
from netpolicy.service import way_back
from netpolicy.service.candidate import Files
from netpolicy.service.change import (
    APPLYING,
    ARMED,
    AWAITING,
    COMMITTED,
    PROBING,
    REFUSED,
    REHEARSED,
    REVERTING,
    UNCHANGED,
    Change,
)
from netpolicy.service.change_tools import ApplyRefused, Tools
from netpolicy.service.eyes import CannotSee
from netpolicy.service.failures import SYSTEM_ERRORS, in_words
from netpolicy.service.generation import Damaged
from netpolicy.service.planning import Planned, Planning, collision, lock_out
from netpolicy.service.way_back import Undo

# Between two looks at the guard while a change is pending.
WATCH_SECONDS = 1.0


class Run:
    """Carries one change out. `stop` may come at any time."""

    def __init__(self, tools: Tools, planning: Planning, change: Change) -> None:
        self._tools = tools
        self._planning = planning
        self.change = change
        self._decided = asyncio.Event()
        self._stopped = ""
        self._undo: Undo | None = None
        self._files: Files = {}

    def stop(self, why: str) -> None:
        """The change is taken back, unless it was confirmed before."""
        self._stopped = self._stopped or why
        self._decided.set()

    def confirmed(self) -> None:
        """The verdict is there."""
        self._decided.set()

    async def run(self) -> None:
        """Until the change is over. Raises nothing."""
        engine = self._tools.engine
        # From the plan on: what was planned, and what the way back is made of, must be what is in force.
        engine.frozen = f"change {self.change.id} is under way: wait for its end, or abort it: netpolicy abort"
        try:
            await self._steps()
        except ApplyRefused as refusal:
            await self._give_up(str(refusal), refusal.hint)
        except (*SYSTEM_ERRORS, GuardError, CannotSee) as error:
            await self._give_up(in_words(error))
        except Exception as fault:  # noqa: BLE001 - the border: a bug must not leave a change pending
            await self._give_up(engine.note_fault(fault))
        finally:
            engine.frozen = ""

    # -- forward ---------------------------------------------------------------------------

    async def _steps(self) -> None:
        tools, change = self._tools, self.change
        # A reload that is just ending: what the way back leads to must be what counts in the store.
        if error := await tools.engine.settle("before an apply"):
            raise ApplyRefused(f"what was read last is not in force: {error}", "mend that first")
        planned = await self._planning.plan(change)
        tools.move(change, change.state)
        if change.state == UNCHANGED:
            return
        if found := collision(planned):
            raise found
        found = lock_out(await self._planning.rehearse(change, planned))
        if found and not change.request.force:
            raise found
        tools.move(change, REHEARSED)
        lines = await tools.eyes.probe(tools.engine)
        others = await tools.engine.kernel.of_others()
        change.window = change.plan["window"]
        self._files = planned.found.files
        self._undo = await way_back.arm(tools, change, planned)
        tools.move(change, ARMED)
        await tools.note_begin(change)
        await self._switch(planned)
        await tools.eyes.switched(tools.engine)
        tools.move(change, PROBING)
        change.probes, worse = await tools.eyes.compare(tools.engine, lines)
        if worse:
            raise ApplyRefused(f"a probe that passed before fails now: {worse}")
        await self._look_at_others(others)
        await self._decide()
        await self._commit()

    async def _switch(self, planned: Planned) -> None:
        tools, change = self._tools, self.change
        if self._stopped:
            raise ApplyRefused(self._stopped)
        await tools.guard.advance("applying")
        tools.move(change, APPLYING)
        change.notes += await asyncio.to_thread(way_back.write_files, tools, change.request.given)
        tools.engine.frozen = f"change {change.id} waits for a confirmation: confirm it or abort it first"
        cause = f"{change.request.cause} {change.id}"
        error = tools.engine.take(planned.found.loaded) or await tools.engine.reconcile(cause)
        if error:
            raise ApplyRefused(error)
        if tools.names is not None and self._undo is not None:
            error = await tools.names.followed(self._undo.refused)
        if error:
            raise ApplyRefused(error)

    async def _look_at_others(self, before: Mapping[str, object]) -> None:
        """What is not ours and changed meanwhile was somebody else's doing: told, and no reason to go back."""
        now = await self._tools.engine.kernel.of_others()
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if changed:
            self.change.notes.append("changed meanwhile, not by netpolicy: " + ", ".join(changed)[:200])
            self._tools.say("warning", f"change {self.change.id}: {self.change.notes[-1]}")

    async def _decide(self) -> None:
        """Until there is a verdict for the change. Raises ApplyRefused: there is none, or one against it."""
        tools, change = self._tools, self.change
        if self._stopped:
            raise ApplyRefused(self._stopped)
        await tools.keep_lock(change.generation)  # before the verdict: from then on a boot may be with it
        if not change.window:
            if not await tools.guard.confirm(change.token.partition(".")[2]):
                raise ApplyRefused("too late: the guard has decided against the change")
            return
        await tools.guard.advance("await")
        change.deadline = uptime() + change.window
        await tools.guard.extend(change.deadline)
        tools.move(change, AWAITING)
        await self._wait()
        if self._stopped:
            raise ApplyRefused(self._stopped)

    async def _wait(self) -> None:
        """Until somebody decides or the time is over; a guard that died meanwhile is replaced."""
        guard = self._tools.guard
        while not self._decided.is_set():
            left = self.change.deadline - uptime()
            if left <= 0:
                self.stop("nobody confirmed it in time")
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._decided.wait(), min(left, WATCH_SECONDS))
            if not self._decided.is_set():
                try:
                    await guard.ensure_alive()
                except GuardError as error:
                    self.stop(f"nobody guards it any more: {error}")
                if guard.verdict().startswith("revert"):
                    self.stop("the guard decided against it")

    async def _commit(self) -> None:
        """The verdict is on disk: from here on every death ends in the new state."""
        tools, change = self._tools, self.change
        try:
            await asyncio.to_thread(tools.store.commit, change.generation)
        except Damaged as bad:  # since it was written; who confirmed is told no other end for that
            change.notes.append(str(bad))
            change.generation = await way_back.prepare(tools, change, self._files)
            await tools.keep_lock(change.generation)
            await asyncio.to_thread(tools.store.commit, change.generation)
        await tools.guard.write_outcome(f"confirmed {change.id}")
        await tools.conclude(change, COMMITTED)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(tools.store.prune)

    # -- back ------------------------------------------------------------------------------

    async def _give_up(self, error: str, hint: str = "") -> None:
        tools, change = self._tools, self.change
        change.error, change.hint = error, hint
        if self._undo is None:
            await tools.note(change, REFUSED)
            tools.move(change, REFUSED)
            return
        undo, self._undo = self._undo, None
        try:
            if not await tools.guard.claim_revert(error):
                change.error = change.hint = ""  # somebody confirmed it at the last moment: it is decided
                await self._commit()
                return
            tools.move(change, REVERTING)
            fault = await way_back.lead_back(tools, change, undo)
        except (*SYSTEM_ERRORS, GuardError, ApplyRefused) as problem:
            fault = in_words(problem)
        except Exception as bug:  # noqa: BLE001 - the border: the guard knows the way without us
            fault = tools.engine.note_fault(bug)
        if fault:
            await way_back.leave_to_guard(tools, change, fault)
