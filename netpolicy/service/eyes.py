"""What a change is judged by from outside: differences, a rehearsal, probes, evidence of a new connection.

The class here sees nothing and is what tests and machines without all that use; witness.py is the one that looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netpolicy.service.change import Request
from netpolicy.service.engine import Engine
from netpolicy.service.loading import importing
from netpolicy.service.policy_plan import Preview


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a candidate was seen to do. `document`: for doors and the journal, its `rows` with `ok` each."""

    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def broken(self) -> Sequence[Mapping[str, Any]]:
        """The rows that forbid the change. What cannot be told forbids nothing."""
        return [row for row in self.document.get("rows", ()) if row.get("ok") is False]


class Eyes:
    """Sees nothing. Every method may raise CannotSee."""

    async def describe(self, engine: Engine, after: Preview) -> dict[str, Any]:
        """Differences and risk: keys `rules`, `text`, `risk`, `window`."""
        return {}

    async def rehearse(self, engine: Engine, before: Preview, after: Preview) -> Rehearsal:
        """Who can still do what."""
        return Rehearsal({"how": "", "why": "nobody looks", "rows": []})

    async def probe(self, engine: Engine) -> object:
        """What the lines do now, for `compare`."""
        return None

    async def compare(self, engine: Engine, before: object) -> tuple[list[dict[str, Any]], str]:
        """Rows for doors, and what is definitely worse than before ("": nothing)."""
        return [], ""

    async def switched(self, engine: Engine) -> None:
        """Right after the switch: what is open now is old."""

    async def evidence(self, engine: Engine, claim: Mapping[str, Any], request: Request) -> tuple[str, str]:
        """(what shows that a new connection got through, why it is not believed): one of the two is ""."""
        return "nobody looks", ""


class Closed(Eyes):
    """Those that `make` makes, once somebody has to look: until then they are not in memory."""

    def __init__(self, make: Callable[[], Eyes]) -> None:
        """`make` is called in a thread: what it imports takes a while."""
        self._make = make
        self._open: Eyes | None = None

    async def _opened(self) -> Eyes:
        if self._open is None:
            async with importing():
                self._open = self._open or await asyncio.to_thread(self._make)
        return self._open

    async def describe(self, engine: Engine, after: Preview) -> dict[str, Any]:
        return await (await self._opened()).describe(engine, after)

    async def rehearse(self, engine: Engine, before: Preview, after: Preview) -> Rehearsal:
        return await (await self._opened()).rehearse(engine, before, after)

    async def probe(self, engine: Engine) -> object:
        return await (await self._opened()).probe(engine)

    async def compare(self, engine: Engine, before: object) -> tuple[list[dict[str, Any]], str]:
        return await (await self._opened()).compare(engine, before)

    async def switched(self, engine: Engine) -> None:
        await (await self._opened()).switched(engine)

    async def evidence(self, engine: Engine, claim: Mapping[str, Any], request: Request) -> tuple[str, str]:
        return await (await self._opened()).evidence(engine, claim, request)


class CannotSee(Exception):
    """It could not be looked; the text says why, and the change is not made."""
