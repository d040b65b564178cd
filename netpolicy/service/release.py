"""Open connections when their class loses its meaning: they are decided again, or our bits leave them.

Remembers which classes are due until it was done. Never decides which rule a connection
gets; conntrack is asked in a worker, because thousands of entries take seconds on a router.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.observe.ring import Ring


class FlowDoor(Protocol):
    """What is asked of conntrack. Both raise NetlinkError."""

    def forget(self, mark: int, mask: int) -> int:
        """Deletes the entries whose mark matches; says how many."""

    def clear_marks(self, mask: int) -> int:
        """Clears these bits in every entry, so that nothing of ours is left; says how many."""


class Release:
    """`door` None: there is no conntrack to ask."""

    def __init__(self, door: FlowDoor | None, log: Ring) -> None:
        self._door = door
        self._log = log
        self._due: set[int] = set()
        self._marks: Marks | None = None  # those of the table in force

    def note(self, numbers: Iterable[int]) -> None:
        """These classes mean something else now, or their line is down."""
        self._due.update(numbers)

    async def classes(self, numbers: Iterable[int], marks: Marks) -> None:
        """Forgets the connections of these classes at once: somebody else gets their numbers."""
        for number in sorted(set(numbers)):
            await self._forget(marks.bits(number), marks.class_mask)

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

    async def clear(self, marks: Marks) -> None:
        """Takes our bits out of every entry; the connections and their NAT stay."""
        self._due.clear()
        self._marks = None
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
