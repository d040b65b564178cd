"""Which routes and rules our lines need, and what separates them from what is there.

Values in, values out. Only objects with our protocol number are ever compared or removed.
Priorities and tables: docs/dataplane.md; metrics and kinds: ip-route(8), ip-rule(8).
"""

from netpolicy.core.address import BITS, V4, V6, parse_address
from netpolicy.core.ranges import contains
from netpolicy.dataplane.record import Record
from netpolicy.dataplane.state import IPV4, IPV6, MAIN_TABLE, PROTOCOL, Route, RoutingRule

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable

    from netpolicy.dataplane.policy import Line, Policy
    from netpolicy.dataplane.state import Address

# The highest metric below the kernel's 32-bit limit that `ip` prints back unchanged: any real
# default wins over the unreachable one, and that one stays when the device goes.
LAST_METRIC = 4278198272

# A foreign table is asked after ours, which then holds the connected subnets only (its owner need
# not know them, and answers must find the LAN); behind it, what it does not route is refused.
FOREIGN_OFFSET = 32
UNREACHABLE_OFFSET = 64

# What is sent from an address of a line, and no rule of ours marks, asks main for all but its default, then the line.
SOURCE_OFFSET = 198  # behind 128 classes with their two steps of 32 and 64: the last two of the 200
SOURCES_OF_A_LINE = 16  # of each family

KERNEL = 2  # RTPROT_KERNEL: the route came with an address

# RFC 1918, RFC 6598 (carrier-grade NAT) and RFC 4193: not reached by way of the internet.
PRIVATE = {
    V4: ((0x0A000000, 0x0AFFFFFF), (0x64400000, 0x647FFFFF), (0xAC100000, 0xAC1FFFFF), (0xC0A80000, 0xC0A8FFFF)),
    V6: ((0xFC << 120, (0xFE << 120) - 1),),
}

SPAN = 200  # priorities and tables from the base that we call ours


class Routing(Record):
    """Routes and rules, as sets that can be compared."""

    __slots__ = ("routes", "rules")

    def __init__(
        self,
        routes: "frozenset[Route]" = frozenset(),
        rules: "frozenset[RoutingRule]" = frozenset(),
    ) -> None:
        self.routes = routes
        self.rules = rules

    def values(self) -> "tuple[object, ...]":
        return (self.routes, self.rules)


def desired(policy: "Policy", main: "Iterable[Route]", addresses: "Iterable[Address]" = ()) -> Routing:
    """The routing that the policy's lines need, given the routes and addresses that exist (for the connected ones)."""
    main = list(main)
    routes: set[Route] = set()
    addresses = list(addresses)
    subnets = connected(main, addresses)
    rules: set[RoutingRule] = set(_bound(policy) + _sent_from(policy, addresses))
    for line in policy.lines:
        of_others = {device for number, device in policy.forbidden if number == line.number}
        # A public neighbour on another line is reached by this line all the same; a private subnet
        # there is a modem's own, which no other line leads to.
        near = [route for route in subnets if route.device not in of_others or _is_private(route.destination)]
        rules.update(_rules(policy, line))
        if line.home:
            continue  # of a throttled pair: the table is that of its line
        routes.update(_routes(policy, line, near + [route for route in main if _is_link_local(route, line)]))
    return Routing(frozenset(routes), frozenset(rules))


def connected(main: "Iterable[Route]", addresses: "Iterable[Address]") -> "list[Route]":
    """The routes of main to subnets that the router itself is in."""
    own = [(address.device,) + _span(address.address, address.prefixlen) for address in addresses]
    return [route for route in main if _is_connected(route, own)]


def private_subnets(
    main: "Iterable[Route]", addresses: "Iterable[Address]", devices: "Iterable[str]"
) -> "tuple[str, ...]":
    """The private ones of the connected subnets on these devices, sorted."""
    chosen = set(devices)
    found = connected(main, addresses)
    return tuple(sorted({r.destination for r in found if r.device in chosen and _is_private(r.destination)}))


def _is_private(destination: str) -> bool:
    network, _, length = destination.partition("/")
    family, low, _ = _span(network, int(length) if length else BITS[V6 if ":" in network else V4])
    return contains(PRIVATE[family], low)


def _is_link_local(route: Route, line: "Line") -> bool:
    """Whether a route of main is the link-local subnet of the line's own device.

    Sockets bound to the device ask the line's table (`_bound`): without it a DHCPv6 client's
    packet to fe80::… would go to the line's gateway.
    """
    return (
        route.table == MAIN_TABLE
        and route.device == line.device
        and route.kind == "unicast"
        and not route.gateway
        and route.destination.startswith("fe80:")
        and any(hop.family == IPV6 for hop in line.hops)
    )


