"""Hundreds of TCP connections through a router with two lines, each a byte stream that is checked to the byte.

    client 192.168.1.10-…, fd00:1::10-… ─ lan | router | wana, wanb ─ server 203.0.113.5, 2001:db8:f::5

Nothing translates addresses, so that a connection can change its line and live. Clients, router
and server are namespaces of this process: sockets stay in the one where they were made.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from netpolicy.dataplane.marks import Marks
from netpolicy.flows import ctnetlink
from netpolicy.flows.model import TCP, Flow
from tests.netns import Namespace, connect

SERVER = {4: "203.0.113.5", 6: "2001:db8:f::5"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
CLIENTS = range(10, 18)
PAUSE_SECONDS = 0.005  # between two words of a connection
LOOK_SECONDS, PATIENCE_SECONDS = 0.5, 30.0
ESTABLISHED = 1  # the first byte of struct tcp_info, <linux/tcp.h>

# Of somebody else: the kernel follows connections also while our table is away.
FIREWALL = "table inet fw4 { chain forward { type filter hook forward priority 0; ct state established accept; }; }"

LINES = """
config netpolicy 'main'
	option enabled '1'
	option mode 'enforce'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
	option gateway6 '2001:db8:a::1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
"""

CLIENT = (
    "".join(f"addr add 192.168.1.{n}/24 dev eth0\naddr add fd00:1::{n}/64 dev eth0 nodad\n" for n in CLIENTS)
    + """
link set eth0 address 02:00:00:00:00:0a
route add default via 192.168.1.1
route add default via fd00:1::1
"""
)
ROUTER = """
addr add 192.168.1.1/24 dev lan
addr add 192.0.2.2/24 dev wana
addr add 198.51.100.2/24 dev wanb
addr add fd00:1::1/64 dev lan nodad
addr add 2001:db8:a::2/64 dev wana nodad
addr add 2001:db8:b::2/64 dev wanb nodad
route add default via 192.0.2.1
route add default via 2001:db8:a::1
"""
FAR = """
addr add 192.0.2.1/24 dev eth0
addr add 198.51.100.1/24 dev eth1
addr add 2001:db8:a::1/64 dev eth0 nodad
addr add 2001:db8:b::1/64 dev eth1 nodad
addr add 203.0.113.5/32 dev lo
addr add 2001:db8:f::5/128 dev lo
route add 192.168.1.0/24 via 192.0.2.2
route add fd00:1::/64 via 2001:db8:a::2
"""


class Place:
    """The three namespaces, and the connections between them."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.client, self.router, self.server = (stack.enter_context(Namespace()) for _ in range(3))
        for where in (self.client, self.router, self.server):
            where.sysctl("net/ipv6/conf/default/accept_dad", 0)  # link-local addresses at once, not after a second
        connect(self.client, "eth0", self.router, "lan")
        connect(self.router, "wana", self.server, "eth0")
        connect(self.router, "wanb", self.server, "eth1")
        for where, commands in ((self.client, CLIENT), (self.router, ROUTER), (self.server, FAR)):
            for name in ("net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter"):
                where.sysctl(name, 0)
            for name in ("eth0", "eth1", "lan", "wana", "wanb"):
                with contextlib.suppress(OSError):
                    where.sysctl(f"net/ipv4/conf/{name}/rp_filter", 0)
            where.run("ip", "-batch", "-", text=commands)
        self.router.sysctl("net/ipv4/ip_forward", 1)
        self.router.sysctl("net/ipv6/conf/all/forwarding", 1)
        for where in (self.client, self.router, self.server):
            where.in_use()
        self._stack = stack

    def open(self, port: int, client: int = 10, family: int = 4) -> Stream:
        """A new connection."""
        with self.server.entered():
            listener = socket.create_server((SERVER[family], port), family=FAMILY[family])
        with self.client.entered():
            near = self._stack.enter_context(contextlib.closing(socket.socket(FAMILY[family])))
        near.bind((f"192.168.1.{client}" if family == 4 else f"fd00:1::{client}", 0))
        near.settimeout(30)
        near.connect((SERVER[family], port))
        far = self._stack.enter_context(contextlib.closing(listener.accept()[0]))
        listener.close()
        return Stream(near, far)

    def flows(self) -> dict[tuple[str, int], Flow]:
        """The TCP connections that conntrack has, by the client's address and port."""
        with self.router.entered():
            found = [one for one in ctnetlink.dump() if one.protocol == TCP]
        return {(one.source, one.source_port): one for one in found}


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Build it, stand in the router, take it down."""
    with contextlib.ExitStack() as stack:
        built = Place(stack)
        with built.router.entered():
            yield built


class Stream:
    """One connection whose both ends count what they send and check what they get."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far
        self.ends = near.getsockname()[:2]
        self.port = near.getpeername()[1]
        self.error = ""
        self.received = 0
        self.is_near_silent = False  # the client only listens: whatever is said next comes from the server
        near.setblocking(False)
        far.setblocking(False)

    async def talk(
        self, rounds: int, begun: asyncio.Event | threading.Event | None = None, pause: float = PAUSE_SECONDS
    ) -> None:
        """Numbered words both ways: until `begun`, and so many rounds from then on. `error`: how it ended before."""
        loop = asyncio.get_running_loop()
        number = left = 0
        try:
            while left < rounds:
                number += 1
                left += begun is None or begun.is_set()
                word = number.to_bytes(8, "big") * 8
                pairs = ([] if self.is_near_silent else [(self.near, self.far)]) + [(self.far, self.near)]
                for sender, receiver in pairs:
                    await asyncio.wait_for(loop.sock_sendall(sender, word), PATIENCE_SECONDS)
                    await self._expect(receiver, word)
                await asyncio.sleep(pause)
        except (OSError, asyncio.TimeoutError) as error:
            self.error = type(error).__name__

    async def _expect(self, receiver: socket.socket, word: bytes) -> None:
        got = b""
        while len(got) < len(word):
            part = await self._part(receiver, len(word) - len(got))
            if not part:
                raise ConnectionResetError
            got += part
        assert got == word, "bytes were lost or changed"
        self.received += len(got)

    async def _part(self, receiver: socket.socket, size: int) -> bytes:
        """What comes, as long as both ends are connected: who was cut off is told, and the other one never."""
        coming = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(receiver, size))
        try:
            for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
                if (await asyncio.wait([coming], timeout=LOOK_SECONDS))[0]:
                    return coming.result()
                if not (_is_connected(self.near) and _is_connected(self.far)):
                    break
            raise asyncio.TimeoutError
        finally:
            coming.cancel()


