"""In the machine: what the server answers, and what the client says: real TLS and DNS, and plain TCP.

Threads of one process, in the namespaces of the street. Judges nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from street import CLIENT, SERVER, batch, inside

from netpolicy.lab import wire

CERTIFICATE = "/rig/tls.pem"
PATIENCE = 60.0

WEB, DNS = "192.0.2.10", "192.0.2.53"
HTTPS, SINK, SOURCE = 443, 9, 19

MERGED = 65535  # segments in one, as a device has it from the start: GSO_MAX_SEGS of the kernel
SIOCOUTQ = 0x5411  # <linux/sockios.h>: bytes that nobody acknowledged yet
# struct tcp_info of <linux/tcp.h>: smoothed round trip, and the shortest, in microseconds.
TCPI_RTT, TCPI_MIN_RTT = struct.Struct("=68xI"), struct.Struct("=148xI")


def serve() -> None:
    """All servers, each connection in a thread; for as long as there is power."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def https(line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True) as secure:
            while data := secure.recv(4096):
                secure.sendall(data)

    for port, answer in ((HTTPS, https), (SINK, swallow), (SOURCE, pour)):
        listen(port, answer)
    with inside(SERVER):
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind((DNS, 53))
    _thread(_answer_names, names)


def swallow(line: socket.socket) -> None:
    """Read to the end; what comes is acknowledged at once, for nobody waits for an answer to go with it."""
    quick = getattr(socket, "TCP_QUICKACK", 12)
    while line.recv(1 << 16):
        line.setsockopt(socket.IPPROTO_TCP, quick, 1)


def pour(line: socket.socket) -> None:
    """As many bytes as the eight first say."""
    left = int.from_bytes(line.recv(8), "big")
    while left > 0:
        left -= line.send(bytes(min(left, 1 << 16)))


def listen(port: int, answer: Callable[[socket.socket], None]) -> None:
    """Each connection to that port of the server in a thread of its own."""
    with inside(SERVER):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

    def one(line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(PATIENCE)
            answer(line)

    def accept() -> None:
        while True:
            _thread(one, listener.accept()[0])

    _thread(accept)


def _answer_names(line: socket.socket) -> None:
    while True:
        question, sender = line.recvfrom(2048)
        answer = wire.reply(question)
        if answer is not None:
            line.sendto(answer, sender)


def _thread(what: Callable[..., None], *words: Any) -> None:
    threading.Thread(target=what, args=words, daemon=True).start()


# -- the client ----------------------------------------------------------------------------


def connect(address: str, port: int, size: int = 0) -> socket.socket:
    """A connection of the client; `size`: bytes per segment at most."""
    with inside(CLIENT):
        line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    line.settimeout(PATIENCE)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if size:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, size)
        # Else they cross the bridge as the one packet that a virtual cable needs not cut; asked when it connects.
        batch("link set eth0 gso_max_segs 1\n", CLIENT)
    try:
        line.connect((address, port))
    finally:
        if size:
            batch(f"link set eth0 gso_max_segs {MERGED}\n", CLIENT)
    return line


def shake_hands(address: str, name: str, version: str = "", size: int = 0) -> tuple[ssl.SSLSocket, dict[str, Any]]:
    """A connection with TLS, and a question with its answer; the open connection, and what is known of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    secure = context.wrap_socket(connect(address, HTTPS, size), server_hostname=name)
    secure.sendall(b"question")
    answer = secure.recv(4096)
    known = {"port": port_of(secure), "version": secure.version(), "answered": answer == b"question"}
    return secure, known


def look_up(name: str) -> list[str]:
    """What the name server says."""
    with inside(CLIENT), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(PATIENCE)
        line.sendto(wire.question(name, wire.A, 7), (DNS, 53))
        return wire.addresses(line.recv(2048), 7)


def send(line: socket.socket, count: int, size: int = 100) -> None:
    """So many small segments, each after the one before was acknowledged."""
    for _ in range(count):
        line.sendall(bytes(size))
        until_acknowledged(line)


def until_acknowledged(line: socket.socket) -> None:
    """Nothing is under way."""
    until = time.monotonic() + PATIENCE
    while int.from_bytes(fcntl.ioctl(line, SIOCOUTQ, bytes(4)), _order()):
        if number := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # else a reset one waits for ever
            raise OSError(number, os.strerror(number))
        if time.monotonic() > until:
            raise TimeoutError("nobody acknowledges")
        time.sleep(0.001)


def _order() -> Any:
    import sys

    return sys.byteorder


def fetch(size: int) -> float:
    """So many bytes from the server; the seconds that it took."""
    with connect(WEB, SOURCE) as line:
        begun = time.monotonic()
        line.sendall(size.to_bytes(8, "big"))
        left = size
        while left:
            left -= len(line.recv(min(left, 1 << 18))) or left
        return time.monotonic() - begun


def give(size: int) -> float:
    """So many bytes to the server; the seconds until all were acknowledged."""
    with connect(WEB, SINK) as line:
        begun = time.monotonic()
        line.sendall(bytes(size))
        until_acknowledged(line)
        return time.monotonic() - begun


def round_trip(line: socket.socket) -> dict[str, float]:
    """What the client's own kernel measured, in milliseconds."""
    told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return {
        "smoothed": TCPI_RTT.unpack_from(told)[0] / 1000,
        "shortest": TCPI_MIN_RTT.unpack_from(told)[0] / 1000,
    }


def port_of(line: socket.socket) -> int:
    """The client's."""
    return int(line.getsockname()[1])
