"""python-ubus, where it is installed, behind the interface of the blocking client.

Calls and events only: it cannot take optional arguments, choose a status or notice a restart
of ubusd, so our own object is never served through it. It is imported when the first client
is made. It keeps one connection per process, so there is one `LibraryClient` at a time.
"""

from __future__ import annotations

import importlib
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .blocking import BlockingClient
from .paths import default_socket
from .request import TYPE_NAMES, ObjectInfo, failure, pack
from .status import CONNECTION_FAILED, INVALID_ARGUMENT, NOT_FOUND, TEXTS, UNKNOWN_ERROR, UbusError

LOOP_MILLISECONDS = 200
# Its loop does not end when ubusd dies; asking for the list of objects shows it.
WATCH_SECONDS = 5.0


def load() -> Any | None:
    """The python-ubus module, or None; other packages called `ubus` do not count."""
    try:
        module = importlib.import_module("ubus")
    except ImportError:
        return None
    return module if hasattr(module, "BLOBMSG_TYPE_TABLE") and hasattr(module, "loop") else None


class LibraryClient:
    """Calls, lookups and events over python-ubus; raises only UbusError."""

    def __init__(self, path: str | None = None) -> None:
        module = load()
        if module is None:
            raise UbusError(CONNECTION_FAILED, "python-ubus is not installed")
        self.path = path or default_socket()
        self._module = module
        try:
            module.connect(self.path)
        except (OSError, RuntimeError) as problem:
            raise UbusError(CONNECTION_FAILED, f"cannot connect to {self.path}: {problem}") from None

    def __enter__(self) -> LibraryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process's connection."""
        if self._module.get_connected():
            self._module.disconnect()

    def call(
        self,
        object_name: str,
        method_name: str,
        data: Mapping[str, Any] | None = None,
        timeout: float = 30.0,
    ) -> dict[str, Any]:
        """The reply of a method, {} when it has none; the library knows only the text of a status."""
        pack(data)  # what blobmsg cannot carry is refused as the other clients do
        milliseconds = max(1, int(timeout * 1000))  # 0 would wait for ever
        try:
            replies = self._module.call(object_name, method_name, dict(data or {}), milliseconds)
        except (RuntimeError, TypeError) as problem:
            raise _error(str(problem)) from None
        return dict(replies[0]) if replies else {}

    def lookup(self, pattern: str = "*") -> list[ObjectInfo]:
        """The objects that match; the library does not tell their numbers, they are 0."""
        try:
            found = self._module.objects(pattern)
        except RuntimeError as problem:
            error = _error(str(problem))
            if error.status == NOT_FOUND:
                return []
            raise error from None
        return [ObjectInfo(path, 0, 0, _methods(methods)) for path, methods in sorted(found.items())]

    def send_event(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Broadcast an event."""
        pack(data)
        try:
            sent = self._module.send(name, dict(data or {}))
        except (RuntimeError, TypeError) as problem:
            raise _error(str(problem)) from None
        if not sent:
            raise UbusError(UNKNOWN_ERROR, f"ubus refused the event {name!r}")

    def listen(
        self, patterns: Sequence[str] = ("*",), timeout: float | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events as (name, data), for ever or until `timeout` seconds are over."""
        arrived: deque[tuple[str, dict[str, Any]]] = deque()
        for pattern in patterns:
            self._module.listen((pattern, lambda name, data: arrived.append((name, data))))
        return self._events(arrived, None if timeout is None else time.monotonic() + timeout)

    def _events(
        self, arrived: deque[tuple[str, dict[str, Any]]], deadline: float | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        watch = time.monotonic() + WATCH_SECONDS
        while deadline is None or time.monotonic() < deadline:
            self._module.loop(LOOP_MILLISECONDS)
            while arrived:
                yield arrived.popleft()
            if time.monotonic() > watch:
                self._still_there()
                watch = time.monotonic() + WATCH_SECONDS

    def _still_there(self) -> None:
        try:
            self._module.objects("*")
        except RuntimeError as problem:
            raise UbusError(CONNECTION_FAILED, f"ubus closed the connection: {problem}") from None


def open_client(path: str | None = None) -> LibraryClient | BlockingClient:
    """A client for one command: python-ubus where it is installed, else our own."""
    return BlockingClient(path) if load() is None else LibraryClient(path)


def _error(text: str) -> UbusError:
    """The status behind the library's words."""
    if "was not found" in text:
        return UbusError(NOT_FOUND, text)
    for status, words in enumerate(TEXTS):
        if words in text:
            return failure(status, None)
    return UbusError(INVALID_ARGUMENT if "json" in text.lower() else UNKNOWN_ERROR, text)


def _methods(found: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {
        name: {argument: TYPE_NAMES.get(kind, "(unknown)") for argument, kind in arguments.items()}
        for name, arguments in found.items()
    }
