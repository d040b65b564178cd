"""Open one real connection the way a client would, and say what the server saw.

No retries, no policy: one question, one result. Never raises for what the network does;
the result says `error`: refused, timeout, unreachable, reset or the kernel's own word.
"""

from __future__ import annotations

import errno
import json
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from netpolicy.lab import wire
from netpolicy.lab.topology import DNS

Result = dict[str, Any]
DEFAULT_TIMEOUT = 5.0  # a client, a relay and a server may each have to wait for the processor
ANSWER_LIMIT = 65536
_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "prohibited",
    errno.EPERM: "prohibited",
    errno.EADDRNOTAVAIL: "no source address",
}


def tcp(address: str, port: int, timeout: float = DEFAULT_TIMEOUT, name: str = "", **how: Any) -> Result:
    """A TCP connection; on 80 and 443 an HTTP request (for `name`), elsewhere the server's first line."""
    return _timed(lambda noted: _ask_tcp(address, port, timeout, name, how, noted))


def udp(address: str, port: int, timeout: float = DEFAULT_TIMEOUT, payload: str = "x", **how: Any) -> Result:
    """One datagram to the echo server behind any port but 53."""
    return _timed(lambda noted: _ask_udp(address, port, timeout, payload, how, noted))


def dns(name: str, kind: str = "A", address: str = DNS.address4, timeout: float = DEFAULT_TIMEOUT) -> Result:
    """A DNS question over UDP; the result carries `addresses`."""
    return _timed(lambda noted: _ask_dns(name, kind, address, timeout, noted))


def open_socket(address: str, kind: int, how: dict[str, Any]) -> socket.socket:
    """An unconnected socket; `how`: src_port, source (address), mark, device."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    handle = socket.socket(family, kind)
    if how.get("mark"):
        handle.setsockopt(socket.SOL_SOCKET, 36, int(how["mark"]))  # SO_MARK
    if how.get("device"):
        handle.setsockopt(socket.SOL_SOCKET, 25, how["device"].encode())  # SO_BINDTODEVICE
    if how.get("src_port") or how.get("source"):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        handle.bind(
            (
                how.get("source") or ("::" if family == socket.AF_INET6 else "0.0.0.0"),  # noqa: S104
                int(how.get("src_port") or 0),
            )
        )
    return handle


def word_for(error: OSError) -> str:
    """A short word for what went wrong."""
    if isinstance(error, TimeoutError):
        return "timeout"
    return _WORDS.get(error.errno or 0, (error.strerror or str(error)).lower())


def read_line(handle: socket.socket) -> bytes:
    """Everything up to the first newline, or what came before the end."""
    data = b""
    while b"\n" not in data and len(data) < ANSWER_LIMIT:
        piece = handle.recv(4096)
        if not piece:
            break
        data += piece
    return data


def _timed(ask: Callable[[Result], Result]) -> Result:
    """What `ask` found, or the error; it notes early what is also true of a failure."""
    start = time.monotonic()
    noted: Result = {}
    try:
        found = {"ok": True, "error": None, **noted, **ask(noted)}
    except OSError as error:
        found = {"ok": False, "error": word_for(error), "seen": None}
    except ValueError as error:
        found = {"ok": False, "error": f"unreadable answer: {error}", "seen": None}
    return {**found, **noted, "ms": round((time.monotonic() - start) * 1000, 1)}


def _connect(handle: socket.socket, address: str, port: int, timeout: float, noted: Result) -> None:
    handle.settimeout(timeout)
    try:
        handle.connect((address, port))
    finally:
        noted["local_port"] = handle.getsockname()[1]


def _ask_tcp(address: str, port: int, timeout: float, name: str, how: dict[str, Any], noted: Result) -> Result:
    with open_socket(address, socket.SOCK_STREAM, how) as handle:
        _connect(handle, address, port, timeout, noted)
        if port == 443:
            with _unverified().wrap_socket(handle, server_hostname=name or None) as secure:
                return _get(secure, name or address)
        if port == 80:
            return _get(handle, name or address)
        line = read_line(handle)
        found: Result = json.loads(line[line.find(b"{") :])
        return found


def _get(handle: socket.socket, host: str) -> Result:
    handle.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while len(data) < ANSWER_LIMIT and (piece := handle.recv(4096)):
        data += piece
    found: Result = json.loads(data.partition(b"\r\n\r\n")[2])
    return found


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the lab's certificates are made at start and signed by nobody
    context.verify_mode = ssl.CERT_NONE
    return context


def _ask_udp(address: str, port: int, timeout: float, payload: str, how: dict[str, Any], noted: Result) -> Result:
    with open_socket(address, socket.SOCK_DGRAM, how) as handle:
        _connect(handle, address, port, timeout, noted)
        handle.send(payload.encode())
        host, number, rest = handle.recv(ANSWER_LIMIT).split(b" ", 2)
        return {"seen": host.decode(), "port": int(number), "payload": rest.decode(errors="replace")}


def _ask_dns(name: str, kind: str, address: str, timeout: float, noted: Result) -> Result:
    with open_socket(address, socket.SOCK_DGRAM, {}) as handle:
        _connect(handle, address, 53, timeout, noted)
        number = int(noted["local_port"])  # different for each question, and nobody here forges answers
        handle.send(wire.question(name, wire.AAAA if kind == "AAAA" else wire.A, number))
        return {"seen": None, "addresses": wire.addresses(handle.recv(4096), number)}
