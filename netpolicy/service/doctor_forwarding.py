"""The doctor about the kernel's settings that decide whether packets come through: forwarding, rp_filter, room.

Reads /proc/sys and the ip rules; never writes there. Meanings: ip-sysctl.rst and bridge.rst of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolicy.dataplane.host import STRICT
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.state import IPV6, RoutingRule
from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_lines import look
from netpolicy.service.doctor_system import System
from netpolicy.service.warnings import of_kernel_rules

NET = "/proc/sys/net"
BRIDGED = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")

# Of the table: from here on it is only a burst away from full, and then nothing new gets through.
NEARLY, FULL = 0.85, 0.97


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen; None for a setting that this kernel does not have."""

    bridged: tuple[str, ...]  # those of BRIDGED that are on
    strict: tuple[str, ...]  # devices of lines
    forwards4: bool
    forwards6: bool
    wants6: bool  # a line has a way out for IPv6
    connections: int | None
    most: int | None
    rules: tuple[RoutingRule, ...]


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = gather(system, given)
    return [
        *bridge_hooks(facts), *reverse_path(facts), *forwarding(facts), *connections(facts), *kernel_rules(facts),
    ]  # fmt: skip


def gather(system: System, given: Given) -> Facts:
    """Reads the settings."""
    states = look(system, given)
    devices = sorted({state.device for state in states if state.device})
    everybody = system.number(f"{NET}/ipv4/conf/all/rp_filter") or 0
    link = open_netlink("builtin")
    try:
        rules = link.rules()
    finally:
        link.close()
    return Facts(
        tuple(name for name in BRIDGED if system.number(f"{NET}/bridge/{name}")),
        # The higher of the two counts.
        tuple(
            device
            for device in devices
            if max(everybody, system.number(f"{NET}/ipv4/conf/{device}/rp_filter") or 0) == STRICT
        ),
        system.number(f"{NET}/ipv4/ip_forward") == 1,
        system.number(f"{NET}/ipv6/conf/all/forwarding") == 1,
        any(hop.family == IPV6 for state in states for hop in state.hops),
        system.number(f"{NET}/netfilter/nf_conntrack_count"),
        system.number(f"{NET}/netfilter/nf_conntrack_max"),
        rules,
    )


def bridge_hooks(facts: Facts) -> list[Finding]:
    """ND209."""
    if not facts.bridged:
        return [fine("ND209")]
    words = " ".join(f"net.bridge.{name}=0" for name in facts.bridged)
    return [found("ND209", WARNING, f"{', '.join(facts.bridged)} is 1", f"sysctl -w {words}")]


def reverse_path(facts: Facts) -> list[Finding]:
    """ND210."""
    if not facts.strict:
        return [fine("ND210")]
    # With slashes: a VLAN has a dot in its name.
    words = " ".join(f"net/ipv4/conf/{device}/rp_filter=2" for device in facts.strict)
    return [found("ND210", WARNING, f"strict on {', '.join(facts.strict)}", f"sysctl -w {words}")]


def forwarding(facts: Facts) -> list[Finding]:
    """ND211."""
    off = []
    if not facts.forwards4:
        off.append(found("ND211", WARNING, "IPv4 is not forwarded", "sysctl -w net.ipv4.ip_forward=1"))
    if not facts.forwards6:
        level = WARNING if facts.wants6 else INFO
        off.append(found("ND211", level, "IPv6 is not forwarded", "sysctl -w net.ipv6.conf.all.forwarding=1"))
    return off or [fine("ND211")]


def connections(facts: Facts) -> list[Finding]:
    """ND212; nothing where connections are not tracked."""
    if facts.connections is None or not facts.most:
        return []
    share = facts.connections / facts.most
    told = f"{facts.connections} of {facts.most} connections"
    if share < NEARLY:
        return [fine("ND212", told)]
    command = f"sysctl -w net.netfilter.nf_conntrack_max={2 * facts.most}"
    return [found("ND212", ERROR if share >= FULL else WARNING, told, command)]


def kernel_rules(facts: Facts) -> list[Finding]:
    """ND213."""
    gone = of_kernel_rules(facts.rules)
    return [found("ND213", ERROR, one.message, one.hint) for one in gone] or [fine("ND213")]
