"""Sockets, flows and sights for the tests of administration, in one line each."""

from __future__ import annotations

from netpolicy.dataplane.state import Address
from netpolicy.flows.administration import SSH, WEB, Connection, Port, Sight, connection
from netpolicy.flows.inside import Subnet, subnets
from netpolicy.flows.model import ASSURED, SEEN_REPLY, TCP, Flow
from netpolicy.flows.sockets import ESTABLISHED, TcpSocket

ROUTER = "192.168.1.1"
DESK = "192.168.1.10"
OWN = frozenset([ROUTER, "fd00:1::1", "127.0.0.1", "::1", "203.0.113.2"])
ADDRESSES = (Address(4, "lan", ROUTER, 24), Address(6, "lan", "fd00:1::1", 64), Address(4, "wan", "203.0.113.2", 24))
LAN: tuple[Subnet, ...] = subnets(ADDRESSES, [], ["wan"])
PORTS = (Port(22, SSH, ("0.0.0.0", "::")), Port(80, WEB, ("0.0.0.0",)))
SERVICES = {port.number: port.service for port in PORTS}


def tcp(remote: str = DESK, remote_port: int = 40000, port: int = 22, inode: int = 100, state: int = ESTABLISHED):
    """A socket of the router."""
    local = ROUTER if ":" not in remote else "fd00:1::1"
    return TcpSocket(local, port, remote, remote_port, state, inode)


def tracked(of: TcpSocket, number: int = 7, state: str = "ESTABLISHED", status: int = SEEN_REPLY | ASSURED,
            dialled: tuple[str, int] | None = None, source: tuple[str, int] | None = None) -> Connection:  # fmt: skip
    """The socket with its conntrack entry."""
    to = dialled or (of.local, of.local_port)
    by = source or (of.remote, of.remote_port)
    family = 6 if ":" in of.local else 4
    flow = Flow(number, family, TCP, *by, *to, of.local, of.local_port, of.remote, of.remote_port,
                state=state, status=status)  # fmt: skip
    return connection(of, flow, SERVICES[of.local_port])


def untracked(of: TcpSocket) -> Connection:
    """The socket alone."""
    return connection(of, None, SERVICES[of.local_port])


def sight(*connections: Connection, complete: bool = True, own: frozenset[str] = OWN) -> Sight:
    """The router with these."""
    return Sight(PORTS, {one.socket.ends: one for one in connections}, own, LAN, "ctnetlink", complete)
