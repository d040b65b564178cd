"""What the owner should know though nothing failed: collisions, lines that are down, answers that get lost.

Reads plan, lines and host settings; never changes anything. Codes are stable (docs/operations.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netpolicy.core.model import Ruleset
from netpolicy.dataplane.conflicts import Conflict
from netpolicy.dataplane.host import STRICT, reverse_path_filter
from netpolicy.dataplane.shaping import PER_CLIENT, POLICED, Way
from netpolicy.dataplane.state import IPV4, IPV6, MAIN_TABLE, RoutingRule
from netpolicy.outbounds.lines import LineState


@dataclass(frozen=True, slots=True)
class Warning_:
    """One finding. `code` is stable."""

    code: str
    message: str
    hint: str = ""


NO_LOGGING = Warning_(
    "NP901", "this kernel cannot log packets: `log` has no effect", "install kmod-nfnetlink-log"
)  # fmt: skip


def of_conflicts(conflicts: Iterable[Conflict]) -> list[Warning_]:
    """NP902: somebody else uses what we need."""
    return [Warning_("NP902", found.message, found.hint) for found in conflicts]


def of_lines(ruleset: Ruleset, states: tuple[LineState, ...]) -> list[Warning_]:
    """NP903 to NP905: lines that are down, or whose answers would not come back."""
    found = []
    for state in states:
        if not state.up:
            found.append(Warning_("NP903", f"outbound {state.name} is down: {state.reason}"))
        if state.device and reverse_path_filter(state.device) == STRICT:
            found.append(_strict(state.device))
    return found + _untranslated(ruleset, states)


def of_ways(ways: Iterable[Way]) -> list[Warning_]:
    """NP909: where a limit drops what is too much although it is written to slow down everybody together."""
    return [
        Warning_(
            "NP909",
            f"throttle {way.limit} {way.direction}: what is too much is dropped on {way.device}, not queued: {way.why}",
            "a limit without a queue holds, and is rougher: docs/rules.md (Throttles)",
        )
        for way in ways
        if way.how == POLICED and way.why != PER_CLIENT
    ]


def of_offload(ways: Iterable[Way], is_on: bool) -> list[Warning_]:
    """NP910: limits that connections pass by, because the firewall takes them past the rules."""
    names = sorted({way.limit for way in ways}) if is_on else []
    return [
        Warning_(
            "NP910",
            f"throttle {name} holds no connection for long: the firewall offloads them (flow_offloading)",
            "uci set firewall.@defaults[0].flow_offloading=0; uci commit firewall; /etc/init.d/firewall restart",
        )
        for name in names
    ]


# What the kernel begins with, behind `local`: fib4_rules.c and fib6_rules.c. IPv6 has no table `default`.
DEFAULT_TABLE = 253
KERNEL_RULES = ((IPV4, MAIN_TABLE, 32766, "main"), (IPV4, DEFAULT_TABLE, 32767, "default"),
                (IPV6, MAIN_TABLE, 32766, "main"))  # fmt: skip


def of_kernel_rules(rules: Iterable[RoutingRule]) -> list[Warning_]:
    """NP907: `ip rule flush` takes the kernel's own rules too. They are not ours, so they are not put back."""
    # One for a mark or a device is no substitute: ours for sockets bound to a device may lead to main too.
    present = {(rule.family, rule.table) for rule in rules if not (rule.selectors or rule.mask or rule.oif)}
    absent = [one for one in KERNEL_RULES if one[:2] not in present]
    return [
        Warning_(
            "NP907",
            f"the kernel's own IPv{family} rule for table {name} is gone" + _loss(name),
            f"ip -{family} rule add priority {priority} lookup {name}",
        )
        for family, _, priority, name in absent
    ]


def _loss(name: str) -> str:
    return ": what no rule of ours steers has no route" if name == "main" else ""


def _strict(device: str) -> Warning_:
    return Warning_(
        "NP904",
        f"answers that come in by {device} are dropped: rp_filter is strict",
        f"sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{device}.rp_filter=2",
    )


def _untranslated(ruleset: Ruleset, states: tuple[LineState, ...]) -> list[Warning_]:
    """With two IPv6 lines a connection may leave by the one with the address of the other."""
    six = [state for state in states if state.type != "table" and any(hop.family == IPV6 for hop in state.hops)]
    if len(six) < 2:
        return []
    found = []
    for state in six:
        outbound = ruleset.outbound(state.name)
        if outbound is not None and outbound.ipv6_source == "none" and _is_target(ruleset, state.name):
            found.append(Warning_(
                "NP905", f"IPv6 sent by {state.name} may carry addresses of another line: answers are lost",
                "set option ipv6_source 'masq' or 'prefix' on this outbound",
            ))  # fmt: skip
    return found


def _is_target(ruleset: Ruleset, name: str) -> bool:
    return ruleset.settings.default == name or any(rule.action.target == name for rule in ruleset.rules)