def _is_connected(route: Route, own: "list[tuple[str, int, int, int]]") -> bool:
    """Whether a route of main is a subnet that the router itself is in.

    A route to a device says that as little as its length does: VPN clients cover the whole
    internet with 0.0.0.0/1, 2000::/3 and the like, and copied they would lead every line into
    the tunnel. It is a subnet when the kernel made it from an address, or when it lies within
    the network of an address of that device (netifd sets such routes itself).
    """
    if route.table != MAIN_TABLE or route.kind != "unicast" or route.gateway or not route.device:
        return False
    if route.destination == "default" or route.destination.startswith("fe80:"):
        return False
    if route.protocol == KERNEL:
        return True
    network, _, length = route.destination.partition("/")
    family, low, high = _span(network, int(length) if length else BITS[V6 if ":" in network else V4])
    return any(
        device == route.device and of == family and first <= low and high <= last for device, of, first, last in own
    )


def _span(address: str, length: int) -> "tuple[int, int, int]":
    """Family, first and last address of the network that an address with this prefix length is in."""
    family, number = parse_address(address)
    host = (1 << (BITS[family] - length)) - 1
    return family, number & ~host, number | host


def _routes(policy: "Policy", line: "Line", connected: "list[Route]") -> "set[Route]":
    table = policy.table_base + line.number
    routes = {
        Route(
            route.family,
            table,
            route.destination,
            "unicast",
            "",
            route.device,
            route.metric,
            PROTOCOL,
            route.scope,
        )
        for route in _without_twins(connected, line.device)
    }
    if line.foreign_table:
        return routes
    for hop in line.hops:
        near = "global" if hop.family == IPV6 else "link"
        scope = "global" if hop.gateway else near
        # The kernel gives IPv6 routes without a metric 1024 (IP6_RT_PRIO_USER).
        metric = 1024 if hop.family == IPV6 else 0
        if hop.gateway and not _is_within(hop.gateway, routes, line.device):
            alone = hop.gateway + ("/128" if hop.family == IPV6 else "/32")
            routes.add(Route(hop.family, table, alone, "unicast", "", line.device, metric, PROTOCOL, near))
        routes.add(Route(hop.family, table, "default", "unicast", hop.gateway, line.device, metric, PROTOCOL, scope))
    for family in (IPV4, IPV6):
        routes.add(Route(family, table, "default", "unreachable", metric=LAST_METRIC))
    return routes


def _is_within(gateway: str, routes: "Iterable[Route]", device: str) -> bool:
    """Whether the table reaches the gateway on that device without a route of its own.

    It does not where the provider's gateway lies outside of the line's subnet (`onlink`): then the kernel refuses the
    default, and with it the whole change.
    """
    family, number = parse_address(gateway)
    if family == V6 and number >> 118 == 0xFE80 >> 6:
        return True
    for route in routes:
        if route.device == device and route.family == family:
            network, _, length = route.destination.partition("/")
            _, low, high = _span(network, int(length) if length else BITS[family])
            if low <= number <= high:
                return True
    return False


def _without_twins(connected: "list[Route]", device: str) -> "list[Route]":
    """One route per subnet and metric: two modems often have the same subnet, the line's own device is meant then."""
    chosen: dict[tuple[int, str, int], Route] = {}
    # With the place in the list: MicroPython's sort is not stable.
    for _, _, place in sorted([(one.device != device, one.device, place) for place, one in enumerate(connected)]):
        route = connected[place]
        chosen.setdefault((route.family, route.destination, route.metric), route)
    return list(chosen.values())


def _bound(policy: "Policy") -> "list[RoutingRule]":
    """What a socket of the router follows that is bound to the device of a line (SO_BINDTODEVICE).

    It has said which line it wants: a rule of ours must not send it to the table of another, where
    nothing leads by its device. So this comes before the marks. Where the line knows no way in a family,
    main decides, as without us. Of two lines on one device the first answers for it.
    """
    rules = []
    for device, line in _by_device(policy).items():
        led = {hop.family for hop in line.hops}
        for family in (IPV4, IPV6):
            table = policy.table_base + line.number if family in led else MAIN_TABLE
            rules.append(RoutingRule(family, policy.rule_priority, table, oif=device))
    return rules


def _sent_from(policy: "Policy", addresses: "Iterable[Address]") -> "list[RoutingRule]":
    """What leaves with an address of a line and by no rule: that line's provider alone would take it.

    Only the default is the line's: what main knows better (networks behind the router, a VPN) stays as it is
    without us. A line that knows no way in the family changes nothing.
    """
    rules = []
    lines = _by_device(policy)
    counts: dict[tuple[str, int], int] = {}
    seen = set()
    for one in addresses:
        line, key = lines.get(one.device), (one.device, one.family)
        if line is None or one.family not in [hop.family for hop in line.hops]:
            continue
        if one.scope != "global" or one.tentative or one.address in seen:
            continue
        counts[key] = counts.get(key, 0) + 1
        if counts[key] > SOURCES_OF_A_LINE:
            continue
        seen.add(one.address)
        sent = "from {}/{}".format(one.address, 32 if one.family == IPV4 else 128)
        first = policy.rule_priority + SOURCE_OFFSET
        but_default = sent + " suppress_prefixlength 0"
        rules.append(RoutingRule(one.family, first, MAIN_TABLE, selectors=but_default))
        rules.append(RoutingRule(one.family, first + 1, policy.table_base + line.number, selectors=sent))
    return rules


