"""Looks at the router for a change: what differs, who would be locked out, which lines answer, who confirms.

Decides nothing by itself beyond what is asked; changes nothing. From flows/administration, outbounds/check, rehearsing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.guard import uptime
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import Neighbour, NetlinkError
from netpolicy.flows.administration import SSH, Sight, look
from netpolicy.flows.administrators import Memory, Peer, administrators, peers
from netpolicy.flows.claim import SSH_WORDS, WEB_WORDS, read_claim
from netpolicy.flows.evidence import Refusal, judge
from netpolicy.outbounds.check import Check, check_lines, line_of, losses
from netpolicy.outbounds.check_line import Line
from netpolicy.service.change import Request
from netpolicy.service.engine import Engine
from netpolicy.service.eyes import CannotSee, Eyes, Rehearsal
from netpolicy.service.policy_plan import Preview

AT_CONSOLE = "at the console of the router; no connection was shown"


class Witness(Eyes):
    """The eyes of a daemon."""

    def __init__(self) -> None:
        self._lately = Memory()
        self._asking: tuple[str, ...] = ()  # who was connected to a web port at the last rehearsal
        self._before: Sight | None = None  # right after the switch
        self._administered: tuple[str, ...] = ()  # and who was at the rehearsal of that very change

    async def describe(self, engine: Engine, after: Preview) -> dict[str, Any]:
        # Not in memory until somebody plans.
        from netpolicy.service.risk import assess
        from netpolicy.service.rule_difference import differences, in_lines

        found = await asyncio.to_thread(differences, engine.ruleset, after.ruleset)
        risk = await asyncio.to_thread(assess, engine.ruleset, after.ruleset, found)
        return {
            "rules": [one.as_dict() for one in found], "text": list(in_lines(found)),
            "risk": risk.as_dict(), "window": risk.window,
        }  # fmt: skip

    async def rehearse(self, engine: Engine, before: Preview, after: Preview) -> Rehearsal:
        from netpolicy.dataplane.rehearsal_clone import Refused
        from netpolicy.service.rehearsing import Scene, Standing, try_change

        sight = await self._look(engine)
        # A web server ends an idle connection within seconds: at the switch it may be gone.
        self._asking = tuple({peer.source for peer in peers(sight) if peer.service != SSH})
        neighbours = _neighbours(engine)
        found = administrators(sight, neighbours, self._lately.known(uptime()))
        who = [_where_it_came_in(peer, engine, sight) for peer in found]
        ruleset = after.ruleset
        scene = Scene(engine.view, after.states, neighbours, ruleset.lists, who, ruleset.settings.asserts)
        earlier, later = [
            Standing(one.compiled, one.plan.table, one.plan.wanted) if one.plan is not None else Standing()
            for one in (before, after)
        ]
        try:
            trial = await try_change(earlier, later, scene)
        except Refused as refusal:
            raise CannotSee(f"the candidate does not load: {refusal}") from None
        return Rehearsal(trial.document())

    async def probe(self, engine: Engine) -> object:
        return await check_lines(_lines(engine))

    async def compare(self, engine: Engine, before: object) -> tuple[list[dict[str, Any]], str]:
        if not isinstance(before, Sequence):
            return [], ""
        checks: list[Check] = list(before)
        found = await losses(checks, _lines(engine))
        lost = {loss.after.key: loss for loss in found}
        rows = [
            {"what": f"{one.outbound}: {one.what}", "before": one.state, "ok": one.key not in lost,
             "after": lost[one.key].after.state if one.key in lost else ""}
            for one in checks
        ]  # fmt: skip
        return rows, "; ".join(loss.text for loss in found)

    async def switched(self, engine: Engine) -> None:
        self._before = await self._look(engine)
        self._administered = self._asking  # a plan meanwhile must not add to it

    async def evidence(self, engine: Engine, claim: Mapping[str, Any], request: Request) -> tuple[str, str]:
        if claim.get("console") and request.by_console:
            return AT_CONSOLE, ""
        if self._before is None:
            return "", "nobody looked at the connections when the change was made"
        try:
            asked = read_claim(_said(claim), self._administered, request.by_web)
        except ValueProblem as problem:
            return "", problem.text + (f" ({problem.hint})" if problem.hint else "")
        found = judge(self._before, asked, await self._look(engine))
        return ("", found.text.removeprefix("confirm: ")) if isinstance(found, Refusal) else (found.text, "")

    async def _look(self, engine: Engine) -> Sight:
        try:
            sight = await asyncio.to_thread(look, (), _outside(engine))
        except (OSError, NetlinkError) as error:
            raise CannotSee(f"the connections to this router cannot be read: {error}") from None
        self._lately.note(peers(sight), uptime())
        return sight


def _where_it_came_in(peer: Peer, engine: Engine, sight: Sight) -> Peer:
    """Somebody outside comes in by the line whose address they dial; routes only tell the way that is best now."""
    if any(subnet.holds(peer.source) for subnet in sight.inside):
        return peer
    lines = _outside(engine)
    dialled = [one.device for one in engine.view.addresses if one.address == peer.destination and one.device in lines]
    return replace(peer, device=dialled[0]) if dialled else peer


def _said(claim: Mapping[str, Any]) -> dict[str, object]:
    if claim.get("ssh"):
        return {SSH_WORDS: claim["ssh"]}
    return {WEB_WORDS: claim.get("address", "")} if claim.get("web") else {}


def _outside(engine: Engine) -> Collection[str]:
    """Devices of outbounds: what is behind them is not the inside."""
    return {state.device for state in engine.states if state.device}


def _neighbours(engine: Engine) -> tuple[Neighbour, ...]:
    try:
        return tuple(engine.netlink.neighbours())
    except NetlinkError:
        return ()


def _lines(engine: Engine) -> list[Line]:
    """Those in force that have a way out, also where nothing answers; one without was down, and is no worse after."""
    marks = Marks(engine.settings.fwmark_mask)
    found = []
    for state in engine.states if engine.enforced is not None else ():
        outbound = engine.ruleset.outbound(state.name)
        number = engine.numbers.get(state.name, 0)
        if outbound is not None and state.hops and state.device:
            found.append(line_of(outbound, state, marks.bits(number) if number else 0))
    return found
