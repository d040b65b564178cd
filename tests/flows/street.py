"""A client, a NATing router and a server in private namespaces, for tests of what conntrack sees.

    client 10.1.0.2, fd01::2  ─ lan | router | uplink ─  server 203.0.113.2, 2001:db8::2

The router masquerades both families, marks port 443 with 0x41000000 and counts bytes.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from tests.netns import Namespace, connect

MARK = 0x41000000
SERVER = {4: "203.0.113.2", 6: "2001:db8::2"}
CLIENT = {4: "10.1.0.2", 6: "fd01::2"}
OUTSIDE = {4: "203.0.113.1", 6: "2001:db8::1"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

CLIENT_HAS = """
address add 10.1.0.2/24 dev eth0
address add fd01::2/64 dev eth0 nodad
route add default via 10.1.0.1
route add default via fd01::1
"""
ROUTER_HAS = """
address add 10.1.0.1/24 dev lan
address add fd01::1/64 dev lan nodad
address add 203.0.113.1/24 dev uplink
address add 2001:db8::1/64 dev uplink nodad
"""
SERVER_HAS = """
address add 203.0.113.2/24 dev eth0
address add 2001:db8::2/64 dev eth0 nodad
"""
PATIENCE_S = 30

RULES = f"""
table inet street {{
	chain pre {{
		type filter hook prerouting priority mangle; policy accept;
		ct state new th dport 443 ct mark set {MARK:#x}
	}}
	chain post {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "uplink" masquerade
	}}
}}
"""


class Street:
    """The three namespaces and ways to make connections between them."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.client, self.router, self.server = (stack.enter_context(Namespace()) for _ in range(3))
        connect(self.client, "eth0", self.router, "lan")
        connect(self.router, "uplink", self.server, "eth0")
        for where, commands in ((self.client, CLIENT_HAS), (self.router, ROUTER_HAS), (self.server, SERVER_HAS)):
            where.run("ip", "-batch", "-", text=commands)
        self.router.sysctl("net/ipv4/ip_forward", 1)
        self.router.sysctl("net/ipv6/conf/all/forwarding", 1)
        self.router.sysctl("net/netfilter/nf_conntrack_acct", 1)
        self.router.run("nft", "-f", "-", text=RULES)
        for where in (self.client, self.router, self.server):
            where.await_addresses()
        self._stack = stack

    def tcp(self, family: int, port: int) -> tuple[socket.socket, socket.socket]:
        """An open TCP connection: the client's end and the server's."""
        with self.server.entered():
            listener = self._keep(socket.socket(FAMILY[family]))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVER[family], port))
        listener.listen()
        listener.settimeout(PATIENCE_S)
        with self.client.entered():
            near = self._keep(socket.socket(FAMILY[family]))
        near.settimeout(PATIENCE_S)
        near.connect((SERVER[family], port))
        far = self._keep(listener.accept()[0])
        far.settimeout(PATIENCE_S)
        listener.close()
        return near, far

    def udp(self, family: int, port: int) -> socket.socket:
        """One unanswered datagram; the client's socket."""
        with self.client.entered():
            near = self._keep(socket.socket(FAMILY[family], socket.SOCK_DGRAM))
        near.sendto(b"hello", (SERVER[family], port))
        return near

    def ping(self, family: int) -> None:
        self.client.run("ping", f"-{family}", "-c1", f"-W{PATIENCE_S}", SERVER[family])

    def _keep(self, opened: socket.socket) -> socket.socket:
        return self._stack.enter_context(contextlib.closing(opened))


@contextlib.contextmanager
def street() -> Iterator[Street]:
    """Build it, stand in the router, take it down."""
    with contextlib.ExitStack() as stack:
        built = Street(stack)
        with built.router.entered():
            yield built
