"""What one method of our object accepts, and how a call to it ends.

Checks arguments and turns whatever a handler does into (status, reply); sends nothing.
A missing argument is fine, an undeclared or wrongly typed one is status 2 with the reason
in `error`: a misspelt argument that is silently ignored would apply something else than asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from .status import INVALID_ARGUMENT, METHOD_NOT_FOUND, OK, UNKNOWN_ERROR, UbusError

# uhttpd adds it to every call that comes from the browser.
SESSION_ARGUMENT = "ubus_rpc_session"

TYPE_WORDS: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    float: "a number",
    dict: "a table",
    list: "an array",
}


class Caller(NamedTuple):
    """Who calls: the broker's number for the connection and, from ubusd, its Unix names ("" else)."""

    client: int
    user: str
    group: str


Handler = Callable[[dict[str, Any], Caller], Awaitable[Mapping[str, Any] | None]]


class Method(NamedTuple):
    """A handler and the arguments it may get: name to str, int, bool, float, dict, list or
    object (anything). An argument given as null counts as missing."""

    handler: Handler
    arguments: Mapping[str, type] = {}


def check(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for the handler; raises UbusError 2 naming the first wrong one."""
    accepted: dict[str, Any] = {}
    for name, value in given.items():
        kind = _kind(method, name)
        if value is None:
            continue
        if not _is(value, kind):
            raise UbusError(INVALID_ARGUMENT, f"argument {name!r} must be {TYPE_WORDS[kind]}")
        accepted[name] = value
    return accepted


def _kind(method: Method, name: str) -> type:
    if name in method.arguments:
        return method.arguments[name]
    if name == SESSION_ARGUMENT:
        return str
    known = ", ".join(method.arguments) or "none"
    raise UbusError(INVALID_ARGUMENT, f"unknown argument {name!r}; known: {known}")


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def unknown(called: str) -> tuple[int, Mapping[str, Any] | None]:
    """Status and reply for a method we do not have."""
    return METHOD_NOT_FOUND, {"error": f"no method {called!r}"}


async def run(
    method: Method, given: Mapping[str, Any], caller: Caller, report: Callable[[str], None]
) -> tuple[int, Mapping[str, Any] | None]:
    """Status and reply of one call; a handler's own fault is reported and becomes status 9."""
    try:
        return OK, await method.handler(check(method, given), caller)
    except UbusError as refusal:
        return refusal.status, {"error": refusal.detail} if refusal.detail else None
    except Exception as fault:  # noqa: BLE001 - the border: a bug must not take the bus down
        report(f"handler failed: {type(fault).__name__}: {fault}")
        return UNKNOWN_ERROR, None
