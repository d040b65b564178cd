"""Two hosts in different networks and the router between them, in network namespaces, with traffic in one thread."""

from __future__ import annotations

import contextlib
import select
import socket

from tests.netns import Namespace, connect

CLIENT, SERVER = "10.0.0.2", "10.1.0.2"


class Street:
    """client — lan router wan — server"""

    def __init__(self) -> None:
        self.client, self.router, self.server = Namespace(), Namespace(), Namespace()
        connect(self.router, "lan", self.client, "eth0")
        connect(self.router, "wan", self.server, "eth0")
        self.router.run("ip", "address", "add", "10.0.0.1/24", "dev", "lan")
        self.router.run("ip", "address", "add", "10.1.0.1/24", "dev", "wan")
        self.router.sysctl("net/ipv4/ip_forward", 1)
        for host, address, gateway in ((self.client, CLIENT, "10.0.0.1"), (self.server, SERVER, "10.1.0.1")):
            host.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
            host.run("ip", "route", "add", "default", "via", gateway)
        with self.server.entered():
            self.listener = socket.create_server((SERVER, 0))
            self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.datagrams.bind((SERVER, 0))
        for one in (self.listener, self.datagrams):
            one.settimeout(30)
        self.port = self.listener.getsockname()[1]
        self.udp_port = self.datagrams.getsockname()[1]

    def talk(self, sent: bytes, answer: bytes = b"", size: int = 0) -> None:
        """A connection of the client; `size`: bytes per segment at most. All of it arrives."""
        with self.client.entered():
            near = socket.socket()
        with near:
            near.settimeout(30)
            if size:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, size)
            near.connect((SERVER, self.port))
            far, _ = self.listener.accept()
            with far:
                exchange(near, far, sent)
                exchange(far, near, answer)
                near.shutdown(socket.SHUT_WR)
                assert far.recv(1) == b""
            assert near.recv(1) == b""

    def send(self, data: bytes, port: int = 0) -> None:
        """A datagram of the client."""
        with self.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            near.sendto(data, (SERVER, port or self.udp_port))

    def raw(self, *frames: bytes) -> None:
        """Frames of the client, as they are."""
        with self.client.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as line:
            line.bind(("eth0", 0))
            for frame in frames:
                line.send(frame)

    def close(self) -> None:
        for one in (self.listener, self.datagrams, self.client, self.router, self.server):
            one.close()


def exchange(one: socket.socket, other: socket.socket, data: bytes) -> None:
    """Both ends from one thread: some out of the one, and as much as there is into the other."""
    one.setblocking(False)
    other.settimeout(30)
    sent = received = 0
    while received < len(data):
        with contextlib.suppress(BlockingIOError):
            sent += one.send(data[sent : sent + 200_000])
        ready, _, _ = select.select([other], [], [], 30 if sent == len(data) else 0)
        if ready:
            received += len(other.recv(1 << 20))
    one.settimeout(30)
