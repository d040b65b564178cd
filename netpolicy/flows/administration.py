"""What administers this router: the ports that serve administration, and the connections that are open to them now.

Decides which ports those are, and nothing else; changes nothing. From the router's own sockets, whose programs
say what they serve, and conntrack, which knows who really opened a connection that was translated on its way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from netpolicy.core.address import parse_address, parse_range
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.state import MAIN_TABLE
from netpolicy.flows import listening, lookup, sockets
from netpolicy.flows.inside import Subnet, subnets
from netpolicy.flows.listening import Listener
from netpolicy.flows.lookup import Ends
from netpolicy.flows.model import Flow
from netpolicy.flows.sockets import TcpSocket

SSH, WEB, OTHER = "ssh", "web", "other"

PROGRAMS = {"sshd": SSH, "dropbear": SSH, "uhttpd": WEB, "nginx": WEB, "lighttpd": WEB}
USUAL_PORTS = {22: SSH, 80: WEB, 443: WEB}
# These open a port on behalf of whoever they start; "" is a program that we may not look into. On a usual
# port they are believed; somebody else there (a proxy, a container) is not administration.
STARTERS = ("", "systemd", "init", "procd", "inetd", "xinetd")

LOOPBACKS = (parse_range("127.0.0.0/8"), parse_range("::1"))

# States of a connection that may still be used, and of one that is being made.
LIVE = (sockets.ESTABLISHED, sockets.HALF_OPEN, sockets.HALF_CLOSED)
# More open connections of administration than any router serves. Beyond it old ones could not be told from new ones.
CONNECTION_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Port:
    """A port of administration. `service` is ssh, web, or other for what the configuration names."""

    number: int
    service: str
    addresses: tuple[str, ...] = ()  # that it is served on, "0.0.0.0" and "::" for all; () where nobody listens


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection to such a port, as who opened it meant it: a port forward is told before its translation."""

    source: str
    source_port: int
    destination: str
    port: int
    service: str
    socket: TcpSocket
    flow: Flow | None = None  # None where conntrack does not follow it

    @property
    def is_established(self) -> bool:
        """Both sides have answered each other, and a program has taken it."""
        tracked = self.flow is None or (self.flow.is_answered and self.flow.state == "ESTABLISHED")
        return tracked and self.socket.state == sockets.ESTABLISHED and self.socket.inode != 0


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything of that kind at one moment. `connections` are by their ends as the serving program sees them."""

    ports: tuple[Port, ...]
    connections: Mapping[Ends, Connection]
    own: frozenset[str]  # every address of the router
    inside: tuple[Subnet, ...]
    conntrack: str  # who told of flows: ctnetlink, proc, none
    complete: bool = True  # False: there were more connections than are kept

    def is_own(self, address: str) -> bool:
        """Whether the address is the router itself: one of its own, or a loopback."""
        return address in self.own or is_loopback(address)


def look(extra: Collection[int] = (), outside: Collection[str] = ()) -> Sight:
    """The sight of now. `extra`: further ports of administration; `outside`: devices of outbounds.

    Some milliseconds with ctnetlink. OSError where the kernel tells no sockets, NetlinkError where it tells no
    addresses. Sockets are read before conntrack, so that what opens meanwhile is not missed.
    """
    ports = administration_ports(listening.listeners(), extra)
    found = {one.ends: one for one in sockets.read([port.number for port in ports], LIVE)} if ports else {}
    complete = len(found) <= CONNECTION_LIMIT
    kept = dict(list(found.items())[:CONNECTION_LIMIT])
    conntrack, flows = lookup.tcp_flows(kept.keys())
    netlink = open_netlink()
    try:
        addresses, routes = netlink.addresses(), netlink.routes(MAIN_TABLE)
    finally:
        netlink.close()
    own = frozenset(one.address for one in addresses)
    services = {port.number: port.service for port in ports}
    connections = {ends: connection(one, flows.get(ends), services[one.local_port]) for ends, one in kept.items()}
    return Sight(ports, connections, own, subnets(addresses, routes, outside), conntrack, complete)


def administration_ports(listeners: Iterable[Listener], extra: Collection[int] = ()) -> tuple[Port, ...]:
    """The ports of administration among those that are listened on, and the extra ones. Loopback alone is none."""
    services: dict[int, str] = {}
    addresses: dict[int, list[str]] = {}
    for one in listeners:
        service = _service(one) or (OTHER if one.port in extra else "")
        if service and not is_loopback(one.address):
            services.setdefault(one.port, service)
            addresses.setdefault(one.port, []).append(one.address)
    for number in extra:
        services.setdefault(number, OTHER)
    return tuple(Port(number, services[number], tuple(addresses.get(number, ()))) for number in sorted(services))


def connection(socket: TcpSocket, flow: Flow | None, service: str) -> Connection:
    """A socket and what conntrack knows of it in one."""
    if flow is None:
        return Connection(*socket.ends, service, socket)
    ends = (flow.source, flow.source_port, flow.destination, flow.destination_port)
    return Connection(*ends, service, socket, flow)


def is_loopback(address: str) -> bool:
    """Whether packets to the address never leave the machine."""
    try:
        family, number = parse_address(address)
    except ValueProblem:
        return False
    return any(family == of and low <= number <= high for of, low, high in LOOPBACKS)


def _service(listener: Listener) -> str:
    if listener.program in STARTERS:
        return USUAL_PORTS.get(listener.port, "")
    return PROGRAMS.get(listener.program, "")
