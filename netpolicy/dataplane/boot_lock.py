"""What the kernel gets at a boot before there is a network or a daemon: blocks, and locks of lines that must not leak.

Values in, texts out: the table in force, and for each sealed line its ip rule and the unreachable route that it leads
to. Never names a device in a route: none is there yet. Loaded by files/usr/lib/netpolicy/guard; why: docs/guard.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from netpolicy import __version__
from netpolicy.dataplane import names, script
from netpolicy.dataplane.chains import TO_ROUTER, to_router
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import Routing, desired
from netpolicy.dataplane.state import IPV4, IPV6
from netpolicy.dataplane.table import build

TABLE, CLASSES, MADE = "table.nft", "classes.json", "made"


def made(policy: Policy) -> str:
    """By what and for which devices texts are made: they are stale where that has become another one."""
    rows = [f"netpolicy {__version__} {names.SCHEMA}", *[f"{name} {device}" for name, device in policy.device_names]]
    return "".join([f"{row}\n" for row in rows])


def render(policy: Policy, numbers: Mapping[str, int]) -> dict[str, str]:
    """The files by name; none where nothing is sealed or blocked. `numbers`: the class of each outbound.

    Without its numbers the next daemon might give a class to another line than the connections of the boot carry.
    """
    sealed = [line for line in policy.lines if line.sealed]
    refused = (policy.marks.drop, policy.marks.reject)
    if not (sealed or any(policy.entries.blocks) or policy.default_forwarded in refused):
        return {}
    routing = _locks(policy, {line.number for line in sealed}, {line.table for line in sealed})
    found = {f"ip{family}": _batch(routing, family) for family in (IPV4, IPV6)}
    found[MADE] = made(policy)
    found[CLASSES] = json.dumps(dict(sorted(numbers.items()))) + "\n"
    table = build(policy)
    if TO_ROUTER in table.chains:
        # Who administers the router by a sealed line gets his answers by main: the table of the line knows not even
        # the subnet yet, and where no daemon comes he would be locked out for good.
        table.chains[TO_ROUTER] = to_router(policy, {line.number for line in sealed})
    return found | {TABLE: script.full_text(table, script.MOST_AT_BOOT)}


def _locks(policy: Policy, classes: set[int], tables: set[int]) -> Routing:
    """Of the routing what needs no device: to where a class leads, and that nothing is there yet."""
    every = desired(policy, ())
    marks = {policy.marks.bits(number) for number in classes}
    kept = {policy.table_base + number for number in tables}
    return Routing(
        frozenset([one for one in every.routes if one.kind != "unicast" and one.table in kept]),
        frozenset([one for one in every.rules if one.mark in marks and one.mask]),
    )


def _batch(routing: Routing, family: int) -> str:
    # Without the two lines that flush: nothing is there, and what is there stays.
    return "".join([f"{line}\n" for line in script.ip_batch(routing, family)[2:]])
