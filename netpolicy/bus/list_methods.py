"""The methods of the object `netpolicy` about lists: each is one call of the service and back.

Holds no logic that another door would have to repeat. A refresh is begun, not waited for.
"""

from __future__ import annotations

from typing import Any

from netpolicy.bus.method import Caller, Method
from netpolicy.bus.status import NOT_FOUND, UbusError
from netpolicy.service.api import NotThere, Service

Arguments = dict[str, Any]


def list_methods(service: Service) -> dict[str, Method]:
    """The methods, bound to their use cases."""

    async def lists(_: Arguments, __: Caller) -> Arguments:
        return service.lists()

    async def refresh_lists(given: Arguments, _: Caller) -> Arguments:
        try:
            return service.refresh_lists(given.get("list", ""))
        except NotThere as absence:
            raise UbusError(NOT_FOUND, str(absence)) from None

    return {"lists": Method(lists), "refresh_lists": Method(refresh_lists, {"list": str})}
