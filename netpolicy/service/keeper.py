"""When to look again: collects causes, waits for a burst to end, runs one reconcile at a time.

Never decides what to change; a failed turn is tried again, later and later. Causes come
from netlink, the bus, signals and line changes.
"""

from __future__ import annotations

import asyncio

from netpolicy.service.engine import Engine

# One line that comes up sends about a dozen messages: wait for the burst, not for silence.
SETTLE_SECONDS = 0.05

# A neighbour that flaps must not keep a small router busy with nothing else.
PAUSE_SECONDS = 0.3

RETRY_FIRST_SECONDS = 2.0
RETRY_MOST_SECONDS = 60.0


class Keeper:
    """Owns the task that keeps kernel and rules equal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted = asyncio.Event()
        self._reload = False
        self._cause = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to keep, with a first turn at once."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.look("start")

    def look(self, cause: str) -> None:
        """Something may have changed."""
        self._cause = cause
        self._wanted.set()

    def reload(self) -> None:
        """The configuration may have changed."""
        self._reload = True
        self.look("reload")

    async def close(self) -> None:
        """Stops keeping; a turn under way is finished first."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        retry = RETRY_FIRST_SECONDS
        while True:
            await self._wanted.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            error = await asyncio.shield(self._turn())
            if error:
                asyncio.get_running_loop().call_later(retry, self.look, "retry")
                retry = min(retry * 2, RETRY_MOST_SECONDS)
            else:
                retry = RETRY_FIRST_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)

    async def _turn(self) -> str:
        cause, self._cause = self._cause, ""
        reload, self._reload = self._reload, False
        self._wanted.clear()
        # A configuration that was refused is not tried again by itself: only its owner can mend it.
        if reload and await self._engine.read_config():
            return ""
        return await self._engine.reconcile(cause)
