"""Whether an outbound can be used now, and by which gateway in each family.

Decides from what the kernel and netifd show; never probes, never changes anything. A
family without a usable way is left out: the data plane then refuses it instead of leaking.
Runs on MicroPython.
"""

from netpolicy.core.address import parse_address
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.policy import Hop
from netpolicy.dataplane.record import Record
from netpolicy.dataplane.state import IPV4, IPV6, LEADING, PROTOCOL

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netpolicy.core.model import Outbound
    from netpolicy.dataplane.state import Address, Link, Route


# What a table holds whose owner is down (a VPN's kill switch): routes, and no way out.
REFUSING = ("unreachable", "blackhole", "prohibit", "throw")


class LogicalInterface(Record):
    """A netifd interface: the device that carries layer 3, and the gateways netifd learned."""

    __slots__ = ("device", "up", "gateways", "error")  # noqa: RUF023 - the order of the arguments

    def __init__(self, device: str, up: bool, gateways: "Mapping[int, str] | None" = None, error: str = "") -> None:
        self.device = device
        self.up = up
        self.gateways = gateways or {}  # family → gateway
        self.error = error

    def values(self) -> "tuple[object, ...]":
        return (self.device, self.up, self.gateways, self.error)


class View(Record):
    """What the network looks like now."""

    __slots__ = ("links", "addresses", "routes", "logical", "ports")  # noqa: RUF023 - the order of the arguments

    def __init__(
        self,
        links: "Mapping[str, Link]",
        addresses: "tuple[Address, ...]",
        routes: "tuple[Route, ...]",
        logical: "Mapping[str, LogicalInterface] | None" = None,
        ports: "Mapping[str, int] | None" = None,
    ) -> None:
        self.links = links
        self.addresses = addresses
        self.routes = routes
        self.logical = logical or {}
        self.ports = ports or {}  # the UDP port that a WireGuard device sends from

    def values(self) -> "tuple[object, ...]":
        return (self.links, self.addresses, self.routes, self.logical, self.ports)

    def device_of(self, interface: str) -> str:
        """The device behind a netifd interface; the name itself where netifd does not know it."""
        known = self.logical.get(interface)
        return known.device if known and known.device else interface


class LineState(Record):
    """One outbound as it is now. `reason` says in words why it is up or down."""

    __slots__ = ("name", "type", "up", "reason", "device", "hops")  # noqa: RUF023 - the order of the arguments

    def __init__(
        self, name: str, type: str, up: bool, reason: str, device: str = "", hops: "tuple[Hop, ...]" = ()
    ) -> None:
        self.name = name
        self.type = type
        self.up = up
        self.reason = reason
        self.device = device
        self.hops = hops

    def values(self) -> "tuple[object, ...]":
        return (self.name, self.type, self.up, self.reason, self.device, self.hops)

    def gateway(self, family: int) -> str:
        """The gateway of a family, "" when there is none (or none is needed)."""
        for hop in self.hops:
            if hop.family == family:
                return hop.gateway
        return ""


def line_states(outbounds: "Iterable[Outbound]", view: View) -> "tuple[LineState, ...]":
    """The state of every outbound."""
    return tuple([_state(outbound, view) for outbound in outbounds])


def _state(outbound: "Outbound", view: View) -> LineState:
    if outbound.type == "table":
        return _table_state(outbound, view)
    if outbound.type == "interface":
        return _interface_state(outbound, view)
    return LineState(outbound.name, outbound.type, True, "always usable")


def _table_state(outbound: "Outbound", view: View) -> LineState:
    routes = [route for route in view.routes if route.table == outbound.table]
    led = {route.family for route in routes if route.kind not in REFUSING}
    if not led:
        reason = "refuses everything" if routes else "is empty"
        return LineState(outbound.name, outbound.type, False, f"table {outbound.table} {reason}")
    hops = tuple([Hop(family, "") for family in (IPV4, IPV6) if family in led])
    families = " and ".join([f"IPv{hop.family}" for hop in hops])
    return LineState(outbound.name, outbound.type, True, f"table {outbound.table} has routes for {families}", "", hops)


