"""What netifd says of its logical interfaces, from the reply of `network.interface dump`.

Reads a reply that somebody else asked for; never speaks ubus itself and never trusts a
shape: what is missing or odd is left out. Facts: netifd's ubus.c, docs/testing-openwrt.md.
"""

from __future__ import annotations

import re
from typing import Any

from netpolicy.dataplane.state import IPV4, IPV6
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
    # With `option defaultroute 0` netifd learns the gateway, sets no route and lists it as inactive.
    for route in (*_routes(entry), *_routes(entry.get("inactive"))):
        if isinstance(route, dict) and route.get("mask") == 0:
            gateway = route.get("nexthop")
            if isinstance(gateway, str) and gateway not in ("", "0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
                gateways.setdefault(IPV6 if ":" in gateway else IPV4, gateway)
    named = device if isinstance(device, str) and _DEVICE.fullmatch(device) else ""
    return LogicalInterface(named, bool(entry.get("up")), gateways, _first_error(entry))


def _routes(entry: Any) -> list[Any]:
    routes = entry.get("route") if isinstance(entry, dict) else None
    return routes if isinstance(routes, list) else []


def _first_error(entry: dict[str, Any]) -> str:
    errors = entry.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("code", ""))[:60]
    return ""
