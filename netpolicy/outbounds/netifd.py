"""What netifd says of its logical interfaces, from the reply of `network.interface dump`.

Reads a reply that somebody else asked for; never speaks ubus itself and never trusts a
shape: what is missing or odd is left out. Facts: netifd's ubus.c, docs/testing-openwrt.md.
"""

from __future__ import annotations

import re
from typing import Any

from netpolicy.dataplane.state import IPV4, IPV6, MAIN_TABLE
from netpolicy.outbounds.lines import LogicalInterface

OBJECT = "network.interface"

# dev_valid_name() of the kernel, without what means something else in a quoted word of a rule.
_DEVICE = re.compile(r"[^\s/:*\"\\]{1,15}")


def parse_dump(reply: Any) -> dict[str, LogicalInterface]:
    """Logical interfaces by name. Loopback and nameless entries are left out."""
    interfaces = reply.get("interface") if isinstance(reply, dict) else None
    found = {}
    for entry in interfaces if isinstance(interfaces, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("interface"), str) and entry["interface"] != "loopback":
            found[entry["interface"]] = _interface(entry)
    return found


def _interface(entry: dict[str, Any]) -> LogicalInterface:
    device = entry.get("l3_device") or entry.get("device") or ""
    gateways: dict[int, str] = {}
    for route in _defaults(entry):
        gateway = route.get("nexthop")
        if isinstance(gateway, str) and gateway not in ("", "0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
            gateways.setdefault(IPV6 if ":" in gateway else IPV4, gateway)
    named = device if isinstance(device, str) and _DEVICE.fullmatch(device) else ""
    return LogicalInterface(named, bool(entry.get("up")), gateways, _first_error(entry))


def _defaults(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The default routes, the line's own first: netifd begins with those of `config route`, also of other tables."""
    own_tables = (None, MAIN_TABLE, entry.get("ip4table"), entry.get("ip6table"))

    def rank(one: tuple[bool, dict[str, Any]]) -> tuple[bool, bool, int]:
        metric = one[1].get("metric", entry.get("metric"))
        return (one[1].get("table") not in own_tables, one[0], metric if isinstance(metric, int) else 0)

    # With `option defaultroute 0` netifd learns the gateway, sets no route and lists it as inactive.
    found = [(False, route) for route in _routes(entry)] + [(True, route) for route in _routes(entry.get("inactive"))]
    defaults = [one for one in found if isinstance(one[1], dict) and one[1].get("mask") == 0]
    return [route for _, route in sorted(defaults, key=rank)]


def _routes(entry: Any) -> list[Any]:
    routes = entry.get("route") if isinstance(entry, dict) else None
    return routes if isinstance(routes, list) else []


def _first_error(entry: dict[str, Any]) -> str:
    errors = entry.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("code", ""))[:60]
    return ""
