"""A real broker with a stand-in `netpolicy` object, in a thread of its own.

Answers what a test put into `replies`: a document, or a function of the arguments that may
raise UbusError. Every call is kept in `calls`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from netpolicy.bus.broker import Broker
from netpolicy.bus.change_methods import APPLY
from netpolicy.bus.client import Caller, Method, UbusClient

PATIENCE = 30.0

ARGUMENTS: dict[str, Mapping[str, type]] = {
    "status": {},
    "rules": {"limit": int, "offset": int, "unused_days": int},
    "outbounds": {},
    "outbound_set": {"name": str, "state": str, "weight": int, "member": list},
    "connections": {"limit": int, "offset": int, "filter": str},
    "explain": {"flow": str},
    "decide": {"facts": dict},
    "plan": {"text": str, "format": str},
    "apply": APPLY,
    "rollback": {**APPLY, "generation": int},
    "job": {"id": str},
    "confirm": {"id": str, "ssh": str, "console": bool, "address": str, "from": str},
    "extend": {"id": str, "seconds": int},
    "abort": {"id": str, "from": str},
    "history": {"limit": int, "offset": int},
    "verify": {},
    "show": {"generation": int},
    "diff": {"from": int, "to": int},
    "drift": {},
    "heal": {},
    "reload": {},
    "logs": {"since": int, "limit": int, "level": str},
}

Reply = Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]


class StandIn:
    """Serves `path` from `start` to `stop`; without `replies` there is only the broker."""

    def __init__(self, path: str, replies: dict[str, Reply] | None = None) -> None:
        self.path = path
        self.replies = replies
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._loop = asyncio.new_event_loop()
        self._client: UbusClient | None = None
        self._broker = Broker(path)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> StandIn:
        self._thread.start()
        self.run(self._open())
        return self

    def stop(self) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def announce(self, name: str, data: Mapping[str, Any]) -> None:
        assert self._client
        self.run(self._client.send_event(name, data))

    def leave(self) -> None:
        """The daemon is gone from the bus, as after a death. For replies: it ends in the middle of one."""
        assert self._client
        if threading.current_thread() is self._thread:
            self._leaving = self._loop.create_task(self._client.close())
        else:
            self.run(self._client.close())

    def come_back(self) -> None:
        """The next daemon is there. For tests, not for replies."""
        self.run(self._serve())

    @property
    def names(self) -> list[str]:
        """The methods that were called, in order."""
        return [name for name, _ in self.calls]

    @property
    def listeners(self) -> int:
        """How many clients the broker has beside the object's own."""
        return len(self._broker.connections) - 1

    async def _open(self) -> None:
        await self._broker.start()
        if self.replies is not None:
            await self._serve()

    async def _serve(self) -> None:
        assert self.replies is not None
        self._client = UbusClient(self.path)
        await self._client.connect(timeout=PATIENCE)
        while await self._client.lookup("netpolicy"):  # noqa: ASYNC110 - the broker may not know yet that one left
            await asyncio.sleep(0.01)
        methods = {name: Method(self._handler(name), ARGUMENTS[name]) for name in self.replies}
        await self._client.add_object("netpolicy", methods)

    async def _close(self) -> None:
        if self._client is not None:
            await self._client.close()
        await self._broker.close()

    def _handler(self, name: str) -> Callable[[dict[str, Any], Caller], Any]:
        async def handle(arguments: dict[str, Any], caller: Caller) -> Mapping[str, Any]:
            self.calls.append((name, arguments))
            assert self.replies
            reply = self.replies[name]
            return reply(arguments) if callable(reply) else reply

        return handle
