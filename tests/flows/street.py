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
        self._address(self.client, "eth0", "10.1.0.2/24", "fd01::2/64", "10.1.0.1", "fd01::1")
        self._address(self.router, "lan", "10.1.0.1/24", "fd01::1/64")
        self._address(self.router, "uplink", "203.0.113.1/24", "2001:db8::1/64")
        self._address(self.server, "eth0", "203.0.113.2/24", "2001:db8::2/64")
        self.router.sysctl("net/ipv4/ip_forward", 1)
        self.router.sysctl("net/ipv6/conf/all/forwarding", 1)
        self.router.sysctl("net/netfilter/nf_conntrack_acct", 1)
        self.router.run("nft", "-f", "-", text=RULES)
        self._stack = stack

    def tcp(self, family: int, port: int) -> tuple[socket.socket, socket.socket]:
        """An open TCP connection: the client's end and the server's."""
        with self.server.entered():
            listener = self._keep(socket.socket(FAMILY[family]))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVER[family], port))
        listener.listen()
        listener.settimeout(5)
        with self.client.entered():
            near = self._keep(socket.socket(FAMILY[family]))
        near.settimeout(5)
        near.connect((SERVER[family], port))
        far = self._keep(listener.accept()[0])
        far.settimeout(5)
        listener.close()
        return near, far

    def udp(self, family: int, port: int) -> socket.socket:
        """One unanswered datagram; the client's socket."""
        with self.client.entered():
            near = self._keep(socket.socket(FAMILY[family], socket.SOCK_DGRAM))
        near.sendto(b"hello", (SERVER[family], port))
        return near

    def ping(self, family: int) -> None:
        self.client.run("ping", f"-{family}", "-c1", "-W3", SERVER[family])

    def _keep(self, opened: socket.socket) -> socket.socket:
        return self._stack.enter_context(contextlib.closing(opened))

    @staticmethod
    def _address(where: Namespace, device: str, v4: str, v6: str, gateway4: str = "", gateway6: str = "") -> None:
        where.run("ip", "address", "add", v4, "dev", device)
        where.run("ip", "address", "add", v6, "dev", device, "nodad")
        if gateway4:
            where.run("ip", "route", "add", "default", "via", gateway4)
            where.run("ip", "-6", "route", "add", "default", "via", gateway6)


@contextlib.contextmanager
def street() -> Iterator[Street]:
    """Build it, stand in the router, take it down."""
    with contextlib.ExitStack() as stack:
        built = Street(stack)
        with built.router.entered():
            yield built
