"""Traffic that wants more than it gets, through a router in namespaces, measured where it arrives.

    192.168.1.2, .3 client ─ lan | router, masquerading | wan ─ 192.0.2.1 server

Rates are bits of IP packets in a second, of UDP from the first loss on: then the bucket of the first second is
empty, or the queue full. The kernel's own times and counts: this process may be late when the machine is busy.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.netns import Namespace, connect

SERVER = "192.0.2.1"
CLIENTS = ("192.168.1.2", "192.168.1.3")
SETTLE_SECONDS, MEASURE_SECONDS = 1.1, 1.2
STREAM_SECONDS = 3.6
PAYLOAD = bytes(1200)
UDP_HEADERS, FULL_PACKET = 28, 1500  # bytes, of IPv4
EVERY = 0.01  # seconds between two bursts of datagrams
MOST_AT_ONCE = 100
LOSSLESS = 2000  # datagrams without a loss: nothing holds them back
PATIENCE_SECONDS = 20
SO_TIMESTAMPNS = 35


class Street:
    """Client, router and server."""

    def __init__(self) -> None:
        self.client, self.router, self.server = Namespace(), Namespace(), Namespace()
        connect(self.router, "lan", self.client, "eth0")
        connect(self.router, "wan", self.server, "eth0")
        given = [(self.client, "eth0", one) for one in CLIENTS]
        given += [(self.router, "lan", "192.168.1.1"), (self.router, "wan", "192.0.2.2"), (self.server, "eth0", SERVER)]
        for namespace, device, address in given:
            namespace.run("ip", "addr", "add", f"{address}/24", "dev", device)
        self.client.run("ip", "route", "add", "default", "via", "192.168.1.1")
        self.router.run("ip", "route", "add", "default", "via", SERVER)
        self.router.sysctl("net/ipv4/ip_forward", 1)

    def close(self) -> None:
        for namespace in (self.client, self.router, self.server):
            namespace.close()

    def rates(self, *asked: tuple[str, str, int, int, str]) -> list[float]:
        """Of (protocol, direction, port, bits a second that are offered by UDP, client), all at the same time."""
        with ThreadPoolExecutor(len(asked)) as pool:
            return list(pool.map(lambda one: self._rate(*one), asked))

    def _rate(self, protocol: str, direction: str, port: int, offered: int, client: str) -> float:
        return (self._udp if protocol == "udp" else self._tcp)(direction, port, offered, client)

    def _udp(self, direction: str, port: int, offered: int, client: str) -> float:
        with self._socket(self.server, SERVER, port) as far, self._socket(self.client, client, 0) as near:
            near.connect((SERVER, port))
            near.send(b"first")
            _, seen = far.recvfrom(100)
            far.connect(seen)
            sender, receiver = (near, far) if direction == "up" else (far, near)
            with _beside(lambda stop: _flood(sender, offered, stop)):
                return _rate_of_datagrams(receiver)

    def _tcp(self, direction: str, port: int, offered: int, client: str) -> float:
        with self.server.entered():
            listening = socket.create_server((SERVER, port))
        with listening, self.client.entered():
            near = socket.create_connection((SERVER, port), 5, (client, 0))
            far, _ = listening.accept()
        with near, far:
            far.settimeout(5)
            sender, receiver = (near, far) if direction == "up" else (far, near)
            with _beside(lambda stop: _pour(sender, stop)):
                return _rate_of_stream(receiver)

    def _socket(self, namespace: Namespace, address: str, port: int) -> socket.socket:
        with namespace.entered():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.settimeout(5)
        made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        return made


def _rate_of_datagrams(receiver: socket.socket) -> float:
    """From the first loss on; where nothing is lost, of what was offered."""
    expected, begin, size, deadline = 0, 0.0, 0, time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        data, extra, _, _ = receiver.recvmsg(2000, 100)
        (number,), at = struct.unpack_from("=I", data), _arrival(extra)
        if not begin and (number != expected or number > LOSSLESS):
            begin, size = at, 0
        elif begin and at >= begin + MEASURE_SECONDS:
            return size * 8 / (at - begin)
        expected, size = number + 1, size + len(data) + UDP_HEADERS
    raise AssertionError("the datagrams ended")


def _arrival(extra: list[tuple[int, int, bytes]]) -> float:
    seconds, nanoseconds = struct.unpack("=qq", extra[0][2])
    return float(seconds) + nanoseconds / 1e9


def _rate_of_stream(receiver: socket.socket) -> float:
    """For longer than datagrams: TCP falls behind for a moment where its own process was late."""
    _drain(receiver, time.monotonic() + SETTLE_SECONDS)
    begin, before = time.monotonic(), _received(receiver)
    _drain(receiver, begin + STREAM_SECONDS)
    return (_received(receiver) - before) * 8 / (time.monotonic() - begin)


def _drain(receiver: socket.socket, until: float) -> None:
    while time.monotonic() < until:
        receiver.recv(1 << 16)


def _received(stream: socket.socket) -> int:
    """Bytes in full packets that came, lost ones and their repetitions once each: tcpi_data_segs_in, <linux/tcp.h>."""
    told = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("=I", told, 152)[0]) * FULL_PACKET


def _flood(sender: socket.socket, rate: int, stop: threading.Event) -> None:
    begin, sent = time.monotonic(), 0
    while not stop.wait(EVERY):
        # What was missed while others had the processor is made up for, but not as one burst.
        due = min(int((time.monotonic() - begin) * rate / 8 / len(PAYLOAD)), sent + MOST_AT_ONCE)
        for number in range(sent, due):
            with contextlib.suppress(OSError):  # nobody hears any more
                sender.send(struct.pack("=I", number) + PAYLOAD[4:])
        sent = due


def _pour(sender: socket.socket, stop: threading.Event) -> None:
    sender.setblocking(False)
    while not stop.is_set():
        if select.select([], [sender], [], 0.1)[1]:
            with contextlib.suppress(OSError):
                sender.send(bytes(1 << 15))


@contextlib.contextmanager
def _beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
