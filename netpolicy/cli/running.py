"""The running daemon, as a command sees it: calls, events, and every failure in words.

Decides what to tell a person when the daemon does not answer; knows no command. Imports the
blocking bus client only when something is asked (a command must fit into 14 MB).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .exit_code import FINDINGS, USAGE, Failure

if TYPE_CHECKING:
    from netpolicy.bus.blocking import BlockingClient
    from netpolicy.bus.status import UbusError

OBJECT = "netpolicy"
EVENTS = "netpolicy.*"

SECONDS = 30.0
INIT_SCRIPT = "/etc/init.d/netpolicy"


class Daemon:
    """A connection to the daemon; a context manager. Every method raises Failure."""

    def __init__(self, path: str | None) -> None:
        from netpolicy.bus.blocking import BlockingClient
        from netpolicy.bus.paths import default_socket
        from netpolicy.bus.status import UbusError

        self.path = path or default_socket()
        try:
            self._client: BlockingClient = BlockingClient(self.path)
        except UbusError as problem:
            raise unreachable(self.path, problem.text) from None

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(self, method: str, data: Mapping[str, Any] | None = None, seconds: float = SECONDS) -> dict[str, Any]:
        """The reply of a method of the daemon; arguments that are None are left out."""
        from netpolicy.bus.status import UbusError

        given = {name: value for name, value in (data or {}).items() if value is not None}
        try:
            return self._client.call(OBJECT, method, given, seconds)
        except UbusError as problem:
            raise self._refused(method, problem, seconds) from None

    def events(self, seconds: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The daemon's events as (name, data) until `seconds` are over, or for ever."""
        from netpolicy.bus.status import UbusError

        try:
            if not self._client.lookup(OBJECT):
                raise not_running(f"ubus at {self.path} has no object '{OBJECT}'")
            yield from self._client.listen([EVENTS], seconds)
        except UbusError as problem:
            raise self._refused("events", problem, 0) from None

    def _refused(self, method: str, problem: UbusError, seconds: float) -> Failure:
        from netpolicy.bus import status

        if problem.status == status.NOT_FOUND and not self._is_there():
            return not_running(f"ubus at {self.path} has no object '{OBJECT}'")
        if problem.status == status.INVALID_ARGUMENT:
            return Failure(f"{method}: {problem.text}", code=USAGE)
        if problem.status == status.METHOD_NOT_FOUND:
            return Failure(
                f"the running netpolicyd has no method {method!r}",
                "it may be older than this tool: restart it; the methods of this tool: docs/interfaces.md",
            )
        if problem.status == status.PERMISSION_DENIED:
            return Failure(f"{method}: ubus denies it to this user", "run the command as root")
        if problem.status == status.TIMEOUT:
            return Failure(
                f"{method}: netpolicyd did not answer within {seconds:.0f} seconds", "its log may say why: logread"
            )
        if problem.status == status.CONNECTION_FAILED:
            return Failure(f"{method}: the connection to ubus at {self.path} broke off", "try again")
        return Failure(f"{method}: {problem.text}")

    def _is_there(self) -> bool:
        from netpolicy.bus.status import UbusError

        try:
            return bool(self._client.lookup(OBJECT))
        except UbusError:
            return False


def unreachable(path: str, reason: str) -> Failure:
    """Why nobody can be asked at `path`."""
    if not os.path.exists(path):
        return not_running(f"no ubus at {path}")
    if not os.access(path, os.R_OK | os.W_OK):
        return Failure(f"this user may not open {path}", "run the command as root")
    return not_running(reason)


def not_running(reason: str) -> Failure:
    """The daemon is not there; how to start it depends on where we are."""
    if os.path.exists(INIT_SCRIPT):
        start = f"start it with {INIT_SCRIPT} start"
    else:
        start = "start it with netpolicyd --foreground --config FILE"
    # ubusd does not even name an object to a user who may not call it.
    asks_as_root = "" if os.geteuid() == 0 else "; or run the command as root: ubus hides the daemon from others"
    return Failure(f"netpolicyd is not running ({reason}): {start}{asks_as_root}", code=FINDINGS)
