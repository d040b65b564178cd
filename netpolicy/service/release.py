"""Open connections when their way loses its meaning: they are decided again, or our bits leave them.

Remembers which classes are due until it was done, and which connections were forgotten. Never
decides which rule a connection gets (affected.py, judge.py do); never holds the loop for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from netpolicy.core.facts import Facts
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.model import Flow
from netpolicy.observe.ring import Ring
from netpolicy.service.affected import Affected
from netpolicy.service.twins import Twins

# One turn of the loop: reads are answered in between.
SLICE_SECONDS = 0.004

# The table is read again while it still holds what should be gone: a packet that was under way when
# the rules changed may have been decided by the old ones. Once is usual; what comes for ever is no accident.
PASSES = 4


class FlowDoor(Protocol):
    """What is asked of conntrack. All raise NetlinkError."""

    def forget(self, mark: int, mask: int) -> int:
        """Deletes the entries whose mark matches; says how many."""

    def clear_marks(self, mask: int) -> int:
        """Clears these bits in every entry, so that nothing of ours is left; says how many."""

    def batches(self) -> Iterator[list[Flow]]:
        """Every entry, in steps of about a hundred."""

    def delete(self, flow: Flow) -> bool:
        """Deletes this entry and no other; False where it was gone."""

    def set_mark(self, flow: Flow, mark: int, mask: int) -> bool:
        """Writes these bits of the entry's mark; False where it was gone."""


class Release:
    """`door` None: there is no conntrack to ask."""

    def __init__(self, door: FlowDoor | None, log: Ring, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._door = door
        self._log = log
        self._stopwatch = stopwatch
        self._due: set[int] = set()
        self._marks: Marks | None = None  # those of the table in force
        self._twins = Twins()

    def note(self, numbers: Iterable[int]) -> None:
        """These classes mean something else now, or their line is down."""
        self._due.update(numbers)

    async def classes(self, numbers: Iterable[int], marks: Marks) -> None:
        """Forgets the connections of these classes at once: somebody else gets their numbers."""
        for number in sorted(set(numbers)):
            # With the done bit: without it the same bits would be somebody else's.
            await self._forget(marks.bits(number) | marks.done, marks.mask)

    async def undecided(self, marks: Marks) -> None:
        """Forgets the connections that no rule of ours has seen."""
        await self._forget(0, marks.done)

    async def settle(self, marks: Marks) -> None:
        """Forgets what is due. After the swap: before it, the old rules would give the same class once more."""
        if self._marks is not None and self._marks != marks:
            await self._forget(self._marks.done, self._marks.done)
            self._due.clear()
        self._marks = marks
        due, self._due = self._due, set()
        await self.classes(due, marks)

    async def decide_again(self, affected: Affected, facts: Callable[[Flow], Facts]) -> int:
        """Forgets the connections that the new rules concern, so that the kernel decides them anew; says how many.

        After the swap, in slices: the whole table takes a second for some ten thousand entries.
        """
        gone = 0
        if self._door is None:
            return 0
        await self._in_slices(affected.steps())
        try:
            for _ in range(PASSES):
                found = await self._pass(affected, facts)
                gone += found
                if not found:
                    break
        except NetlinkError as error:
            self._log.add("warning", "flow", f"open connections keep the way they have: {error}")
        if gone:
            self._log.add("info", "flow", f"{gone} open connections are decided again by the new rules")
        return gone

    async def _in_slices(self, steps: Iterator[None]) -> None:
        until = self._stopwatch() + SLICE_SECONDS
        for _ in steps:
            if self._stopwatch() > until:
                await asyncio.sleep(0)
                until = self._stopwatch() + SLICE_SECONDS

    async def _pass(self, affected: Affected, facts: Callable[[Flow], Facts]) -> int:
        if self._door is None:
            return 0
        gone = 0
        batches = self._door.batches()
        while True:
            await asyncio.sleep(0)  # reading takes a slice of its own
            until = self._stopwatch() + SLICE_SECONDS
            batch = next(batches, None)
            if batch is None:
                return gone
            for flow in batch:
                if affected.fate(flow, facts(flow)) is not None and self._door.delete(flow):
                    self._twins.expect(flow, time.monotonic())
                    gone += 1
                if self._stopwatch() > until:
                    await asyncio.sleep(0)
                    until = self._stopwatch() + SLICE_SECONDS

    def original(self, flow: Flow) -> Flow | None:
        """What was forgotten, where a flow that begins is the same connection the wrong way round."""
        return self._twins.original(flow, time.monotonic())

    def give(self, flow: Flow, number: int, marks: Marks) -> None:
        """The flow has this class from now on."""
        if self._door is None:
            return
        try:
            self._door.set_mark(flow, marks.bits(number) | marks.done, marks.mask)
        except NetlinkError as error:
            self._log.add("warning", "flow", f"a connection keeps the way it has: {error}")

    async def clear(self, marks: Marks) -> None:
        """Takes our bits out of every entry; the connections and their NAT stay."""
        self._due.clear()
        self._marks = None
        self._twins = Twins()
        if self._door is None:
            return
        try:
            await asyncio.to_thread(self._door.clear_marks, marks.mask)
        except NetlinkError as error:
            self._log.add("warning", "flow", f"our bits stay in the marks of open connections: {error}")

    async def _forget(self, mark: int, mask: int) -> None:
        if self._door is None:
            return
        try:
            await asyncio.to_thread(self._door.forget, mark, mask)
        except NetlinkError as error:
            self._log.add("warning", "flow", f"connections of a line that went could not be released: {error}")
