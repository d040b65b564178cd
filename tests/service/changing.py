"""A house whose changes are guarded: the real guard program, a store and a journal in the test's own folder."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from netpolicy.dataplane.guard import Guard, GuardPlaces
from netpolicy.observe.journal import Journal
from netpolicy.service.change import Change, Request
from netpolicy.service.change_tools import Tools
from netpolicy.service.changes import Changes
from netpolicy.service.eyes import Eyes, Rehearsal
from netpolicy.service.generations import Store
from netpolicy.service.guarded import Guarded
from tests.router import everything
from tests.service.parts import CONFIG, House

GUARD = Path(__file__).parents[2] / "files/usr/lib/netpolicy/guard"


class ChangingHouse(House):
    """An engine, its guard, its generations and its journal."""

    def __init__(self, folder: Path, config: str = CONFIG, eyes: Eyes | None = None) -> None:
        super().__init__(folder, config)
        self.folder = folder / "store"
        self.places = GuardPlaces(str(self.config), str(self.folder), str(self.state), str(GUARD))
        self.guard = Guard(self.places)
        self.store = Store(str(self.folder))
        self.journal = Journal(str(self.folder))
        self.died: list[str] = []
        self._moved = asyncio.Event()
        self.eyes = eyes or Eyes()
        die = lambda: self.died.append("now")  # noqa: E731
        self.tools = Tools(self.engine, self.guard, self.store, self.journal, self.eyes, die)
        self.guarded = Guarded(self.tools)
        self.engine.adopt = self.guarded.adopt
        self.changes = Changes(self.engine, self.guarded, self.store, self.journal)

    def begin(self, text: str | None = None, **asked: Any) -> Change:
        """Begins a change to that text."""
        if text is not None:
            self.write(text)
        return self.guarded.begin(Request(**{"who": "a test", "window": 60, **asked}))

    async def until(self, change: Change, *states: str) -> Change:
        """Once the change is in one of the states, or over."""
        while change.state not in states and not change.is_over:
            self._moved.clear()
            await self._moved.wait()
        return change

    def publish(self, name: str, data: Any) -> None:
        super().publish(name, data)
        if name == "netpolicy.change":
            self._moved.set()

    async def end(self) -> None:
        """Nothing stays pending, nor under way."""
        if self.guarded.current is not None:
            await self.guarded.abort("", "the end of the test")
        await self.guarded.ended()

    def entries(self) -> list[dict[str, Any]]:
        """The journal, oldest first, without what chains it."""
        left_out = ("number", "time", "hash", "previous")
        found = [{k: v for k, v in row.items() if k not in left_out} for row in self.journal.read(1000)]
        return found[::-1]


class Told(Eyes):
    """Sees what the test says."""

    def __init__(self) -> None:
        self.rows: tuple[dict, ...] = ()
        self.worse = ""
        self.doubt = ""
        self.seen: list[str] = []

    async def rehearse(self, *_):
        return Rehearsal({"rows": list(self.rows)})

    async def probe(self, *_):
        self.seen.append("probe")

    async def switched(self, *_):
        self.seen.append("switched")

    async def compare(self, *_):
        self.seen.append("compare")
        return [{"what": "ping", "before": "passed", "after": "failed"}], self.worse

    async def evidence(self, *_):
        return ("", self.doubt) if self.doubt else ("seen", "")


def state() -> list[str]:
    """What is in the kernel. The order in which sets were made means nothing, nor do labels but for their order."""
    listing = re.sub(r"_[0-9a-f]{10}\b", "_CONTENT", everything())
    return sorted(re.sub(r"\b[0-9a-f]{1,4}:[0-9a-f]{1,4}(-root)?\b", "LABEL", listing).splitlines())
