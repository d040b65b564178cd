"""What a change is judged by from outside: differences, a rehearsal, probes, evidence of a new connection.

The class here sees nothing and is what tests and machines without all that use; sight.py is the one that looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netpolicy.core.model import Ruleset
from netpolicy.service.change import Request
from netpolicy.service.engine import Engine, Preview


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What probes of a candidate showed. `table`: one row for each; `note`: why there is none, or how it was done."""

    table: tuple[Mapping[str, Any], ...] = ()
    note: str = ""

    @property
    def broken(self) -> tuple[Mapping[str, Any], ...]:
        """The rows that forbid the change."""
        return tuple([row for row in self.table if not row.get("ok")])


class Eyes:
    """What a change is judged by from outside: these do nothing, the real ones look (service/eyes.py)."""

    async def describe(self, engine: Engine, before: Ruleset, after: Ruleset, plan: Preview) -> dict[str, Any]:
        """Differences and risk: keys `rules`, `text`, `risk`, `window`."""
        return {}

    async def rehearse(self, engine: Engine, before: Preview, after: Preview, ruleset: Ruleset) -> Rehearsal:
        """Who can still do what. Never raises for what it cannot do: the note says so."""
        return Rehearsal(note="not rehearsed")

    async def probe(self, engine: Engine) -> object:
        """What the lines do now, for `compare`."""
        return None

    async def compare(self, engine: Engine, before: object) -> tuple[list[dict[str, Any]], str]:
        """Rows for doors, and what is definitely worse than before ("": nothing)."""
        return [], ""

    async def switched(self) -> None:
        """Right after the switch: what is open now is old."""

    async def evidence(self, claim: Mapping[str, Any], request: Request) -> tuple[str, str]:
        """(what shows that a new connection got through, why it is not believed): one of the two is ""."""
        return "nobody looks", ""
