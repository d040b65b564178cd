"""The asyncio ubus client: calls, objects of ours, events; comes back when ubusd does.

Holds no decisions of the policy engine. What was registered (objects, listeners,
subscriptions) is registered again on every new connection, because ubusd keeps nothing
over a restart. Protocol as in `wire` and `request`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from . import request, wire
from .link import Link, open_link
from .method import Caller, Handler, Method
from .paths import default_socket
from .registration import BROKER_SECONDS, EventCallback, Served, find
from .request import ObjectInfo
from .serving import Desk
from .status import CONNECTION_FAILED, NOT_FOUND, OK, UbusError

__all__ = ["Caller", "Handler", "Method", "ObjectInfo", "UbusClient", "UbusError"]

RETRY_FIRST_SECONDS = 0.05
RETRY_MOST_SECONDS = 1.0


def _ignore(_: Any) -> None:
    """The default of the callbacks."""


class UbusClient:
    """`on_state(connected)` runs at every change, `on_error(text)` for faults nobody awaits."""

    def __init__(
        self,
        path: str | None = None,
        *,
        on_state: Callable[[bool], None] = _ignore,
        on_error: Callable[[str], None] = _ignore,
    ) -> None:
        self.path = path or default_socket()
        self._on_state = on_state
        self._on_error = on_error
        self._desk = Desk(on_error)
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._closing = False
        self.last_error = ""  # why the last attempt to connect failed

    # -- life -----------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a connection and registration on it has been gone through once."""
        return self._up.is_set()

    def start(self) -> None:
        """Begin to connect, and to reconnect for ever, in the background."""
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def connect(self, timeout: float = 5.0) -> None:
        """`start`, then wait; raises UbusError 10 after `timeout` seconds and goes on trying."""
        self.start()
        try:
            await asyncio.wait_for(self._up.wait(), timeout)
        except asyncio.TimeoutError:
            raise UbusError(CONNECTION_FAILED, self.last_error or f"no ubus at {self.path}") from None

    async def close(self) -> None:
        """Disconnect for good; ubusd then removes our objects. Running handlers are cancelled."""
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
        if self._link is not None:
            self._link.close()
        if self._keeper is not None:
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._desk.close()

    async def _keep(self) -> None:
        """Connect, register, wait for the loss, again; the pause grows while nobody answers."""
        loop = asyncio.get_running_loop()
        pause = RETRY_FIRST_SECONDS
        # Until Python 3.12 `wait_for` may swallow a cancellation, so the task is also told to end.
        while not self._closing:
            started = loop.time()
            try:
                await self._session(await open_link(self.path, self._desk.receive, self._ended))
            except UbusError as problem:
                self.last_error = str(problem)
            if loop.time() - started >= RETRY_MOST_SECONDS:
                pause = RETRY_FIRST_SECONDS  # it was a real connection: be back at once
                continue
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST_SECONDS)

    async def _session(self, link: Link) -> None:
        """One connection from hello to loss."""
        self._link = link
        self._lost.clear()
        try:
            complete = await self._desk.restore(link)
            self._announce(link)
            while link.is_open and not complete:
                await self._pause_unless_lost()
                complete = await self._desk.restore(link)
            await self._lost.wait()
        finally:
            link.close()

    def _announce(self, link: Link) -> None:
        if link.is_open:
            self._up.set()
            self._tell_state()

    async def _pause_unless_lost(self) -> None:
        # A name of ours may still belong to our dead connection, or to a twin: ask again later.
        try:
            await asyncio.wait_for(self._lost.wait(), RETRY_MOST_SECONDS)
        except asyncio.TimeoutError:
            return

    def _ended(self, link: Link) -> None:
        if link is not self._link:
            return
        self._link = None
        self._lost.set()
        if self._up.is_set():
            self._up.clear()
            self._tell_state()

    def _tell_state(self) -> None:
        try:
            self._on_state(self.connected)
        except Exception as fault:  # noqa: BLE001 - a broken callback must not end reconnecting
            self._on_error(f"state callback: {type(fault).__name__}: {fault}")

    def _link_or_none(self) -> Link | None:
        """The link on which registration happens at once; before `connected` the keeper does it."""
        return self._link if self.connected else None

    def _link_now(self) -> Link:
        if self._link is None or not self._link.is_open:
            raise UbusError(CONNECTION_FAILED, f"no ubus at {self.path}")
        return self._link

    # -- calling others -------------------------------------------------------------------

    async def call(
        self,
        object_name: str,
        method_name: str,
        data: Mapping[str, Any] | None = None,
        timeout: float = 30.0,
    ) -> dict[str, Any]:
        """The reply of a method, {} when it has none (of several the first).

        Raises UbusError: what the bus or the object answered, 7 after `timeout` seconds
        altogether, 10 without a connection.
        """
        link = self._link_now()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        raw = request.pack(data)
        target = await find(link, object_name, timeout)
        if target is None:
            raise UbusError(NOT_FOUND, f"no object {object_name!r} on the bus")
        status, answers = await link.request(
            wire.INVOKE, target, request.invoke(target, method_name, raw), deadline - loop.time()
        )
        reply = request.unpack(answers[0].get(wire.ATTR_DATA)) if answers else {}
        if status != OK:
            raise request.failure(status, reply)
        return reply

    async def lookup(self, pattern: str = "*") -> list[ObjectInfo]:
        """The objects whose name is `pattern` or, with a `*` at its end, begins so."""
        status, answers = await self._link_now().request(wire.LOOKUP, 0, request.lookup(pattern), BROKER_SECONDS)
        if status not in (OK, NOT_FOUND):
            raise UbusError(status)
        found = [request.object_info(answer) for answer in answers]
        return [info for info in found if info is not None]

    async def send_event(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Broadcast an event; our own listeners do not get it (the bus does not loop back)."""
        status, _ = await self._link_now().request(
            wire.INVOKE, wire.EVENT_OBJECT, request.event(name, data), BROKER_SECONDS
        )
        if status != OK:
            raise UbusError(status)

    async def notify(self, object_name: str, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Tell the subscribers of our object; nobody answers, none need exist."""
        number = self._desk.served(object_name).object_id
        attributes = request.invoke(number, name, request.pack(data))
        attributes[wire.ATTR_NO_REPLY] = True
        await self._link_now().send(request.encode(wire.NOTIFY, 0, number, attributes))

    # -- being called ---------------------------------------------------------------------

    async def add_object(self, name: str, methods: Mapping[str, Method]) -> None:
        """Put an object on the bus, now and after every reconnection.

        Without a connection it is only remembered. Raises the broker's refusal (2: the
        name is taken) and then forgets it.
        """
        await self._desk.add(Served(name, methods), self._link_or_none())

    async def remove_object(self, name: str) -> None:
        """Take our object off the bus; raises UbusError 4 when we have none of this name."""
        await self._desk.remove(name, self._link_or_none())

    async def listen(self, pattern: str, callback: EventCallback) -> None:
        """Call `callback(event, data)` for events; `*` at the end of the pattern matches any rest.

        It runs in the loop, in the order of arrival, so it must not block.
        """
        await self._desk.listen(pattern, callback, self._link_or_none())

    async def subscribe(self, object_name: str, callback: EventCallback) -> None:
        """Call `callback(type, data)` for an object's notifications, also when it appears later."""
        await self._desk.subscribe(object_name, callback, self._link_or_none())
