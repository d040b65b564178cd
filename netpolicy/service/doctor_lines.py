"""The doctor about the outbounds: whether their interfaces exist and can be used.

Looks at the kernel; names are those that netifd told the daemon, or tells us. Never probes a line.
"""

from __future__ import annotations

import json

from netpolicy.dataplane.netlink import open_netlink
from netpolicy.outbounds.lines import LineState, LogicalInterface, View, line_states
from netpolicy.outbounds.netifd import parse_dump
from netpolicy.service.doctor_finding import ERROR, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import System


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    return checks(look(system, given))


def look(system: System, given: Given) -> tuple[LineState, ...]:
    """Every outbound as it is now. Raises NetlinkError."""
    logical = _logical(system) if given.logical is None else given.logical
    link = open_netlink("builtin")
    try:
        links = {one.name: one for one in link.links()}
        return line_states(given.ruleset.outbounds, View(links, link.addresses(), link.routes(), logical))
    finally:
        link.close()


def checks(states: tuple[LineState, ...]) -> list[Finding]:
    """ND951, ND952."""
    absent = [state for state in states if is_absent(state)]
    down = [state for state in states if not state.up and not is_absent(state)]
    told = f"{len(states)} outbounds"
    return [
        *([found("ND951", ERROR, f"{one.name}: {one.reason}") for one in absent] or [fine("ND951", told)]),
        *([found("ND952", WARNING, f"{one.name}: {one.reason}") for one in down] or [fine("ND952")]),
    ]


def is_absent(state: LineState) -> bool:
    """Whether its device does not exist, as `lines` says it."""
    return not state.up and state.reason == f"there is no device {state.device}"


def _logical(system: System) -> dict[str, LogicalInterface]:
    """What netifd calls interfaces; nothing where there is no netifd."""
    ran = system.run("ubus", "-S", "call", "network.interface", "dump") if system.find("ubus") else None
    if ran is None or ran.status:
        return {}
    try:
        return parse_dump(json.loads(ran.out))
    except (ValueError, RecursionError):
        return {}