def _is_connected(end: socket.socket) -> bool:
    return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED


def classes(flows: Iterable[Flow]) -> list[int]:
    """The class numbers in the marks, each once, ascending."""
    marks = Marks(0x77000000)
    return sorted({marks.number(one.mark) for one in flows})


def spread(place: Place, port: int, count: int) -> list[Stream]:
    """So many connections to a port, of all clients and both families in turn."""
    turns = itertools.product((4, 6), CLIENTS)
    return [place.open(port, client, family) for family, client in itertools.islice(itertools.cycle(turns), count)]


class Arrivals(Counter[str]):
    """How many came by each device."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def note(self, device: str) -> None:
        with self._changed:
            self[device] += 1
            self._changed.notify_all()

    async def more(self, count: int) -> None:
        """Until so many more have come, by whichever device."""
        wanted = self.total() + count
        assert await asyncio.to_thread(self._wait, wanted), f"{wanted} did not come: {dict(self)}"

    def _wait(self, wanted: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.total() >= wanted, 20)


@contextlib.contextmanager
def steady_datagrams(where: Place, port: int) -> Iterator[Arrivals]:
    """A datagram each millisecond from the client to the server, which answers; by which device they arrived there."""
    arrived = Arrivals()
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        with where.server.entered():
            far = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            seen = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)))
        with where.client.entered():
            near = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        far.bind((SERVER[4], port))
        near.bind(("192.168.1.10", 0))
        near.connect((SERVER[4], port))

        def send() -> None:
            while not ended.wait(0.001):
                with contextlib.suppress(OSError):
                    near.send(b"x")

        def answer() -> None:
            far.settimeout(0.1)
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    far.sendto(*far.recvfrom(100))

        def count() -> None:
            seen.settimeout(0.1)
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    packet, (device, _, kind, *_) = seen.recvfrom(200)
                    if kind == socket.PACKET_HOST and packet[9] == socket.IPPROTO_UDP:
                        arrived.note(device)

        threads = [threading.Thread(target=work, daemon=True) for work in (send, answer, count)]
        for thread in threads:
            thread.start()
        try:
            yield arrived
        finally:
            ended.set()
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def in_a_hurry(near: socket.socket) -> Iterator[Arrivals]:
    """As many datagrams as this connected socket can send: those that it sent."""
    sent = Arrivals()
    ended = threading.Event()

    def send() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                near.send(b"x")
            sent.note("sent")

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()
