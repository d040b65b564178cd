"""The records in which kernel state is written down: links, addresses, routes, rules.

Plain values, the same for what should be and for what is read back. Never does I/O.
Field meanings follow rtnetlink(7) and the kernel header <linux/rtnetlink.h>.
"""

from __future__ import annotations

from dataclasses import dataclass

IPV4 = 4
IPV6 = 6

# Owner of routes and rules: a number unassigned in iproute2's rt_protos, accepted
# by the kernel for routes (RTA/rtm_protocol) and rules (FRA_PROTOCOL) of both families.
PROTOCOL = 78

MAIN_TABLE = 254


@dataclass(frozen=True, slots=True)
class Link:
    """A network device as RTM_GETLINK tells it."""

    index: int
    name: str
    up: bool  # IFF_UP: administratively up
    carrier: bool  # IFF_LOWER_UP
    mac: str = ""  # "" where the device has none
    kind: str = ""  # IFLA_INFO_KIND: "veth", "bridge", …; "" when not told


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a device."""

    family: int  # 4 or 6
    device: str
    address: str  # without prefix length
    prefixlen: int
    scope: str = "global"  # global, link, host
    tentative: bool = False  # IPv6 duplicate address detection is still running


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the neighbour table with a known link-layer address."""

    family: int
    device: str
    address: str
    mac: str


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `destination` is a CIDR text, "default" for 0.0.0.0/0 and ::/0."""

    family: int
    table: int
    destination: str
    kind: str = "unicast"  # unicast, unreachable, blackhole, prohibit, local, broadcast, …
    gateway: str = ""
    device: str = ""
    metric: int = 0
    protocol: int = PROTOCOL
    scope: str = "global"  # global, link, host
    source: str = ""  # preferred source address

    @property
    def key(self) -> tuple[int, int, str, int]:
        """What the kernel allows once per table: a second route with the same key replaces the first."""
        return self.family, self.table, self.destination, self.metric


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A policy rule of `ip rule`; `action` is "lookup" or "unreachable"."""

    family: int
    priority: int
    table: int = 0
    mark: int = 0
    mask: int = 0
    action: str = "lookup"
    protocol: int = PROTOCOL
    selectors: str = ""  # what else a foreign rule tests, "from 10.0.0.0/8 iif br-lan"; ours have none
    oif: str = ""  # the device that a socket is bound to; the name stands also while there is no such device


class NetlinkError(Exception):
    """The kernel refused an operation.

    `operation` names it ("add route default via … table 7001"), `errno` is the
    kernel's number, the text says both in words a person can act on.
    """

    def __init__(self, operation: str, errno: int, reason: str) -> None:
        super().__init__(f"{operation}: {reason}")
        self.operation = operation
        self.errno = errno
        self.reason = reason
