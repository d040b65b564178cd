"""A router with two lines and what is at their far end, for checks that are really sent.

    router: wana 192.0.2.2, 2001:db8:a::2 and wanb 198.51.100.2, 2001:db8:b::2
    far side: the gateways …1 of both, and 203.0.113.5, 2001:db8:f::5 with whatever a test serves there

Main leads by line A; class 2 of the usual marks leads by line B. Servers live in the test's own loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.check_line import Answer, Line, timed
from netpolicy.outbounds.check_target import parse_target
from tests.kernel.gate import until
from tests.kernel.streams import FAMILY, SERVER, Place, place

MARK_B = 0x02000000
PATIENCE_SECONDS = 30.0

RULES = """
rule add fwmark 0x02000000/0x37000000 lookup 7002
route add default via 198.51.100.1 dev wanb table 7002
-6 rule add fwmark 0x02000000/0x37000000 lookup 7002
-6 route add default via 2001:db8:b::1 dev wanb table 7002
"""
SWALLOW = """
table inet swallow {{
	chain input {{ type filter hook input priority 0; iifname {device} meta l4proto {{ tcp, udp, icmp }} drop;
		iifname {device} icmpv6 type echo-request drop; }}
}}
"""

LINE_A = Line("a", "wana", 0, (Hop(4, "192.0.2.1"), Hop(6, "2001:db8:a::1")))
LINE_B = Line("b", "wanb", MARK_B, (Hop(4, "198.51.100.1"), Hop(6, "2001:db8:b::1")))

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FarSide:
    """Both sides; the test stands in the router."""

    def __init__(self, where: Place) -> None:
        self.place = where
        for line in RULES.strip().splitlines():
            where.router.run("ip", *line.split())
        # The kernel takes an address into use in a worker of its own, and nothing can be bound to it before.
        tentative = ("ip", "-6", "address", "show", "tentative")
        until(lambda: not where.server.run(*tentative), "the far side has its addresses")
        for one in (where.client, where.router, where.server):
            one.await_addresses()

    def swallow(self, device: str = "eth0") -> None:
        """From now on what comes by line A (or another far device) is lost; neighbours are still answered."""
        self.place.server.run("nft", "-f", "-", text=SWALLOW.format(device=device))

    def listener(self, port: int, family: int = 4, kind: int = socket.SOCK_STREAM) -> socket.socket:
        with self.place.server.entered():
            made = socket.socket(FAMILY[family], kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((SERVER[family], port))
        made.setblocking(False)
        return made

    @contextlib.asynccontextmanager
    async def serving(self, port: int, handler: Handler, family: int = 4, tls=None):
        """A TCP server at the far side."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await handler(reader, writer)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, sock=self.listener(port, family), ssl=tls)
        async with server:
            yield

    @contextlib.asynccontextmanager
    async def answering(self, port: int, answer: Callable[[bytes], bytes | None], family: int = 4):
        """A UDP server at the far side; a None is silence."""

        class Protocol(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                if (reply := answer(data)) is not None:
                    self.transport.sendto(reply, addr)

        made = self.listener(port, family, socket.SOCK_DGRAM)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Protocol, sock=made)
        try:
            yield
        finally:
            transport.close()


async def answered(work: Awaitable[Answer]) -> Answer:
    """What it comes to where something is expected to come: for that a busy machine may take its time."""
    return await timed(work, PATIENCE_SECONDS)


def line(of: Line, *probes: str, servers: tuple[str, ...] = ()) -> Line:
    """The line with these probes."""
    return Line(of.outbound, of.device, of.mark, of.hops, tuple(map(parse_target, probes)), servers)


@contextlib.contextmanager
def far_side() -> Iterator[FarSide]:
    """Build it, stand in the router, take it down."""
    with place() as where:
        yield FarSide(where)