def _interface_state(outbound: "Outbound", view: View) -> LineState:
    logical = view.logical.get(outbound.interface)
    if logical is not None and not logical.up:
        because = f"interface {outbound.interface} is down" + (f": {logical.error}" if logical.error else "")
        # An alias of one that is down has no device at all, and not one of its own name.
        return LineState(outbound.name, outbound.type, False, because, logical.device)
    device = view.device_of(outbound.interface)

    def down(reason: str) -> LineState:
        return LineState(outbound.name, outbound.type, False, reason, device)

    link = view.links.get(device)
    if link is None:
        return down(f"there is no device {device}")
    if not link.up:
        return down(f"{device} is switched off")
    if not link.carrier:
        return down(f"{device} has no carrier")
    hops = tuple([hop for family in (IPV4, IPV6) for hop in _hop(outbound, view, link, family)])
    if not hops:
        return down(_no_way(outbound, device, view))
    families = " and ".join(f"IPv{hop.family}" for hop in hops)
    return LineState(outbound.name, outbound.type, True, f"{device} has a way out for {families}", device, hops)


def _no_way(outbound: "Outbound", device: str, view: View) -> str:
    given = [gateway for gateway in (outbound.gateway, outbound.gateway6) if gateway]
    own = [gateway for gateway in given if _is_own(gateway, view, device)]
    if own:
        return f"gateway {', '.join(own)} is an address of this router: set that of the provider's"
    wanted = ", ".join(given)
    if wanted:
        return f"gateway {wanted} is not on a subnet of {device}"
    return f"no gateway is known on {device}: set option gateway or gateway6"


def _hop(outbound: "Outbound", view: View, link: "Link", family: int) -> "tuple[Hop, ...]":
    """The way out in one family: as configured, as netifd says, as main has it, or straight on."""
    configured = outbound.gateway if family == IPV4 else outbound.gateway6
    logical = view.logical.get(outbound.interface)
    gateway = configured or (logical.gateways.get(family, "") if logical else "")
    learned = _learned_default(view, link.name, family)
    if gateway and learned != gateway:
        return (Hop(family, gateway),) if _is_near(gateway, view, link.name, family) else ()
    if learned is not None:
        return (Hop(family, learned),)
    # No link-layer address: a tunnel or a point-to-point line, whatever is sent arrives at the other end.
    if not link.mac and _has_address(view, link.name, family):
        return (Hop(family, ""),)
    return ()


def _learned_default(view: View, device: str, family: int) -> "str | None":
    """The gateway of the best default route that somebody else set over this device, perhaps as one of several ways.

    "" where that needs none, None where there is no such route.
    """
    found = [
        (route.metric, route.table, gateway)
        for route in view.routes
        if route.family == family
        and route.destination == "default"
        and route.kind in LEADING
        and route.protocol != PROTOCOL
        for gateway, leads_by in route.hops
        if leads_by == device
    ]
    return min(found, key=lambda one: one[:2])[2] if found else None


def _has_address(view: View, device: str, family: int) -> bool:
    return any(
        address.device == device and address.family == family and address.scope == "global" and not address.tentative
        for address in view.addresses
    )


def _is_near(gateway: str, view: View, device: str, family: int) -> bool:
    """Whether the kernel would accept the gateway on this device: link-local, or on one of its subnets, not its own."""
    number = _number(gateway, family)
    if number is None or _is_own(gateway, view, device):
        return False
    if family == IPV6 and number >> 118 == 0xFE80 >> 6:
        return True
    bits = 32 if family == IPV4 else 128
    for address in view.addresses:
        if address.device == device and address.family == family and address.prefixlen < bits:
            own = _number(address.address, family)
            if own is not None and own >> (bits - address.prefixlen) == number >> (bits - address.prefixlen):
                return True
    return any(
        route.device == device and route.family == family and not route.gateway and _covers(route, number, bits)
        for route in view.routes
    )


def _is_own(gateway: str, view: View, device: str) -> bool:
    """Whether it is an address of this router: the kernel refuses such an IPv6 route, and an IPv4 one leads nowhere.

    fe80::1 of another device is somebody else.
    """
    try:
        wanted = parse_address(gateway)
        is_local = wanted[0] == IPV6 and wanted[1] >> 118 == 0xFE80 >> 6
        mine = [one.address for one in view.addresses if one.device == device or not is_local]
        return any([parse_address(one) == wanted for one in mine])
    except ValueProblem:
        return False


def _covers(route: "Route", number: int, bits: int) -> bool:
    network, _, length_text = route.destination.partition("/")
    own = _number(network, route.family)
    if own is None or route.kind != "unicast" or route.protocol == PROTOCOL:
        return False
    length = int(length_text) if length_text else bits
    return own >> (bits - length) == number >> (bits - length)


def _number(text: str, family: int) -> "int | None":
    try:
        found, number = parse_address(text)
    except ValueProblem:
        return None
    return number if found == family else None
