"""What a change would mean: the candidate read, compiled, compared, described; a hash that an apply can be bound to.

Changes nothing and waits for nothing. Shared by `plan` and by the first step of every apply.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netpolicy.config.loaded import Loaded
from netpolicy.dataplane.guard import has_tc
from netpolicy.service import candidate, reading
from netpolicy.service.change import CHECKED, UNCHANGED, Change, Request
from netpolicy.service.change_tools import ApplyRefused, Tools
from netpolicy.service.classes import TooManyOutbounds
from netpolicy.service.eyes import Rehearsal
from netpolicy.service.left_out import left_out, refusal
from netpolicy.service.policy_plan import Preview
from netpolicy.service.reading import Reading, Unsettled

# Of each list in a plan: the whole document has to fit into a bus message of 1 MiB several times over.
MOST_ROWS = 200
ROOM = 96 << 10

NO_TC = ("there is no tc: should the guard have to lead back, limits of speed that this change touches drop what is "
         "too much until the daemon is back")  # fmt: skip

PLAN = "plan"  # the cause of a request that changes nothing
NONE, LOW = "none", "low"  # risk.py, which is not in memory before somebody plans


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
        change.plan = await self._described(change.request, found, before, after)
        gap = self._new_gap(change.request, found)
        if gap is not None and change.request.cause != PLAN:
            raise gap
        change.refused(gap)
        if change.request.plan and not candidate.is_that_plan(change.request.plan, change.plan["hash"]):
            raise ApplyRefused(
                "something changed since that plan was made: the configuration, the kernel or what is confirmed",
                "look at the plan again: netpolicy plan",
            )
        confirmed = await asyncio.to_thread(self._tools.store.confirmed)
        is_same = confirmed is not None and confirmed.files == found.files
        change.state = UNCHANGED if is_same and not change.plan["changes"] else CHECKED
        return Planned(found, before, after)

    def _new_gap(self, request: Request, found: Reading) -> ApplyRefused | None:
        """A rule that cannot be read is left out by a reload; who applies by hand wants to know before."""
        loaded = self._tools.engine.loaded
        known = {name for name, _ in loaded.skipped} if loaded is not None else set()
        new = [one for one in left_out(found.loaded) if one.name not in known]
        if not new or request.force:
            return None
        place = f"{self._named(request, new[0].place)}: " if new[0].place else ""
        return ApplyRefused(
            f"rule {new[0].name} cannot be used and would be left out: {place}{new[0].why}",
            "mend it (netpolicy lint shows it), or --force applies the rest",
        )

    def _named(self, request: Request, text: str) -> str:
        """A place in what somebody handed in is none in the configuration file."""
        path = self._tools.engine.places.config
        if request.named and text.startswith(path + ":"):
            return request.named + text[len(path) :]
        return text

    async def rehearse(self, change: Change, planned: Planned) -> Rehearsal:
        """Fills in what the rehearsal shows."""
        rehearsal = await self._tools.eyes.rehearse(self._tools.engine, planned.before, planned.after)
        change.rehearsal = dict(rehearsal.document)
        before = planned.before.plan
        if before is not None and before.policy.shaped and not has_tc():
            change.rehearsal["notes"] = [*change.rehearsal.get("notes", ()), NO_TC]
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
            raise ApplyRefused(self._named(request, refusal(loaded)), "netpolicy lint says everything that is wrong")
        return found

    async def _described(self, request: Request, found: Reading, before: Preview, after: Preview) -> dict[str, Any]:
        engine = self._tools.engine
        lines = after.plan.changes if after.plan is not None else _removals(before)
        kernel = after.plan.digest if after.plan is not None else "off"
        digest = await asyncio.to_thread(candidate.plan_hash, found.files, kernel.encode(), self._tools.store.current())
        told = await self._tools.eyes.describe(engine, after)
        rules = told.get("rules", [])
        risk = told.get("risk", {}).get("level")
        return {
            **told,
            "rules": _bounded(rules),
            "changes": _bounded(lines),
            "totals": {"rules": len(rules), "changes": len(lines)},
            "hash": digest,
            "window": self._window(request, bool(lines), risk, int(told.get("window", 0))),
            # What of it is no wish of anybody's: live and running differ.
            "drift": _bounded(before.plan.changes if before.plan is not None else ()),
            "conflicts": _bounded(
                [{"message": one.message, "hint": one.hint} for one in after.plan.conflicts] if after.plan else ()
            ),
            "not_enforced": _bounded([f"{name}: {why}" for name, why in _not_enforced(after)] + _without(found.loaded)),
            "skipped": _bounded([f"rule {name} is left out: {why}" for name, why in found.loaded.skipped]),
        }

    def _window(self, request: Request, has_changes: bool, risk: str | None, asked: int) -> int:
        """Seconds to wait for a confirmation: what was asked for, else the longer of setting and risk."""
        if request.window is not None:
            return request.window
        usual = self._tools.engine.settings.confirm
        if not usual or (not has_changes and risk in (None, NONE, LOW)):
            return 0  # nobody can be locked out by a title or a comment
        return max(usual, asked)


def collision(planned: Planned) -> ApplyRefused | None:
    """Somebody else has what this plan needs."""
    conflicts = planned.after.plan.conflicts if planned.after.plan is not None else ()
    return ApplyRefused(conflicts[0].message, conflicts[0].hint) if conflicts else None


def lock_out(rehearsal: Rehearsal) -> ApplyRefused | None:
    """Somebody who may do something now could not do it any more."""
    if not rehearsal.broken:
        return None
    first = rehearsal.broken[0]
    more = f" and {len(rehearsal.broken) - 1} more" if len(rehearsal.broken) > 1 else ""
    return ApplyRefused(
        f"the rehearsal shows: {first.get('what')}: {first.get('because') or first.get('after')}{more}",
        "change the rules; --force applies them all the same, and takes them back unless somebody confirms",
    )


def _not_enforced(preview: Preview) -> Iterable[tuple[str, str]]:
    return preview.compiled.not_enforced if preview.compiled is not None else ()


def _without(loaded: Loaded) -> list[str]:
    """Lists that lack something now, as one whose address is new: what it will hold is no part of the change."""
    return [found.message for found in loaded.diagnostics if found.code == "NP217"]


def _bounded(rows: Sequence[Any]) -> list[Any]:
    """As many of the rows as a bus message and a journal have room for."""
    found, room = [], ROOM
    for row in rows[:MOST_ROWS]:
        room -= len(json.dumps(row))
        if room < 0:
            break
        found.append(row)
    return found


def _removals(before: Preview) -> list[str]:
    return [f"- {line}" for line in ("table inet netpolicy", "all our routes, rules and queues")] if before.plan else []
