"""Open connections when their way loses its meaning: a whole class is forgotten, or our bits leave them.

Remembers which classes are due until it was done, and which connections were forgotten. Never
decides which rule a connection gets (affected.py, judge.py do); never holds the loop for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.entry import Entry
from netpolicy.flows.model import Flow
from netpolicy.observe.ring import Ring
from netpolicy.service.twins import Twins


class FlowDoor(Protocol):
    """What is asked of conntrack. All raise NetlinkError."""

    def forget(self, mark: int, mask: int) -> None:
        """Deletes the entries whose mark matches."""

    def clear_marks(self, mask: int) -> int:
        """Clears these bits in every entry, so that nothing of ours is left; says how many."""

    def entries(self) -> Iterator[list[Entry]]:
        """Every entry, in steps of about a hundred."""

    def delete(self, flows: Sequence[Flow]) -> list[Flow]:
        """Deletes these entries and no other; those that were there still."""

    def set_mark(self, flow: Flow, mark: int, mask: int) -> bool:
        """Writes these bits of the entry's mark; False where it was gone."""


class Release:
    """`door` None: there is no conntrack to ask."""

    def __init__(self, door: FlowDoor | None, log: Ring) -> None:
        self._door = door
        self._log = log
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

    async def hand_on(self, numbers: Mapping[int, int], marks: Marks) -> None:
        """The connections of a class get another one of the same way: they go on, and nothing of them is lost."""
        if self._door is not None and numbers and self._marks == marks:
            await asyncio.to_thread(self._hand_on, numbers, marks)

    def _hand_on(self, numbers: Mapping[int, int], marks: Marks) -> None:
        assert self._door is not None
        try:
            for batch in self._door.entries():
                for flow in [entry.flow for entry in batch]:
                    number = numbers.get(marks.number(flow.mark)) if flow and marks.is_done(flow.mark) else None
                    if flow is not None and number is not None:
                        self._door.set_mark(flow, marks.bits(number) | marks.done, marks.mask)
        except NetlinkError as error:
            self._log.add("warning", "flow", f"open connections may take another way: {error}")

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

    def forgotten(self, flow: Flow) -> None:
        """This entry was deleted, so that the kernel decides the connection anew."""
        self._twins.expect(flow, time.monotonic())

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
