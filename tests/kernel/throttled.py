"""Traffic that wants more than it gets, through a router in namespaces, measured where it arrives.

    192.168.1.2, .3 client ─ lan | router, masquerading | wan ─ 192.0.2.1 server

Rates are bits of IP packets in a second, of UDP from the first loss on: then the bucket of the first second is
empty, or the queue full. The kernel's own times and counts: this process may be late when the machine is busy, and
what was measured while it sent nothing does not count.
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
LATE_SECONDS = 0.12  # without a datagram: the queue may have been empty, or the bucket filled
PATIENCE_SECONDS = 60
BUFFER = 8 << 20  # what the kernel goes on with while this process stands still
SO_TIMESTAMPNS, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 35, 32, 33


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
            flood = Flood(sender, offered)
            with _beside(flood.run):
                return _rate_of_datagrams(receiver, flood)

    def _tcp(self, direction: str, port: int, offered: int, client: str) -> float:
        with self.server.entered():
            listening = socket.create_server((SERVER, port))
        with self.client.entered():
            near = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with listening:
            for one in (listening, near):  # a window is settled when its connection begins
                _give_room(one)
            near.bind((client, 0))
            near.settimeout(PATIENCE_SECONDS)
            near.connect((SERVER, port))
            far, _ = listening.accept()
        with near, far:
            far.settimeout(PATIENCE_SECONDS)
            sender, receiver = (near, far) if direction == "up" else (far, near)
            with _beside(lambda stop: _pour(sender, stop)):
                return _rate_of_stream(receiver)

    def _socket(self, namespace: Namespace, address: str, port: int) -> socket.socket:
        with namespace.entered():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.settimeout(PATIENCE_SECONDS)
        made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        _give_room(made)
        return made


def _give_room(made: socket.socket) -> None:
    """Root may have more than net.core.rmem_max and wmem_max."""
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER)


class Flood:
    """Sends numbered datagrams at a rate. `pauses`: the number that followed one."""

    def __init__(self, sender: socket.socket, rate: int) -> None:
        self._sender, self._rate = sender, rate
        self.pauses: list[int] = []

    def run(self, stop: threading.Event) -> None:
        begin = ended = time.monotonic()
        sent = 0
        while not stop.wait(EVERY):
            # What was missed while others had the processor is made up for, but not as one burst.
            due = min(int((time.monotonic() - begin) * self._rate / 8 / len(PAYLOAD)), sent + MOST_AT_ONCE)
            for number in range(sent, due):
                now = time.monotonic()
                if now - ended > LATE_SECONDS:
                    self.pauses.append(number)
                ended = now
                with contextlib.suppress(OSError):  # nobody hears any more
                    self._sender.send(struct.pack("=I", number) + PAYLOAD[4:])
            sent = due


def _rate_of_datagrams(receiver: socket.socket, flood: Flood) -> float:
    """From the first loss on, after each pause anew; where nothing is ever lost, of what was offered."""
    expected, paused, has_lost = 0, 0, False
    begin = last = 0.0
    size, taken = 0, 0.0  # what came in the parts that are measured; the time of those that are over
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        data, extra, _, _ = receiver.recvmsg(2000, 100)
        (number,), at = struct.unpack_from("=I", data), _arrival(extra)
        if len(flood.pauses) > paused and number >= flood.pauses[paused]:
            paused, taken = paused + 1, taken + (last - begin if begin else 0.0)
            begin, expected = 0.0, number
        has_lost |= number != expected
        if begin:
            size += len(data) + UDP_HEADERS
            if taken + at - begin >= MEASURE_SECONDS:
                return size * 8 / (taken + at - begin)
        elif number != expected or (not has_lost and number > LOSSLESS):
            begin = at
        expected, last = number + 1, at
    raise AssertionError(f"not measured in {PATIENCE_SECONDS} s: {paused} pauses")


def _arrival(extra: list[tuple[int, int, bytes]]) -> float:
    seconds, nanoseconds = struct.unpack("=qq", extra[0][2])
    return float(seconds) + nanoseconds / 1e9


def _rate_of_stream(receiver: socket.socket) -> float:
    """For longer than datagrams: TCP falls behind for a moment where its own process was late."""
    _drain(receiver, time.monotonic() + SETTLE_SECONDS)
    begin, before = _received(receiver)
    _drain(receiver, begin + STREAM_SECONDS)
    end, after = _received(receiver)
    return (after - before) * 8 / (end - begin)


def _drain(receiver: socket.socket, until: float) -> None:
    while time.monotonic() < until:
        receiver.recv(1 << 16)


def _received(stream: socket.socket) -> tuple[float, int]:
    """When, and bytes in full packets that came, lost ones and their repetitions once each.

    That is tcpi_data_segs_in, <linux/tcp.h>.
    """
    while True:
        before = time.monotonic()
        told = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
        now = time.monotonic()
        if now - before < EVERY:
            return now, int(struct.unpack_from("=I", told, 152)[0]) * FULL_PACKET


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
