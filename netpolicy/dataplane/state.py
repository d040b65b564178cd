"""The records in which kernel state is written down: links, addresses, routes, rules.

Plain values, the same for what should be and for what is read back. Never does I/O.
Field meanings follow rtnetlink(7) and the kernel header <linux/rtnetlink.h>.
"""

from netpolicy.dataplane.record import Record

IPV4 = 4
IPV6 = 6

# Owner of routes and rules: a number unassigned in iproute2's rt_protos, accepted
# by the kernel for routes (RTA/rtm_protocol) and rules (FRA_PROTOCOL) of both families.
PROTOCOL = 78

MAIN_TABLE = 254

# Routes that lead somewhere: by one next hop, or by several ("multipath" is our word, see netlink_records.py).
LEADING = ("unicast", "multipath")


class Link(Record):
    """A network device as RTM_GETLINK tells it."""

    __slots__ = ("index", "name", "up", "carrier", "mac", "kind", "master")

    def __init__(
        self, index: int, name: str, up: bool, carrier: bool, mac: str = "", kind: str = "", master: int = 0
    ) -> None:
        self.index = index
        self.name = name
        self.up = up  # IFF_UP: administratively up
        self.carrier = carrier  # IFF_LOWER_UP
        self.mac = mac  # "" where the device has none
        self.kind = kind  # IFLA_INFO_KIND: "veth", "bridge", …; "" when not told
        self.master = master  # index of the bridge, bond or VRF that it is a port of; 0: of none

    def values(self) -> "tuple[object, ...]":
        return (self.index, self.name, self.up, self.carrier, self.mac, self.kind, self.master)


class Address(Record):
    """An address on a device."""

    __slots__ = ("family", "device", "address", "prefixlen", "scope", "tentative")

    def __init__(
        self, family: int, device: str, address: str, prefixlen: int, scope: str = "global", tentative: bool = False
    ) -> None:
        self.family = family  # 4 or 6
        self.device = device
        self.address = address  # without prefix length
        self.prefixlen = prefixlen
        self.scope = scope  # global, link, host
        self.tentative = tentative  # IPv6 duplicate address detection is still running

    def values(self) -> "tuple[object, ...]":
        return (self.family, self.device, self.address, self.prefixlen, self.scope, self.tentative)


class Neighbour(Record):
    """An entry of the neighbour table with a known link-layer address."""

    __slots__ = ("family", "device", "address", "mac")

    def __init__(self, family: int, device: str, address: str, mac: str) -> None:
        self.family = family
        self.device = device
        self.address = address
        self.mac = mac

    def values(self) -> "tuple[object, ...]":
        return (self.family, self.device, self.address, self.mac)


class Route(Record):
    """A route. `destination` is a CIDR text, "default" for 0.0.0.0/0 and ::/0."""

    __slots__ = (
        "family", "table", "destination", "kind", "gateway", "device", "metric", "protocol", "scope", "source",
        "others",
    )  # fmt: skip

    def __init__(
        self,
        family: int,
        table: int,
        destination: str,
        kind: str = "unicast",
        gateway: str = "",
        device: str = "",
        metric: int = 0,
        protocol: int = PROTOCOL,
        scope: str = "global",
        source: str = "",
        others: "tuple[tuple[str, str], ...]" = (),
    ) -> None:
        self.family = family
        self.table = table
        self.destination = destination
        self.kind = kind  # unicast, unreachable, blackhole, prohibit, local, broadcast, …
        self.gateway = gateway
        self.device = device
        self.metric = metric
        self.protocol = protocol
        self.scope = scope  # global, link, host
        self.source = source  # preferred source address
        self.others = others  # of "multipath": gateway and device of each next hop behind the first

    def values(self) -> "tuple[object, ...]":
        return (
            self.family, self.table, self.destination, self.kind, self.gateway, self.device, self.metric,
            self.protocol, self.scope, self.source, self.others,
        )  # fmt: skip

    @property
    def hops(self) -> "tuple[tuple[str, str], ...]":
        """Gateway and device of every next hop; none of a route that refuses."""
        return ((self.gateway, self.device),) + self.others if self.device else self.others

    @property
    def devices(self) -> "tuple[str, ...]":
        """The devices that it leads by."""
        return tuple([device for _, device in self.hops if device])

    @property
    def key(self) -> "tuple[int, int, str, int]":
        """What the kernel allows once per table: a second route with the same key replaces the first."""
        return self.family, self.table, self.destination, self.metric


class RoutingRule(Record):
    """A policy rule of `ip rule`; `action` is "lookup" or "unreachable"."""

    __slots__ = ("family", "priority", "table", "mark", "mask", "action", "protocol", "selectors", "oif")

    def __init__(
        self,
        family: int,
        priority: int,
        table: int = 0,
        mark: int = 0,
        mask: int = 0,
        action: str = "lookup",
        protocol: int = PROTOCOL,
        selectors: str = "",
        oif: str = "",
    ) -> None:
        self.family = family
        self.priority = priority
        self.table = table
        self.mark = mark
        self.mask = mask
        self.action = action
        self.protocol = protocol
        self.selectors = selectors  # what else it tests, "from 10.0.0.0/8 iif br-lan"; ours: from, suppress_…
        self.oif = oif  # the device that a socket is bound to; the name stands also while there is no such device

    def values(self) -> "tuple[object, ...]":
        return (
            self.family, self.priority, self.table, self.mark, self.mask, self.action, self.protocol,
            self.selectors, self.oif,
        )  # fmt: skip


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
