"""When to look again: collects causes, waits for a burst to end, runs one reconcile at a time.

Never decides what to change; a failed turn is tried again, later and later. Causes come
from netlink, the bus, signals and line changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from netpolicy.dataplane import sleeps
from netpolicy.service.engine import Engine

# One line that comes up sends about a dozen messages: wait for the burst, not for silence.
SETTLE_SECONDS = 0.05

# A neighbour that flaps must not keep a small router busy with nothing else.
PAUSE_SECONDS = 0.3

# Schedules begin and end on a minute.
MINUTE = 60.0

# A clock that is set, a time zone that changes, and the end of a suspended night tell nobody: this much later the
# schedules follow, at most. Looking costs some microseconds, and is done only where there are schedules.
CLOCK_SECONDS = 1.0

RETRY_FIRST_SECONDS = 2.0
RETRY_MOST_SECONDS = 60.0


class Keeper:
    """Owns the task that keeps kernel and rules equal.

    `woke` is called with the seconds that the machine slept, within a minute of its waking; where there are schedules,
    within CLOCK_SECONDS.
    """

    def __init__(self, engine: Engine, slept: Callable[[], float] = sleeps.slept) -> None:
        self.woke: Callable[[float], object] = lambda seconds: None
        self._engine = engine
        self._sleeps = sleeps.Sleeps(slept)
        self._wanted = asyncio.Event()
        self._urgent = asyncio.Event()
        self._reload = False
        self._cause = ""
        self._task: asyncio.Task[None] | None = None
        self._under_way: asyncio.Task[str] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._minute = -1
        self._rest: asyncio.TimerHandle | None = None
        self._is_closing = False

    def start(self) -> None:
        """Begins to keep, with a first turn at once."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.look("start")
        self._watch_clock()

    def look(self, cause: str) -> None:
        """Something may have changed."""
        self._cause = cause
        self._wanted.set()

    def hurry(self, cause: str) -> None:
        """A line failed: packets are lost until the next turn, which waits for no burst to end."""
        self._urgent.set()
        self.look(cause)

    def reload(self) -> None:
        """The configuration may have changed."""
        self._reload = True
        self.look("reload")

    def look_later(self) -> None:
        """A change asked for elsewhere failed: it is tried again."""
        if self._retry is None:
            self._try_again(RETRY_FIRST_SECONDS)

    async def close(self) -> None:
        """Stops keeping; a turn under way is finished first."""
        self._is_closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._under_way is not None:
            await asyncio.gather(self._under_way, return_exceptions=True)
        self._cancel_retry()
        for timer in (self._clock, self._rest):
            if timer is not None:
                timer.cancel()

    def _watch_clock(self) -> None:
        """Looks when another schedule is open than the rules in force were made for; at each minute at drift."""
        engine, loop = self._engine, asyncio.get_running_loop()
        if seconds := self._sleeps.since():
            self.woke(seconds)
        if engine.compiled is not None and engine.compiled.active != engine.open_schedules():
            self.look("schedule")
        now = engine.clock()
        if engine.drift.is_there and now.tm_min != self._minute:
            self.look("drift")  # by now it may be put right again
        self._minute = now.tm_min
        wait = MINUTE - now.tm_sec
        if engine.compiled is None or engine.has_schedules:
            wait = min(wait, CLOCK_SECONDS)
        self._clock = loop.call_later(wait, self._watch_clock)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        retry = RETRY_FIRST_SECONDS
        # Until Python 3.12 `wait_for` may swallow a cancellation, so the task is also told to end.
        while not self._is_closing:
            await self._wanted.wait()
            await self._wait(SETTLE_SECONDS)
            if self._is_closing:
                return
            self._urgent.clear()
            self._cancel_retry()  # this turn is the one; what fails elsewhere from now on is tried again after it
            self._under_way = loop.create_task(self._safe_turn())
            error = await asyncio.shield(self._under_way)
            if error:
                self._cancel_retry()
                self._try_again(retry)
                retry = min(retry * 2, RETRY_MOST_SECONDS)
            else:
                retry = RETRY_FIRST_SECONDS
            self._end_rest(loop)
            await self._wait(PAUSE_SECONDS)

    def _end_rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """A device whose queue somebody took away is looked at again when it was left alone for long enough."""
        if self._rest is not None:
            self._rest.cancel()
        rest = self._engine.kernel.rests_for()
        self._rest = loop.call_later(rest, self.look, "a device may have its queue again") if rest else None

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._urgent.wait(), seconds)

    def _try_again(self, seconds: float) -> None:
        self._retry = asyncio.get_running_loop().call_later(seconds, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.look("retry")

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def _safe_turn(self) -> str:
        try:
            return await self._turn()
        except Exception as fault:  # noqa: BLE001 - the border: a bug must not end the keeping
            return self._engine.note_fault(fault)

    async def _turn(self) -> str:
        cause, self._cause = self._cause, ""
        reload, self._reload = self._reload, False
        self._wanted.clear()
        if reload:
            # Refused, it is not tried again by itself: only its owner can mend it. The network may have changed.
            await self._engine.read_config()
        return await self._engine.reconcile(cause)
