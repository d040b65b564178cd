"""The methods of the object `netpolicy` that belong to the guarded apply: each is one call of `service.changes`.

Holds no logic that another door would have to repeat. `job` is no getter: it gives out what confirms a change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from netpolicy.bus.method import SESSION_ARGUMENT, Caller, Method
from netpolicy.bus.status import INVALID_ARGUMENT, NOT_FOUND, UbusError
from netpolicy.service.api import NotThere, Refused
from netpolicy.service.changes import Changes

Arguments = dict[str, Any]

APPLY = {"confirm": int, "plan": str, "message": str, "force": bool, "console": bool, "text": str, "format": str,
         "from": str}  # fmt: skip


def change_methods(changes: Changes) -> dict[str, Method]:
    """The methods, bound to the use cases."""

    async def plan(given: Arguments, _: Caller) -> Arguments:
        try:
            return await changes.plan(given)
        except Refused as refusal:
            # A status without words would hide the reason from the `ubus` tool: it is in the reply.
            return {"changes": [], "hash": "", "error": str(refusal)}

    async def apply(given: Arguments, caller: Caller) -> Arguments:
        return _plain(lambda: changes.apply(given, _who(given, caller)))

    async def rollback(given: Arguments, caller: Caller) -> Arguments:
        return await _awaited(changes.rollback(given.get("generation", 0), given, _who(given, caller)))

    async def job(given: Arguments, _: Caller) -> Arguments:
        return _plain(lambda: changes.job(given.get("id", "")))

    async def confirm(given: Arguments, caller: Caller) -> Arguments:
        claim = {"ssh": given.get("ssh", ""), "console": given.get("console", False),
                 "web": SESSION_ARGUMENT in given, "address": given.get("address", "")}  # fmt: skip
        return await _awaited(changes.confirm(given.get("id", ""), claim, _who(given, caller)))

    async def extend(given: Arguments, _: Caller) -> Arguments:
        return await _awaited(changes.extend(given.get("id", ""), given.get("seconds", 0)))

    async def abort(given: Arguments, caller: Caller) -> Arguments:
        return await _awaited(changes.abort(given.get("id", ""), _who(given, caller)))

    async def history(given: Arguments, _: Caller) -> Arguments:
        return await _awaited(changes.history(given.get("limit", 50), given.get("offset", 0)))

    async def verify(_: Arguments, __: Caller) -> Arguments:
        return await _awaited(changes.verify())

    async def show(given: Arguments, _: Caller) -> Arguments:
        return await _awaited(changes.show(given.get("generation", 0)))

    async def diff(given: Arguments, _: Caller) -> Arguments:
        return await _awaited(changes.diff(given.get("from", 0), given.get("to", 0)))

    async def drift(given: Arguments, _: Caller) -> Arguments:
        return changes.drift(given)

    async def heal(_: Arguments, __: Caller) -> Arguments:
        return await _awaited(changes.heal())

    return {
        "plan": Method(plan, {"text": str, "format": str}),
        "apply": Method(apply, APPLY),
        "rollback": Method(rollback, {**APPLY, "generation": int}),
        "job": Method(job, {"id": str}),
        "confirm": Method(confirm, {"id": str, "ssh": str, "console": bool, "address": str, "from": str}),
        "extend": Method(extend, {"id": str, "seconds": int}),
        "abort": Method(abort, {"id": str, "from": str}),
        "history": Method(history, {"limit": int, "offset": int}),
        "verify": Method(verify),
        "show": Method(show, {"generation": int}),
        "diff": Method(diff, {"from": int, "to": int}),
        "drift": Method(drift),
        "heal": Method(heal),
    }


def _who(given: Mapping[str, Any], caller: Caller) -> str:
    """Who asks, as far as this door knows. What the caller says of itself stands behind `from`."""
    user = caller.user or "unknown"
    door = "web" if SESSION_ARGUMENT in given else "bus"
    told = str(given.get("from", ""))[:200]
    return f"{user} by {door}" + (f", {told}" if told else "")


def _plain(use_case: Any) -> Arguments:
    try:
        answer: Arguments = use_case()
    except NotThere as absence:
        raise UbusError(NOT_FOUND, str(absence)) from None
    except Refused as refusal:
        raise UbusError(INVALID_ARGUMENT, str(refusal)) from None
    return answer


async def _awaited(answer: Awaitable[Arguments]) -> Arguments:
    try:
        return await answer
    except NotThere as absence:
        raise UbusError(NOT_FOUND, str(absence)) from None
    except Refused as refusal:
        raise UbusError(INVALID_ARGUMENT, str(refusal)) from None
