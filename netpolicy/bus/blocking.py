"""The blocking ubus client for the terminal: one connection, one request at a time.

Never imports asyncio (a command must start in 14 MB) and offers no objects. Same messages
as the asyncio client, from `wire` and `request`; time limits are kept over the whole call.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import request, wire
from .paths import default_socket
from .request import ObjectInfo
from .status import CONNECTION_FAILED, NOT_FOUND, OK, TIMEOUT, UbusError
from .wire import Message, Parser, WireError

BROKER_SECONDS = 10.0
CROWDED_SECONDS = 0.02
READ_BYTES = 65536
ANSWER_LIMIT = 4096


class BlockingClient:
    """A connection to the bus, to be used as a context manager; raises only UbusError."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path or default_socket()
        self._seq = 0
        self._parser = Parser(wire.MESSAGE_LIMIT + wire.FORWARD_SLACK)
        self._messages: deque[Message] = deque()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect(time.monotonic() + BROKER_SECONDS)
            self._hello()
        except OSError as problem:
            self.close()
            raise UbusError(
                CONNECTION_FAILED, f"cannot connect to {self.path}: {problem.strerror or problem}"
            ) from None
        except UbusError:
            self.close()
            raise

    def _connect(self, deadline: float) -> None:
        """Connect, also while the broker has more callers at its door than it may let wait."""
        while True:
            self._socket.settimeout(_left(deadline))
            try:
                return self._socket.connect(self.path)
            except BlockingIOError:
                time.sleep(CROWDED_SECONDS)

    def _hello(self) -> None:
        if self._next(time.monotonic() + BROKER_SECONDS).type != wire.HELLO:
            raise UbusError(CONNECTION_FAILED, f"{self.path} does not speak ubus")

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(
        self,
        object_name: str,
        method_name: str,
        data: Mapping[str, Any] | None = None,
        timeout: float = 30.0,
    ) -> dict[str, Any]:
        """The reply of a method, {} when it has none; errors as in `UbusClient.call`."""
        deadline = time.monotonic() + timeout
        raw = request.pack(data)
        target = self._find(object_name, deadline)
        status, answers = self._request(wire.INVOKE, target, request.invoke(target, method_name, raw), deadline)
        reply = request.unpack(answers[0].get(wire.ATTR_DATA)) if answers else {}
        if status != OK:
            raise request.failure(status, reply)
        return reply

    def lookup(self, pattern: str = "*") -> list[ObjectInfo]:
        """The objects whose name is `pattern` or, with a `*` at its end, begins so."""
        status, answers = self._request(wire.LOOKUP, 0, request.lookup(pattern), _soon())
        if status not in (OK, NOT_FOUND):
            raise UbusError(status)
        found = [request.object_info(answer) for answer in answers]
        return [info for info in found if info is not None]

    def send_event(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Broadcast an event."""
        status, _ = self._request(wire.INVOKE, wire.EVENT_OBJECT, request.event(name, data), _soon())
        if status != OK:
            raise UbusError(status)

    def listen(
        self, patterns: Sequence[str] = ("*",), timeout: float | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events as (name, data), for ever or until `timeout` seconds are over.

        Listening has begun when this returns. Raises UbusError 10 when the bus goes away.
        """
        number = self._anonymous_object()
        for pattern in patterns:
            status, _ = self._request(wire.INVOKE, wire.EVENT_OBJECT, request.register(number, pattern), _soon())
            if status != OK:
                raise UbusError(status, f"ubus refused to listen for {pattern!r}")
        return self._events(number, None if timeout is None else time.monotonic() + timeout)

    def _events(self, number: int, deadline: float | None) -> Iterator[tuple[str, dict[str, Any]]]:
        while True:
            try:
                message = self._next(deadline)
            except UbusError as problem:
                if problem.status == TIMEOUT:
                    return
                raise
            attributes = _attributes(message)
            if message.type == wire.INVOKE and attributes.get(wire.ATTR_OBJID) == number:
                yield attributes.get(wire.ATTR_METHOD, ""), request.unpack(attributes.get(wire.ATTR_DATA))

    def _anonymous_object(self) -> int:
        status, answers = self._request(wire.ADD_OBJECT, 0, {}, _soon())
        if status != OK or not answers:
            raise UbusError(status or CONNECTION_FAILED)
        return int(answers[0].get(wire.ATTR_OBJID, 0))

    def _find(self, name: str, deadline: float) -> int:
        if name and not name.endswith("*"):
            status, answers = self._request(wire.LOOKUP, 0, request.lookup(name), deadline)
            for answer in answers:
                if wire.ATTR_OBJID in answer:
                    return int(answer[wire.ATTR_OBJID])
            if status not in (OK, NOT_FOUND):
                raise UbusError(status)
        raise UbusError(NOT_FOUND, f"no object {name!r} on the bus")

    # -- one request ----------------------------------------------------------------------

    def _request(
        self, kind: int, peer: int, attributes: dict[int, Any], deadline: float
    ) -> tuple[int, list[dict[int, Any]]]:
        self._seq = self._seq + 1 & 0xFFFF
        self._send(request.encode(kind, self._seq, peer, attributes), deadline)
        answers: list[dict[int, Any]] = []
        kept: list[Message] = []  # events that come in between wait for `listen`
        try:
            while True:
                message = self._next(deadline)
                if message.type == wire.INVOKE and len(kept) < ANSWER_LIMIT:
                    kept.append(message)
                if (message.seq, message.peer) != (self._seq, peer):
                    continue
                if message.type == wire.DATA and len(answers) < ANSWER_LIMIT:
                    answers.append(_attributes(message))
                elif message.type == wire.STATUS:
                    return _attributes(message).get(wire.ATTR_STATUS, OK), answers
        finally:
            self._messages.extendleft(reversed(kept))

    def _send(self, data: bytes, deadline: float) -> None:
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(data)
        except TimeoutError:
            self.close()  # a part of the message may be out: what is sent next would be read as the rest of it
            raise UbusError(TIMEOUT, "ubus does not read") from None
        except OSError as problem:
            raise UbusError(CONNECTION_FAILED, f"ubus closed the connection: {problem.strerror}") from None

    def _next(self, deadline: float | None) -> Message:
        """The next message of any kind; raises UbusError 7 at the deadline, 10 at the end."""
        while not self._messages:
            try:
                self._socket.settimeout(None if deadline is None else _left(deadline))
                data = self._socket.recv(READ_BYTES)
                self._messages.extend(self._parser.feed(data))
            except TimeoutError:
                raise UbusError(TIMEOUT, "no answer in time") from None
            except (OSError, WireError) as problem:
                raise UbusError(CONNECTION_FAILED, f"ubus: {problem}") from None
            if not data:
                raise UbusError(CONNECTION_FAILED, "ubus closed the connection")
        return self._messages.popleft()


def call(
    object_name: str,
    method_name: str,
    data: Mapping[str, Any] | None = None,
    timeout: float = 30.0,
    path: str | None = None,
) -> dict[str, Any]:
    """One call on a connection of its own; see `BlockingClient.call`."""
    with BlockingClient(path) as client:
        return client.call(object_name, method_name, data, timeout)


def lookup(pattern: str = "*", path: str | None = None) -> list[ObjectInfo]:
    """One lookup on a connection of its own."""
    with BlockingClient(path) as client:
        return client.lookup(pattern)


def listen(
    patterns: Sequence[str] = ("*",), timeout: float | None = None, path: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Events as (name, data); listening begins with the first `next`."""
    with BlockingClient(path) as client:
        yield from client.listen(patterns, timeout)


def _attributes(message: Message) -> dict[int, Any]:
    try:
        return message.attributes()
    except WireError as problem:
        raise UbusError(CONNECTION_FAILED, f"ubus: {problem}") from None


def _soon() -> float:
    return time.monotonic() + BROKER_SECONDS


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
