"""One connection to a broker: requests out, their answers matched, everything else handed on.

Never reconnects and knows no object of ours: that is `client`. A link that saw one malformed
message is closed, since the stream cannot be trusted after it. All waiting is bounded: at
most IN_FLIGHT_LIMIT requests, at most ANSWER_LIMIT answers to one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from . import wire
from .request import encode
from .status import CONNECTION_FAILED, INVALID_ARGUMENT, NO_MEMORY, TIMEOUT, UbusError
from .wire import Message, Parser, WireError

IN_FLIGHT_LIMIT = 1024
# Only LOOKUP has many answers: one per object on the bus.
ANSWER_LIMIT = 4096
HELLO_SECONDS = 5.0
UNREAD_LIMIT = 4 << 20


class Pending:
    """A request that waits: what has arrived, and the future of its status.

    `on_answer` runs while the answer is being read, before the next message is: a call
    may follow the number of our new object in the same read.
    """

    def __init__(self, future: asyncio.Future[int], on_answer: Callable[[dict[int, Any]], None] | None) -> None:
        self.future = future
        self.answers: list[dict[int, Any]] = []
        self.on_answer = on_answer or self.answers.append
        self.count = 0


class Link(asyncio.Protocol):
    """Made by `open_link`. `on_message` gets what is no answer, `on_lost` runs once at the end."""

    def __init__(self, on_message: Callable[[Link, Message], None], on_lost: Callable[[Link], None]) -> None:
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[int] = loop.create_future()
        self.client_id = 0
        self.is_open = False
        self._on_message = on_message
        self._on_lost = on_lost
        self._parser = Parser(wire.MESSAGE_LIMIT + wire.FORWARD_SLACK)
        self._pending: dict[tuple[int, int], Pending] = {}
        self._seq = 0
        self._reason = "the connection to ubus is lost"
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # -- requests -------------------------------------------------------------------------

    async def request(
        self,
        kind: int,
        peer: int,
        attributes: dict[int, Any],
        seconds: float,
        on_answer: Callable[[dict[int, Any]], None] | None = None,
    ) -> tuple[int, list[dict[int, Any]]]:
        """Send and wait: status and answers. Raises UbusError 2, 7, 10 or 11 for our side's faults."""
        if len(self._pending) >= IN_FLIGHT_LIMIT:
            raise UbusError(NO_MEMORY, f"{IN_FLIGHT_LIMIT} requests are already waiting")
        seq = self._next_seq(peer)
        waiting = Pending(asyncio.get_running_loop().create_future(), on_answer)
        data = encode(kind, seq, peer, attributes)
        self._pending[seq, peer] = waiting
        try:
            return await asyncio.wait_for(self._exchange(data, waiting), seconds), waiting.answers
        except asyncio.TimeoutError:
            raise UbusError(TIMEOUT, f"no answer within {seconds:g} s") from None
        finally:
            self._pending.pop((seq, peer), None)

    async def _exchange(self, data: bytes, waiting: Pending) -> int:
        await self.send(data)
        return await waiting.future

    async def send(self, data: bytes) -> None:
        """Hand bytes to the socket, waiting while it is full; raises UbusError 10 when it is gone."""
        await self._writable.wait()
        if not self.is_open or self._transport is None:
            raise UbusError(CONNECTION_FAILED, self._reason)
        self._transport.write(data)

    def post(self, data: bytes) -> None:
        """Hand over bytes without waiting, for short answers; a broker that reads none of them is left."""
        if not self.is_open or self._transport is None:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > UNREAD_LIMIT:
            self._transport.abort()

    def _next_seq(self, peer: int) -> int:
        while True:
            self._seq = self._seq + 1 & 0xFFFF
            if (self._seq, peer) not in self._pending:
                return self._seq

    def close(self) -> None:
        """End the connection; what waits fails with status 10."""
        if self._transport is not None:
            self._transport.close()
        self._end()

    # -- asyncio.Protocol -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._parser.feed(data):
                self._take(message)
        except WireError as problem:
            self._reason = f"malformed message from ubus: {problem}"
            self.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, problem: Exception | None) -> None:
        self._end()

    # -- answers --------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        if message.type == wire.HELLO and not self.hello.done():
            self.client_id = message.peer
            self.hello.set_result(message.peer)
        elif message.type in (wire.STATUS, wire.DATA):
            self._answer(message)
        elif self.is_open:
            self._on_message(self, message)

    def _answer(self, message: Message) -> None:
        waiting = self._pending.get((message.seq, message.peer))
        if waiting is None or waiting.future.done():
            return
        attributes = message.attributes()
        if message.type == wire.STATUS:
            # libubus takes a status message without a status for "invalid argument".
            waiting.future.set_result(attributes.get(wire.ATTR_STATUS, INVALID_ARGUMENT))
        elif waiting.count < ANSWER_LIMIT:
            waiting.count += 1
            waiting.on_answer(attributes)

    def _end(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._writable.set()
        lost = UbusError(CONNECTION_FAILED, self._reason)
        for future in [self.hello, *(waiting.future for waiting in self._pending.values())]:
            if not future.done():
                future.set_exception(lost)
                future.exception()  # read it, or an abandoned one is logged as forgotten
        self._on_lost(self)


async def open_link(
    path: str,
    on_message: Callable[[Link, Message], None],
    on_lost: Callable[[Link], None],
) -> Link:
    """A link whose broker said hello; raises UbusError 10 when nobody useful listens there."""
    loop = asyncio.get_running_loop()
    try:
        _, link = await loop.create_unix_connection(lambda: Link(on_message, on_lost), path)
    except OSError as problem:
        raise UbusError(CONNECTION_FAILED, f"cannot connect to {path}: {problem.strerror}") from None
    try:
        await asyncio.wait_for(link.hello, HELLO_SECONDS)
    except asyncio.TimeoutError:
        link.close()
        raise UbusError(CONNECTION_FAILED, f"{path} does not speak ubus") from None
    except BaseException:
        link.close()
        raise
    if not link.is_open:  # it said hello and left
        raise UbusError(CONNECTION_FAILED, f"{path} closed the connection")
    return link