def _by_device(policy: "Policy") -> "dict[str, Line]":
    """The line that answers for a device: of two on one the first."""
    found: dict[str, Line] = {}
    for line in policy.lines:
        if line.device and not line.foreign_table and not line.home:
            found.setdefault(line.device, line)
    return found


def _rules(policy: "Policy", line: "Line") -> "set[RoutingRule]":
    mark, mask = policy.marks.bits(line.number), policy.marks.class_mask
    priority = policy.rule_priority + line.number
    rules = set()
    for family in (IPV4, IPV6):
        rules.add(RoutingRule(family, priority, policy.table_base + line.table, mark, mask))
        if line.foreign_table:
            rules.add(RoutingRule(family, priority + FOREIGN_OFFSET, line.foreign_table, mark, mask))
            rules.add(RoutingRule(family, priority + UNREACHABLE_OFFSET, 0, mark, mask, "unreachable"))
    return rules


def ours(routes: "Iterable[Route]", rules: "Iterable[RoutingRule]") -> Routing:
    """What of the observed state carries our protocol number, in comparable form."""
    return Routing(
        frozenset(_comparable(route) for route in routes if route.protocol == PROTOCOL),
        frozenset(rule for rule in rules if rule.protocol == PROTOCOL),
    )


def _comparable(route: Route) -> Route:
    # An IPv6 unreachable route is listed on lo, an IPv4 one without a device.
    device = "" if route.kind != "unicast" else route.device
    scope = route.scope if route.family == IPV4 and route.kind == "unicast" else "global"
    return Route(
        route.family,
        route.table,
        route.destination,
        route.kind,
        route.gateway,
        device,
        route.metric,
        PROTOCOL,
        scope,
    )


class RoutingChange(Record):
    """What to add before the swap and what to remove after it, each in order."""

    __slots__ = ("add_routes", "add_rules", "delete_rules", "delete_routes")

    def __init__(
        self,
        add_routes: "tuple[Route, ...]",
        add_rules: "tuple[RoutingRule, ...]",
        delete_rules: "tuple[RoutingRule, ...]",
        delete_routes: "tuple[Route, ...]",
    ) -> None:
        self.add_routes = add_routes
        self.add_rules = add_rules
        self.delete_rules = delete_rules
        self.delete_routes = delete_routes

    def values(self) -> "tuple[object, ...]":
        return (self.add_routes, self.add_rules, self.delete_rules, self.delete_routes)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.add_routes or self.add_rules or self.delete_rules or self.delete_routes)

    @property
    def changes(self) -> "tuple[str, ...]":
        """One line per change, in the words of `ip`."""
        lines = [f"+ {describe_route(route)}" for route in self.add_routes]
        lines += [f"+ {describe_rule(rule)}" for rule in self.add_rules]
        lines += [f"- {describe_rule(rule)}" for rule in self.delete_rules]
        lines += [f"- {describe_route(route)}" for route in self.delete_routes]
        return tuple(lines)


def change(wanted: Routing, loaded: Routing) -> RoutingChange:
    """The difference, in an order that never leaves a rule to an empty table."""
    want = {_comparable(route): route for route in wanted.routes}
    add = [route for key, route in want.items() if key not in loaded.routes]
    delete = [route for route in loaded.routes if route not in want]
    return RoutingChange(
        in_order(add),
        rules_in_order(wanted.rules - loaded.rules),
        rules_in_order(loaded.rules - wanted.rules),
        tuple(sorted(delete, key=lambda r: (r.kind != "unicast", r.table, str(r)))),
    )


def in_order(routes: "Iterable[Route]") -> "tuple[Route, ...]":
    """Subnets first, so that a gateway is reachable when its default is added; unreachable last."""
    return tuple(sorted(routes, key=lambda r: (r.destination == "default", r.kind != "unicast", r.table, str(r))))


def rules_in_order(rules: "Iterable[RoutingRule]") -> "tuple[RoutingRule, ...]":
    """As the kernel asks them; of one priority (bound sockets) always in the same order."""
    return tuple(sorted(rules, key=lambda rule: (rule.priority, rule.family, rule.oif, str(rule))))


def describe_route(route: Route) -> str:
    """A route in the words of `ip route`."""
    kind = "" if route.kind == "unicast" else f"{route.kind} "
    via = f" via {route.gateway}" if route.gateway else ""
    device = f" dev {route.device}" if route.device else ""
    metric = f" metric {route.metric}" if route.metric else ""
    return f"ip -{route.family} route {kind}{route.destination}{via}{device} table {route.table}{metric}"


def describe_rule(rule: RoutingRule) -> str:
    """A rule in the words of `ip rule`."""
    goes = f"lookup {rule.table}" if rule.action == "lookup" else rule.action
    bound = f" oif {rule.oif}" if rule.oif else ""
    mark = f" fwmark {rule.mark:#x}/{rule.mask:#x}" if rule.mark or rule.mask else ""
    tested = f" {rule.selectors}" if rule.selectors else ""
    return f"ip -{rule.family} rule priority {rule.priority}{tested}{bound}{mark} {goes}"
