"""The ubus object `netpolicy`: each method is one call of the service and back.

Holds no logic that another door would have to repeat: names, argument types and statuses
only. The list of methods: docs/interfaces.md.
"""

from __future__ import annotations

import asyncio
from typing import Any

from netpolicy.bus.change_methods import change_methods
from netpolicy.bus.doctor_methods import doctor_methods
from netpolicy.bus.list_methods import list_methods
from netpolicy.bus.method import Caller, Method
from netpolicy.bus.status import INVALID_ARGUMENT, NOT_FOUND, UbusError
from netpolicy.service.api import NotThere, Refused, Service
from netpolicy.service.changes import Changes

NAME = "netpolicy"

Arguments = dict[str, Any]


def methods(service: Service, changes: Changes) -> dict[str, Method]:
    """The methods of the object, bound to its use cases."""

    async def status(_: Arguments, __: Caller) -> Arguments:
        return service.status()

    async def rules(given: Arguments, _: Caller) -> Arguments:
        words = (given.get("limit", 1000), given.get("offset", 0), given.get("unused_days", 30))
        return await _awaited(service.rules, *words)

    async def outbounds(_: Arguments, __: Caller) -> Arguments:
        return service.outbounds()

    async def outbound_set(given: Arguments, _: Caller) -> Arguments:
        words = (given.get("name", ""), given.get("state", ""), given.get("weight"), given.get("member"))
        return await _awaited(service.outbound_set, *words)

    async def connections(given: Arguments, _: Caller) -> Arguments:
        return service.connections(given.get("limit", 100), given.get("offset", 0), given.get("filter", ""))

    async def explain(given: Arguments, _: Caller) -> Arguments:
        return await _awaited(service.explain, given.get("flow", ""))

    async def decide(given: Arguments, _: Caller) -> Arguments:
        # Every rule is looked at, for the reasons: with ten thousand of them others have to go on meanwhile.
        return await asyncio.to_thread(_answer, service.decide, given.get("facts", {}))

    async def reload(_: Arguments, __: Caller) -> Arguments:
        return await service.reload()

    async def convert(given: Arguments, _: Caller) -> Arguments:
        words = (given.get("text", ""), given.get("from", "uci"), given.get("to", "dsl"))
        return await asyncio.to_thread(_answer, service.convert, *words)  # may take seconds: others go on

    async def lint(given: Arguments, _: Caller) -> Arguments:
        words = (given.get("text", ""), given.get("format", "uci"))
        return await asyncio.to_thread(_answer, service.lint, *words)  # may take seconds: others go on

    async def logs(given: Arguments, _: Caller) -> Arguments:
        return service.logs(given.get("since", 0), given.get("limit", 100), given.get("level", "debug"))

    return {
        "status": Method(status),
        "rules": Method(rules, {"limit": int, "offset": int, "unused_days": int}),
        "outbounds": Method(outbounds),
        "outbound_set": Method(outbound_set, {"name": str, "state": str, "weight": int, "member": list}),
        "connections": Method(connections, {"limit": int, "offset": int, "filter": str}),
        "explain": Method(explain, {"flow": str}),
        "decide": Method(decide, {"facts": dict}),
        "reload": Method(reload),
        "lint": Method(lint, {"text": str, "format": str}),
        "convert": Method(convert, {"text": str, "from": str, "to": str}),
        "logs": Method(logs, {"since": int, "limit": int, "level": str}),
        **change_methods(changes),
        **doctor_methods(service),
        **list_methods(service),
    }


async def _awaited(use_case: Any, *given: Any) -> Arguments:
    try:
        answer: Arguments = await use_case(*given)
    except NotThere as absence:
        raise UbusError(NOT_FOUND, str(absence)) from None
    except Refused as refusal:
        raise UbusError(INVALID_ARGUMENT, str(refusal)) from None
    return answer


def _answer(use_case: Any, *given: Any) -> Arguments:
    try:
        answer: Arguments = use_case(*given)
    except Refused as refusal:
        raise UbusError(INVALID_ARGUMENT, str(refusal)) from None
    return answer
