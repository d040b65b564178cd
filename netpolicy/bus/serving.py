"""Everything of ours that the bus may call: keeps it registered and answers the calls.

Knows a link while there is one, never makes one. Handlers run side by side, at most
RUNNING_LIMIT at a time; WAITING_LIMIT more may wait, a call beyond that gets status 11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from . import request, wire
from .link import Link
from .method import Caller
from .registration import EventCallback, Events, Registration, Served, Subscription
from .status import CONNECTION_FAILED, NO_MEMORY, NOT_FOUND, OK, UNKNOWN_ERROR, UbusError
from .wire import Message, WireError

RUNNING_LIMIT = 32
WAITING_LIMIT = 256
CLEAN_UP_SECONDS = 2.0


class Desk:
    """The registrations of one client and the tasks that serve them."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.entries: list[Registration] = []
        self._report = report
        self._events = Events(report)
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(RUNNING_LIMIT)
        # Two restorations of one entry at once would register it twice.
        self._order = asyncio.Lock()

    # -- registration ---------------------------------------------------------------------

    async def restore(self, link: Link) -> bool:
        """Register all that is not on this link, also what is added meanwhile; False if refused."""
        done: set[Registration] = set()
        complete = True
        while entry := next((e for e in self.entries if e not in done), None):
            done.add(entry)
            complete &= await self._restore_one(entry, link)
        return complete

    async def _restore_one(self, entry: Registration, link: Link) -> bool:
        try:
            async with self._order:
                await entry.restore(link)
        except UbusError as refusal:
            self._report(str(refusal))
            return False
        return True

    async def add(self, entry: Registration, link: Link | None) -> None:
        """Remember, and register when there is a link; a refusal is raised and forgotten."""
        self.entries.append(entry)
        if link is None:
            return
        try:
            async with self._order:
                await entry.restore(link)
        except UbusError as refusal:
            if refusal.status != CONNECTION_FAILED:  # the next link makes that one good
                self.entries.remove(entry)
                raise

    async def remove(self, name: str, link: Link | None) -> None:
        """Forget our object of this name and take it off the bus."""
        entry = self.served(name)
        self.entries.remove(entry)
        if link is not None:
            async with self._order:
                await entry.withdraw(link)

    async def listen(self, pattern: str, callback: EventCallback, link: Link | None) -> None:
        """Add a callback for events."""
        self._events.patterns.append((pattern, callback))
        if self._events not in self.entries:
            self.entries.append(self._events)
        if link is not None:
            async with self._order:
                await self._events.restore(link)

    async def subscribe(self, name: str, callback: EventCallback, link: Link | None) -> None:
        """Add a callback for the notifications of one object."""
        if not any(known == self._appeared for _, known in self._events.patterns):
            await self.listen("ubus.object.add", self._appeared, link)
        await self.add(Subscription(name, callback, self._report), link)

    def served(self, name: str) -> Served:
        """Our object of this name; raises UbusError 4."""
        for entry in self.entries:
            if isinstance(entry, Served) and entry.name == name:
                return entry
        raise UbusError(NOT_FOUND, f"{name!r} is not an object of ours")

    def _appeared(self, _: str, data: dict[str, Any]) -> None:
        for entry in self.entries:
            if isinstance(entry, Subscription) and entry.name == data.get("path") and entry.link:
                self._spawn(self._again(entry, entry.link))

    async def _again(self, entry: Registration, link: Link) -> None:
        await self._restore_one(entry, link)

    # -- calls ----------------------------------------------------------------------------

    def receive(self, link: Link, message: Message) -> None:
        """What the broker sends without being asked; what nobody understands is dropped."""
        try:
            attributes = message.attributes()
        except WireError as problem:
            self._report(f"malformed message from the bus: {problem}")
            return
        entry = self._entry(attributes.get(wire.ATTR_OBJID))
        if message.type == wire.INVOKE:
            self._invoked(link, message, attributes, entry)
        elif message.type == wire.UNSUBSCRIBE and isinstance(entry, Subscription):
            entry.target = 0

    def _entry(self, number: int | None) -> Registration | None:
        return next((e for e in self.entries if number and e.object_id == number), None)

    def _invoked(self, link: Link, message: Message, attributes: dict[int, Any], entry: Registration | None) -> None:
        status = NOT_FOUND
        if isinstance(entry, Served):
            if len(self._tasks) < RUNNING_LIMIT + WAITING_LIMIT:
                self._spawn(self._serve(link, message, attributes, entry))
                return
            status = NO_MEMORY
        elif isinstance(entry, (Events, Subscription)):
            entry.deliver(attributes)
            status = OK
        if _wants_answer(message, attributes):
            link.post(_ending(message, attributes, status))

    async def _serve(self, link: Link, message: Message, attributes: dict[int, Any], entry: Served) -> None:
        names = [attributes.get(number, "") for number in (wire.ATTR_USER, wire.ATTR_GROUP)]
        async with self._slots:
            status, reply = await entry.run(attributes, Caller(message.peer, *names), self._report)
        if not _wants_answer(message, attributes):
            return
        try:
            if reply is not None:
                status = await self._reply(link, message, attributes, status, reply)
            await link.send(_ending(message, attributes, status))
        except UbusError:
            return  # the broker is gone, and the caller with it

    async def _reply(
        self,
        link: Link,
        message: Message,
        attributes: dict[int, Any],
        status: int,
        reply: Mapping[str, Any],
    ) -> int:
        """Send the data of a reply; the status to end with is 9 when ubus cannot carry it."""
        try:
            body = {wire.ATTR_OBJID: attributes[wire.ATTR_OBJID], wire.ATTR_DATA: request.pack(reply)}
            data = request.encode(wire.DATA, message.seq, message.peer, body)
        except UbusError as problem:
            self._report(f"reply of {attributes.get(wire.ATTR_METHOD)}: {problem}")
            return UNKNOWN_ERROR
        await link.send(data)
        return status

    # -- tasks ----------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel the handlers that still run, and give them a moment to clean up."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=CLEAN_UP_SECONDS)


def _wants_answer(message: Message, attributes: dict[int, Any]) -> bool:
    # Events come from peer 0, where nobody waits.
    return bool(message.peer) and not attributes.get(wire.ATTR_NO_REPLY)


def _ending(message: Message, attributes: dict[int, Any], status: int) -> bytes:
    body = {wire.ATTR_STATUS: status, wire.ATTR_OBJID: attributes.get(wire.ATTR_OBJID, 0)}
    return request.encode(wire.STATUS, message.seq, message.peer, body)
