"""The compiled index of the rules in force, made in slices while the loop answers from the one before.

Never shows a half-made index and never keeps more than those in use. Made from a `Compiled`'s rules.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from netpolicy.core.index import Building, Index
from netpolicy.core.model import Ruleset
from netpolicy.service.collector import undisturbed

# How long the loop is held at once; a step of the compilation is about a millisecond.
SLICE_SECONDS = 0.005

# The rules in force, and those before them, which connections may still have been decided by, for some seconds.
KEPT = 2
KEPT_SECONDS = 10.0


class Indexes:
    """Asked by rule set; None until its index is made: then the reference evaluator answers."""

    def __init__(self, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._stopwatch = stopwatch
        self._made: list[Index] = []  # the newest first
        self._wanted: Ruleset | None = None
        self._resting: asyncio.TimerHandle | None = None

    def of(self, ruleset: Ruleset) -> Index | None:
        """The index of exactly this rule set."""
        for index in self._made:
            if index.ruleset is ruleset:
                return index
        return None

    async def prepare(self, ruleset: Ruleset) -> None:
        """Makes the index of these rules. Given up when others are asked for meanwhile."""
        self._wanted = ruleset
        if self.of(ruleset) is not None:
            return
        with undisturbed():
            await self._build(ruleset)

    async def _build(self, ruleset: Ruleset) -> None:
        building = Building(ruleset, self._made[0] if self._made else None)
        until = self._stopwatch() + SLICE_SECONDS
        for _ in building.steps():
            if self._stopwatch() >= until:
                await asyncio.sleep(0)
                until = self._stopwatch() + SLICE_SECONDS
            if self._wanted is not ruleset:
                return
        if building.index is not None:
            self._made = [building.index, *self._made][:KEPT]
            self._rest_later()

    def forget(self) -> None:
        """Nothing is in force."""
        self._wanted = None
        self._made = []

    def _rest_later(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._rest)

    def _rest(self) -> None:
        """Two indexes of ten thousand rules are 2 MB more than one."""
        del self._made[1:]
