"""Which outbound has which class number, and what a number that changes its owner means for open connections.

Never gives a number that a connection still carries to another outbound without having it decided again. Data: the
rules, the numbers of an earlier daemon, the connections of the kernel.
"""

from __future__ import annotations

from netpolicy.core.model import DIRECT, Ruleset
from netpolicy.core.pairs import limit_in, line_of, needs_class
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import DIRECT_CLASS
from netpolicy.service.classes import Allocation, allocate
from netpolicy.service.records import Records
from netpolicy.service.release import Release


class Numbering:
    """The numbers of one engine."""

    def __init__(self, records: Records, release: Release) -> None:
        self._records = records
        self._release = release
        self.numbers: dict[str, int] = {}
        self.known: dict[str, int] = {}  # ever given, while they are not needed again
        self._lost: set[str] = set()  # lines that went down: their connections are decided again

    def lost(self, line: str) -> None:
        """It went down."""
        self._lost.add(line)

    def allocation(self, ruleset: Ruleset) -> Allocation:
        """The numbers that these rules would have. Raises TooManyOutbounds."""
        known = self.known or self._records.classes()
        return allocate(known, needs_class(ruleset), Marks(ruleset.settings.fwmark_mask).capacity)

    async def take(self, allocation: Allocation, marks: Marks) -> None:
        """They are the numbers from now on."""
        gone = [name for name, number in self.numbers.items() if allocation.numbers.get(name) != number]
        lines = {name: self._line_left(name, allocation) for name in gone}
        # Of a pair whose line stays they go on by it, without a limit. Before the swap: both classes are known now.
        handed_on = {self.numbers[name]: number for name, number in lines.items() if number is not None}
        await self._release.hand_on(handed_on, marks)
        self._release.note(self.numbers[name] for name, number in lines.items() if number is None)
        await self._release.classes(allocation.recycled, marks)
        self.known, self.numbers = dict(allocation.known), dict(allocation.numbers)
        self._release.note(number for name, number in self.numbers.items() if line_of(name) in self._lost)
        self._lost.clear()

    def _line_left(self, name: str, allocation: Allocation) -> int | None:
        """The class of a pair's line, where the line keeps it; None for what is no pair too."""
        line = line_of(name)
        if not limit_in(name):
            return None
        number = DIRECT_CLASS if line == DIRECT else allocation.numbers.get(line)
        return number if line == DIRECT or number == self.numbers.get(line) else None
