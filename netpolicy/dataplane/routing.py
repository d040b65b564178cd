"""Which routes and rules our lines need, and what separates them from what is there.

Values in, values out. Only objects with our protocol number are ever compared or removed.
Priorities and tables: docs/dataplane.md; metrics and kinds: ip-route(8), ip-rule(8).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netpolicy.dataplane.policy import Line, Policy
from netpolicy.dataplane.state import IPV4, IPV6, MAIN_TABLE, PROTOCOL, Route, RoutingRule

# The highest metric below the kernel's 32-bit limit that `ip` prints back unchanged: any real
# default wins over the unreachable one, and that one stays when the device goes.
LAST_METRIC = 4278198272

# A foreign table is asked after ours, which then holds the connected subnets only (its owner need
# not know them, and answers must find the LAN); behind it, what it does not route is refused.
FOREIGN_OFFSET = 32
UNREACHABLE_OFFSET = 64

SPAN = 200  # priorities and tables from the base that we call ours


@dataclass(frozen=True, slots=True)
class Routing:
    """Routes and rules, as sets that can be compared."""

    routes: frozenset[Route] = frozenset()
    rules: frozenset[RoutingRule] = frozenset()


def desired(policy: Policy, main: Iterable[Route]) -> Routing:
    """The routing that the policy's lines need, given the routes that exist (for the connected ones)."""
    connected = [route for route in main if _is_connected(route)]
    routes: set[Route] = set()
    rules: set[RoutingRule] = set()
    for line in policy.lines:
        rules.update(_rules(policy, line))
        routes.update(_routes(policy, line, connected))
    return Routing(frozenset(routes), frozenset(rules))


def _is_connected(route: Route) -> bool:
    """A subnet on a device, as the kernel (or a router advertisement) put it into main."""
    return (
        route.table == MAIN_TABLE
        and route.kind == "unicast"
        and bool(route.device)
        and not route.gateway
        and route.destination != "default"
        # The two halves of the default route, as VPN clients install them, are no subnet.
        and route.destination not in ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")
        and not route.destination.startswith("fe80:")
    )


def _routes(policy: Policy, line: Line, connected: list[Route]) -> set[Route]:
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
        scope = "global" if hop.gateway or hop.family == IPV6 else "link"
        # The kernel gives IPv6 routes without a metric 1024 (IP6_RT_PRIO_USER).
        metric = 1024 if hop.family == IPV6 else 0
        routes.add(Route(hop.family, table, "default", "unicast", hop.gateway, line.device, metric, PROTOCOL, scope))
    for family in (IPV4, IPV6):
        routes.add(Route(family, table, "default", "unreachable", metric=LAST_METRIC))
    return routes


def _without_twins(connected: list[Route], device: str) -> Iterable[Route]:
    """One route per subnet and metric: two modems often have the same subnet, the line's own device is meant then."""
    chosen: dict[tuple[int, str, int], Route] = {}
    for route in sorted(connected, key=lambda route: (route.device != device, route.device)):
        chosen.setdefault((route.family, route.destination, route.metric), route)
    return chosen.values()


def _rules(policy: Policy, line: Line) -> set[RoutingRule]:
    mark, mask = policy.marks.bits(line.number), policy.marks.class_mask
    priority = policy.rule_priority + line.number
    rules = set()
    for family in (IPV4, IPV6):
        rules.add(RoutingRule(family, priority, policy.table_base + line.number, mark, mask))
        if line.foreign_table:
            rules.add(RoutingRule(family, priority + FOREIGN_OFFSET, line.foreign_table, mark, mask))
            rules.add(RoutingRule(family, priority + UNREACHABLE_OFFSET, 0, mark, mask, "unreachable"))
    return rules


def ours(routes: Iterable[Route], rules: Iterable[RoutingRule]) -> Routing:
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


@dataclass(frozen=True, slots=True)
class RoutingChange:
    """What to add before the swap and what to remove after it, each in order."""

    add_routes: tuple[Route, ...]
    add_rules: tuple[RoutingRule, ...]
    delete_rules: tuple[RoutingRule, ...]
    delete_routes: tuple[Route, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.add_routes or self.add_rules or self.delete_rules or self.delete_routes)

    @property
    def changes(self) -> tuple[str, ...]:
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
        # Subnets first, so that a gateway is reachable when its default is added; unreachable last.
        tuple(sorted(add, key=lambda r: (r.destination == "default", r.kind != "unicast", r.table, str(r)))),
        tuple(sorted(wanted.rules - loaded.rules, key=lambda rule: (rule.priority, rule.family))),
        tuple(sorted(loaded.rules - wanted.rules, key=lambda rule: (rule.priority, rule.family))),
        tuple(sorted(delete, key=lambda r: (r.kind != "unicast", r.table, str(r)))),
    )


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
    return f"ip -{rule.family} rule priority {rule.priority} fwmark {rule.mark:#x}/{rule.mask:#x} {goes}"
