"""What of ours lives on the bus and how to put it there again: objects, listeners, subscriptions.

Each kind knows the messages that register it on a link and what to do with what the bus
then sends to it. Never connects. All of it is gone from the broker when the link is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import method, request, wire
from .link import Link
from .method import Caller, Method
from .status import CONNECTION_FAILED, INVALID_ARGUMENT, NOT_FOUND, OK, UbusError

# The broker answers these itself, so a slow answer means a stuck broker.
BROKER_SECONDS = 10.0

EventCallback = Callable[[str, dict[str, Any]], None]
Report = Callable[[str], None]


class Registration:
    """An object of ours, named or not. `object_id` is 0 while it is not on the current link."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.object_id = 0
        self.link: Link | None = None

    async def restore(self, link: Link) -> None:
        """Be on this link; nothing happens when it already is. Raises the broker's refusal."""
        if self.link is link and self.object_id:
            return
        self.link, self.object_id = link, 0
        status, _ = await link.request(wire.ADD_OBJECT, 0, self._attributes(), BROKER_SECONDS, self._numbered)
        if status == OK and self.object_id:
            return
        detail = f"ubus refused {self.name!r}: is the name taken?"
        raise UbusError(status or INVALID_ARGUMENT, detail)

    async def withdraw(self, link: Link) -> None:
        """Leave this link."""
        if self.link is link and self.object_id:
            attributes = {wire.ATTR_OBJID: self.object_id}
            await link.request(wire.REMOVE_OBJECT, 0, attributes, BROKER_SECONDS)
        self.object_id = 0

    def _attributes(self) -> dict[int, Any]:
        return {}

    def _numbered(self, answer: dict[int, Any]) -> None:
        self.object_id = answer.get(wire.ATTR_OBJID, 0)


class Served(Registration):
    """A named object with methods."""

    def __init__(self, name: str, methods: Mapping[str, Method]) -> None:
        super().__init__(name)
        self.methods = dict(methods)
        self._signature = request.signature({n: m.arguments for n, m in self.methods.items()})

    def _attributes(self) -> dict[int, Any]:
        return {wire.ATTR_OBJPATH: self.name, wire.ATTR_SIGNATURE: self._signature}

    async def run(
        self, attributes: dict[int, Any], caller: Caller, report: Report
    ) -> tuple[int, Mapping[str, Any] | None]:
        """Status and reply of a call that arrived as `attributes`."""
        called = attributes.get(wire.ATTR_METHOD, "")
        chosen = self.methods.get(called)
        if chosen is None:
            return method.unknown(called)
        try:
            given = request.unpack(attributes.get(wire.ATTR_DATA))
        except UbusError as problem:
            return INVALID_ARGUMENT, {"error": problem.text}
        return await method.run(chosen, given, caller, report)


class Events(Registration):
    """All our event listeners: one anonymous object, so that an event comes once."""

    def __init__(self, report: Report) -> None:
        super().__init__("event listener")
        self.patterns: list[tuple[str, EventCallback]] = []
        self._registered: set[str] = set()
        self._report = report

    async def restore(self, link: Link) -> None:
        if self.link is not link or not self.object_id:
            self._registered = set()
            await super().restore(link)
        for pattern in dict.fromkeys(pattern for pattern, _ in self.patterns):
            if pattern not in self._registered:
                await self._register(link, pattern)

    async def _register(self, link: Link, pattern: str) -> None:
        status, _ = await link.request(
            wire.INVOKE, wire.EVENT_OBJECT, request.register(self.object_id, pattern), BROKER_SECONDS
        )
        if status != OK:
            raise UbusError(status, f"ubus refused to listen for {pattern!r}")
        self._registered.add(pattern)

    def deliver(self, attributes: dict[int, Any]) -> None:
        """Run the callbacks whose pattern means this event."""
        name = attributes.get(wire.ATTR_METHOD, "")
        for pattern, callback in list(self.patterns):
            if request.matches(pattern, name):
                _tell(callback, name, attributes, self._report)


class Subscription(Registration):
    """Our place among the subscribers of one named object, which may come and go."""

    def __init__(self, name: str, callback: EventCallback, report: Report) -> None:
        super().__init__(name)
        self.target = 0
        self._callback = callback
        self._report = report

    async def restore(self, link: Link) -> None:
        if self.link is not link or not self.object_id:
            self.target = 0
            await super().restore(link)
        if self.target:
            return
        target = await find(link, self.name, BROKER_SECONDS)
        if target is None:
            return  # `ubus.object.add` will tell
        # Before it is asked: that the object left may come in the same read as the answer, and must not be undone.
        self.target = target
        status = CONNECTION_FAILED
        try:
            attributes = {wire.ATTR_OBJID: self.object_id, wire.ATTR_TARGET: target}
            status, _ = await link.request(wire.SUBSCRIBE, 0, attributes, BROKER_SECONDS)
        finally:
            if status != OK:
                self.target = 0
        if status not in (OK, NOT_FOUND):  # it left in between, then
            raise UbusError(status, f"ubus refused to subscribe to {self.name!r}")

    def deliver(self, attributes: dict[int, Any]) -> None:
        """Run the callback for one notification."""
        _tell(self._callback, attributes.get(wire.ATTR_METHOD, ""), attributes, self._report)


async def find(link: Link, name: str, seconds: float) -> int | None:
    """The number of the object called exactly `name`, or None; raises UbusError for other refusals."""
    if not name or name.endswith("*"):
        return None
    status, answers = await link.request(wire.LOOKUP, 0, {wire.ATTR_OBJPATH: name}, min(seconds, BROKER_SECONDS))
    if status not in (OK, NOT_FOUND):
        raise UbusError(status)
    return next((a[wire.ATTR_OBJID] for a in answers if wire.ATTR_OBJID in a), None)


def _tell(callback: EventCallback, name: str, attributes: dict[int, Any], report: Report) -> None:
    try:
        callback(name, request.unpack(attributes.get(wire.ATTR_DATA)))
    except Exception as fault:  # noqa: BLE001 - the border: one listener must not silence the others
        report(f"event {name}: {type(fault).__name__}: {fault}")
