"""The method of the object `netpolicy` that looks at the whole box: one call of the service and back.

Holds no logic that another door would have to repeat. It may take seconds; others are answered meanwhile.
"""

from __future__ import annotations

from typing import Any

from netpolicy.bus.method import Caller, Method
from netpolicy.bus.status import UNKNOWN_ERROR, UbusError
from netpolicy.service.api import Refused, Service

Arguments = dict[str, Any]


def doctor_methods(service: Service) -> dict[str, Method]:
    """The method, bound to its use case."""

    async def doctor(_: Arguments, __: Caller) -> Arguments:
        try:
            return await service.doctor()
        except Refused as refusal:  # no argument can be wrong: the examination did not come to its end
            raise UbusError(UNKNOWN_ERROR, str(refusal)) from None

    return {"doctor": Method(doctor)}
