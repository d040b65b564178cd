"""What a change would mean: the candidate read, compiled, compared, described; a hash that an apply can be bound to.

Changes nothing and waits for nothing. Shared by `plan` and by the first step of every apply.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from netpolicy.service import candidate, reading
from netpolicy.service.change import CHECKED, UNCHANGED, Change, Request
from netpolicy.service.change_tools import ApplyRefused, Tools
from netpolicy.service.classes import TooManyOutbounds
from netpolicy.service.engine import Preview
from netpolicy.service.eyes import Rehearsal
from netpolicy.service.reading import Reading, Unsettled


@dataclass(frozen=True, slots=True)
class Planned:
    """A candidate, and what running and candidate mean for the kernel as it is now."""

    found: Reading
    before: Preview
    after: Preview


class Planning:
    """Plans changes."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def plan(self, change: Change) -> Planned:
        """Fills in the plan; the state is CHECKED or UNCHANGED then. Raises ApplyRefused, the errors of the system."""
        engine = self._tools.engine
        if engine.loaded is None:
            raise ApplyRefused("no configuration is in force yet that could be returned to", "netpolicy reload")
        found = await self._read(change.request)
        try:
            before = await engine.preview(engine.ruleset)
            after = await engine.preview(found.loaded.ruleset)
        except TooManyOutbounds as error:
            raise ApplyRefused(str(error)) from None
        change.plan = await self._described(found, before, after)
        if change.request.plan and not candidate.is_that_plan(change.request.plan, change.plan["hash"]):
            raise ApplyRefused(
                "something changed since that plan was made: the configuration, the kernel or what is confirmed",
                "look at the plan again: netpolicy plan",
            )
        confirmed = await asyncio.to_thread(self._tools.store.confirmed)
        is_same = confirmed is not None and confirmed.files == found.files
        change.state = UNCHANGED if is_same and not change.plan["changes"] else CHECKED
        return Planned(found, before, after)

    async def rehearse(self, change: Change, planned: Planned) -> Rehearsal:
        """Fills in what the rehearsal shows."""
        rehearsal = await self._tools.eyes.rehearse(self._tools.engine, planned.before, planned.after)
        change.rehearsal = dict(rehearsal.document)
        return rehearsal

    async def _read(self, request: Request) -> Reading:
        try:
            found = await reading.read(
                self._tools.engine.loader,
                self._tools.engine.places.config,
                self._tools.engine.ruleset,
                request.given or None,
            )
        except Unsettled as error:
            raise ApplyRefused(str(error)) from None
        loaded = found.loaded
        if loaded.fatal or loaded.blocked_skip:
            wrong = [one for one in loaded.diagnostics if one.severity == "error"]
            text = wrong[0].text().splitlines()[0] if wrong else "the configuration cannot be used"
            raise ApplyRefused(text, "netpolicy lint says everything that is wrong")
        return found

    async def _described(self, found: Reading, before: Preview, after: Preview) -> dict[str, Any]:
        engine = self._tools.engine
        lines = list(after.plan.changes) if after.plan is not None else _removals(before)
        kernel = after.plan.digest if after.plan is not None else "off"
        digest = await asyncio.to_thread(candidate.plan_hash, found.files, kernel.encode(), self._tools.store.current())
        told = await self._tools.eyes.describe(engine, after)
        return {
            "changes": lines,
            "hash": digest,
            # What of it is no wish of anybody's: live and running differ.
            "drift": list(before.plan.changes) if before.plan is not None else [],
            "conflicts": [{"message": one.message, "hint": one.hint} for one in after.plan.conflicts]
            if after.plan
            else [],
            "not_enforced": [f"{name}: {why}" for name, why in after.compiled.not_enforced] if after.compiled else [],
            **told,
        }


def _removals(before: Preview) -> list[str]:
    return [f"- {line}" for line in ("table inet netpolicy", "all our routes and rules")] if before.plan else []
