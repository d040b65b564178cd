"""What the owner should know though nothing failed: collisions, lines that are down, answers that get lost.

Reads plan, lines and host settings; never changes anything. Codes are stable (docs/operations.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netpolicy.core.model import Ruleset
from netpolicy.dataplane.conflicts import Conflict
from netpolicy.dataplane.host import STRICT, reverse_path_filter
from netpolicy.dataplane.state import IPV6
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


def _strict(device: str) -> Warning_:
    return Warning_(
        "NP904",
        f"answers that come in by {device} are dropped: rp_filter is strict",
        f"sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{device}.rp_filter=2",
    )


def _untranslated(ruleset: Ruleset, states: tuple[LineState, ...]) -> list[Warning_]:
    """With two IPv6 lines a connection may leave by the one with the address of the other."""
    six = [state for state in states if any(hop.family == IPV6 for hop in state.hops)]
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
