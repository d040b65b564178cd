"""Make connections in one node on request: a JSON object per line in, one per line out.

Exists because starting an interpreter per probe costs more than the probe. Decides nothing;
an unknown request is answered with an error. Requests come from the test bench's pipe.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from netpolicy.lab import probes

# Enough to fill a line, few enough to stay under the usual limit of open files.
SOCKETS_AT_ONCE = 200
MISSING_SHOWN = 20
RECEIVE_BUFFER = 4 << 20


class Agent:
    """The node's open connections and what can be asked."""

    def __init__(self) -> None:
        self._open: dict[int, socket.socket] = {}
        self._next = 1
        self.answers: dict[str, Callable[..., Any]] = {
            "tcp": probes.tcp,
            "udp": probes.udp,
            "dns": probes.dns,
            "udp_many": udp_many,
            "stream": stream,
            "open": self.open,
            "talk": self.talk,
            "close": self.close,
        }

    def open(self, address: str, port: int, timeout: float = probes.DEFAULT_TIMEOUT, **how: Any) -> probes.Result:
        """Connect to the echo server and stay connected; `id` names the connection."""
        handle = probes.open_socket(address, socket.SOCK_STREAM, how)
        handle.settimeout(timeout)
        try:
            handle.connect((address, port))
            first = json.loads(probes.read_line(handle))
        except OSError as error:
            handle.close()
            return {"ok": False, "error": probes.word_for(error), "seen": None}
        number, self._next = self._next, self._next + 1
        self._open[number] = handle
        return {"ok": True, "error": None, "id": number, "local_port": handle.getsockname()[1], **first}

    def talk(self, id: int, text: str = "still here") -> probes.Result:
        """Send a line on an open connection and expect it back."""
        try:
            self._open[id].sendall(text.encode() + b"\n")
            heard = probes.read_line(self._open[id]).decode().strip()
        except OSError as error:
            return {"ok": False, "error": probes.word_for(error)}
        return {"ok": heard == text, "error": None if heard == text else "closed"}

    def close(self, id: int) -> probes.Result:
        """End an open connection."""
        self._open.pop(id).close()
        return {"ok": True, "error": None}


def udp_many(targets: list[list[Any]], timeout: float = probes.DEFAULT_TIMEOUT) -> list[str | None]:
    """One datagram to each [address, port, source port or 0]; the address seen for each, None for silence."""
    found: list[str | None] = []
    for start in range(0, len(targets), SOCKETS_AT_ONCE):
        found += _udp_batch(targets[start : start + SOCKETS_AT_ONCE], timeout)
    return found


def stream(
    address: str, port: int, count: int, rate: float, patience: float = probes.DEFAULT_TIMEOUT, **how: Any
) -> probes.Result:
    """`count` numbered datagrams at `rate` per second to the echo server; who saw them and which never came back."""
    handle = probes.open_socket(address, socket.SOCK_DGRAM, how)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    with contextlib.suppress(PermissionError):
        handle.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BUFFER)  # SO_RCVBUFFORCE, above the system's limit
    handle.connect((address, port))
    handle.setblocking(False)
    heard: set[int] = set()
    seen: dict[str, int] = {}
    refused, begin = 0, time.monotonic()
    for number in range(count):
        _hear_until(handle, begin + number / rate, heard, seen)
        try:
            handle.send(b"%d" % number)
        except OSError:
            refused += 1  # an ICMP error of an earlier datagram, or no route
    end = time.monotonic()
    _hear_until(handle, end + patience, heard, seen, enough=count)
    missing = [number for number in range(count) if number not in heard]
    return {
        "ok": not missing,
        "sent": count,
        "received": len(heard),
        "refused": refused,
        "missing": missing[:MISSING_SHOWN],
        "seen": seen,
        "seconds": round(end - begin, 3),
    }


def _hear_until(
    handle: socket.socket, deadline: float, heard: set[int], seen: dict[str, int], enough: int = sys.maxsize
) -> None:
    """Until then, and all that is there: who is late and sends many at once must not let their answers pile up."""
    while len(heard) < enough:
        if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return
        try:
            host, _, number = handle.recv(2048).split(b" ", 2)
        except OSError:
            continue
        heard.add(int(number))
        seen[host.decode()] = seen.get(host.decode(), 0) + 1


def _udp_batch(targets: list[list[Any]], timeout: float) -> list[str | None]:
    found: list[str | None] = [None] * len(targets)
    waiting: dict[int, tuple[socket.socket, int]] = {}
    poll = select.poll()
    for index, (address, port, *rest) in enumerate(targets):
        handle = probes.open_socket(address, socket.SOCK_DGRAM, {"src_port": rest[0] if rest else 0})
        waiting[handle.fileno()] = (handle, index)
        try:
            handle.connect((address, port))
            handle.send(b"x")
        except OSError as error:  # it never went out, which is no silence
            found[index] = probes.word_for(error)
            waiting.pop(handle.fileno())[0].close()
            continue
        poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + timeout
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            handle, index = waiting.pop(number)
            poll.unregister(handle)
            try:
                found[index] = handle.recv(2048).split(b" ", 1)[0].decode()
            except OSError as error:
                found[index] = probes.word_for(error)
            handle.close()
    for handle, _ in waiting.values():
        handle.close()
    return found


def answer(agent: Agent, line: str) -> Any:
    """The result of one request; the caller's mistakes come back as `error`."""
    try:
        request = json.loads(line)
        return agent.answers[request.pop("op")](**request)
    except (KeyError, TypeError, ValueError, OSError) as error:
        return {"ok": False, "error": f"request refused: {type(error).__name__}: {error}", "seen": None}


def main() -> int:
    """Serve until the pipe closes."""
    agent = Agent()
    # Not sys.stdout: where PYTHONUNBUFFERED is set it loses the rest of what a stopped and continued write left.
    with open(sys.stdout.fileno(), "w", closefd=False) as out:
        for line in sys.stdin:
            print(json.dumps(answer(agent, line)), file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
