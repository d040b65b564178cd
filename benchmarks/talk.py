"""Real sockets at both ends of a course: datagrams, short TCP connections, and bulk TCP.

One thread is client and server, so that its CPU time is that of the whole path. Every wait has
a limit. Never sends to anything but the course's own namespaces. Sources: sendmmsg(2),
recvmmsg(2), socket(7).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence

from benchmarks.course import LATE_SECONDS, Course
from benchmarks.frames import Flow, Messages
from benchmarks.path_rules import PORTS

CLIENT = "172.31.0.2"
CLIENT_PORT = 20_000  # below what the server drops
DATAGRAM = b"x" * 18  # a frame of 60 bytes

PATIENCE = struct.pack("@ll", 30, 0)
BULK = b"x" * (1 << 18)


class Datagrams:
    """One client socket that sends to many places; a server socket for every port."""

    def __init__(self, course: Course, flows: Sequence[Flow]) -> None:
        with course.client.entered():
            self._client = _socket(socket.SOCK_DGRAM, CLIENT, CLIENT_PORT)
        with course.server.entered():
            self._servers = [_socket(socket.SOCK_DGRAM, "", port) for port in PORTS]
        names = [struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", flow.destination_port, flow.destination)
                 for flow in flows]  # fmt: skip
        self._out = Messages([DATAGRAM] * len(flows), names)
        self._in = Messages([bytes(64)] * len(flows))
        self._open(course, flows)

    def _open(self, course: Course, flows: Sequence[Flow]) -> None:
        """One answer to each: before, a firewall treats every datagram as the first of its connection."""
        for number, flow in enumerate(flows):
            with course.server.entered():
                far = _socket(socket.SOCK_DGRAM, _text(flow.destination), flow.destination_port)
            with far:
                self._out.send(self._client, number, 1)
                _, asked_by = far.recvfrom(64)  # may be translated
                far.sendto(b"!", asked_by)
                self._client.recv(64)

    def exchange(self) -> int:
        """Sends one datagram to each place and takes all from the server's sockets; how many came."""
        sent = 0
        while sent < self._out.count:
            sent += self._out.send(self._client, sent, self._out.count)
        return self.take()

    def take(self) -> int:
        """How many more came."""
        return sum(self._in.receive(server) for server in self._servers)

    def close(self) -> None:
        for opened in (self._client, *self._servers):
            opened.close()


class Connections:
    """Short connections: one byte there, one byte back, closed by the server."""

    def __init__(self, course: Course, flows: Sequence[Flow]) -> None:
        self._course = course
        self._targets = [(_text(flow.destination), flow.destination_port) for flow in flows]
        self._at = 0
        with course.server.entered():
            self._servers = {port: _listener(port) for port in PORTS}

    def run(self, seconds: float, fewest: int) -> int:
        """Connections made in about that time, one after the other; so many at least."""
        made = 0
        with self._course.client.entered():
            until = time.perf_counter() + seconds
            while made < fewest or time.perf_counter() < until:
                self._one(*self._targets[self._at % len(self._targets)])
                self._at += 1
                made += 1
        return made

    def _one(self, address: str, port: int) -> None:
        with _socket(socket.SOCK_STREAM) as client:
            client.connect((address, port))
            server, _ = self._servers[port].accept()
            client.send(b"?")
            server.recv(1)
            server.send(b"!")
            client.recv(1)
            server.close()
            client.recv(1)

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


class Bulk:
    """One TCP connection that carries as much as it can."""

    def __init__(self, course: Course, flow: Flow) -> None:
        address = _text(flow.destination)
        with course.server.entered():
            listener = _listener(flow.destination_port)
        with course.client.entered():
            self._client = _socket(socket.SOCK_STREAM)
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._client.connect((address, flow.destination_port))
        self._server, _ = listener.accept()
        listener.close()
        self._client.setblocking(False)
        self._server.setblocking(False)
        self._memory = bytearray(1 << 20)

    def run(self, seconds: float) -> int:
        """Bytes that arrived in about that time: more than none, also where most of it was not ours."""
        arrived = 0
        until = time.perf_counter() + seconds
        while (now := time.perf_counter()) < until or (not arrived and now < until + LATE_SECONDS):
            try:
                self._client.send(BULK)
            except BlockingIOError:
                # The kernel thread that has the segments needs the core.
                select.select([self._server], [], [], 1.0)
            try:
                arrived += self._server.recv_into(self._memory)
            except BlockingIOError:
                select.select([self._server], [self._client], [], 1.0)
        return arrived

    def close(self) -> None:
        self._client.close()
        self._server.close()


def _text(address: int) -> str:
    return socket.inet_ntoa(address.to_bytes(4, "big"))


def _listener(port: int) -> socket.socket:
    server = _socket(socket.SOCK_STREAM, "", port)
    server.listen(128)
    return server


def _socket(kind: int, address: str | None = None, port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    # The kernel's own limits: cheaper than those of the interpreter, which ask before each wait.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PATIENCE)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, PATIENCE)
    if address is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
    return made
