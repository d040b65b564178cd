"""Looks at the counters of the rules now and then, so that their last hits are known to some minutes.

Owns one task. Sleeps while nothing is enforced; never holds the loop (the comparison runs in a
worker); what it cannot read or write it says once and goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from netpolicy.dataplane.listing import UnreadableListing
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.state import NetlinkError
from netpolicy.service.engine import Engine
from netpolicy.service.usage import Usage

# How exact a last hit is. Reading ten thousand counters takes a router a good part of a second.
SECONDS = 300.0


class Sampler:
    """Keeps `usage` for an engine."""

    def __init__(self, engine: Engine, usage: Usage, clock: Callable[[], float] = time.time) -> None:
        self.usage = usage
        self._engine = engine
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Ends, with a last look that is written down."""
        if self._task is not None:
            async with self._one_at_a_time:  # a worker that compares is not ended with who waits for it
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.look()
        async with self._one_at_a_time:
            self._guarded(self.usage.save_now)

    async def look(self) -> None:
        """Reads the counters and compares them."""
        if self._engine.enforced is None:
            return
        try:
            counters = await self._engine.kernel.counters()
        except (NftError, NetlinkError, UnreadableListing) as error:
            self._say(f"the rule counters cannot be read: {error}")
            return
        await self.take(counters)

    async def take(self, counters: Mapping[str, tuple[int, int]]) -> None:
        """Compares counters that somebody read anyway."""
        engine = self._engine
        if engine.enforced is None or engine.compiled is None:
            return
        async with self._one_at_a_time:
            rules, standing = engine.ruleset.rules, engine.compiled.standing
            older = engine.kernel.take_older_counts()
            await asyncio.to_thread(self.usage.note, rules, standing, counters, self._clock(), older)
            self._guarded(self.usage.save)

    def _guarded(self, write: Callable[[float], None]) -> None:
        try:
            write(self._clock())
        except OSError as error:
            self._say(f"the last hits of rules are not kept: cannot write {error.filename}: {error.strerror}")

    def _say(self, text: str) -> None:
        if text != self._said:
            self._engine.log.add("warning", "flow", text)
            self._said = text

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await self.look()
