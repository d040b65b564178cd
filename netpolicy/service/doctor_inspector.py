"""The doctor about the inspector: how each device with clients is seen, and what costs or keeps it from more.

The checks are functions of facts: what the daemon says of itself, and two switches of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netpolicy.core.model import Ruleset
from netpolicy.service.doctor_dnsmasq import rule_with_names
from netpolicy.service.doctor_finding import INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import System

JIT = "/proc/sys/net/core/bpf_jit_enable"
ACCOUNTING = "/proc/sys/net/netfilter/nf_conntrack_acct"
BEST = {"auto": "ebpf", "ebpf": "ebpf", "packet": "packet"}  # by the setting

# What a client did a day ago says little about it.
RECENT_SECONDS = 86400

# What the inspector says where the `ingress` qdisc of another program keeps a clsact away.
INGRESS = "ingress"


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    checks = [jit(system.number(JIT)), accounting(system.number(ACCOUNTING))]
    if given.inspector is None:
        return checks
    checks.append(bypassed(given.inspector, given.ruleset))
    areas = (tiers, refused, taken_off, lost)
    return [*[one(given.inspector) for one in areas], *checks]


def tiers(inspector: Mapping[str, Any]) -> Finding:
    """ND971."""
    best = BEST.get(inspector.get("setting", ""))
    if best is None:
        return fine("ND971", f"option inspector is {inspector.get('setting')}")
    below = [one for one in _devices(inspector) if one["tier"] != best]
    if not below:
        return fine("ND971", ", ".join(f"{one['name']} by {one['way']}" for one in _devices(inspector)))
    told = [f"{one['name']} is seen by {one['tier']}: {one['reason']}" for one in below]
    return found("ND971", INFO, "; ".join(told))


def refused(inspector: Mapping[str, Any]) -> Finding:
    """ND972."""
    kept = [one["name"] for one in _devices(inspector) if INGRESS in one["reason"]]
    return found("ND972", INFO, ", ".join(kept), f"tc qdisc show dev {kept[0]}") if kept else fine("ND972")


def taken_off(inspector: Mapping[str, Any]) -> Finding:
    """ND977."""
    often = {one["name"]: one.get("taken_off", 0) for one in _devices(inspector)}
    told = [f"{name}, {'once' if count == 1 else f'{count} times'}" for name, count in often.items() if count]
    return found("ND977", INFO, "; ".join(told)) if told else fine("ND977")


def lost(inspector: Mapping[str, Any]) -> Finding:
    """ND975."""
    counters = inspector.get("counters", {})
    events, gone = counters.get("events", 0), counters.get("lost", 0) + counters.get("full", 0)
    begun, evicted = counters.get("begun", 0), counters.get("evicted", 0)
    told = f"{gone} lost, {events} taken; {evicted} of {begun} connections made place for newer ones"
    is_much = gone * 100 > events or evicted * 100 > begun
    return found("ND975", WARNING, told) if is_much else fine("ND975", told)


def bypassed(inspector: Mapping[str, Any], ruleset: Ruleset) -> Finding:
    """ND976."""
    clients: dict[str, set[str]] = {}
    for one in inspector.get("bypasses", ()):
        if one["age"] < RECENT_SECONDS:
            clients.setdefault(one["client"], set()).add(one["server"])
    if ruleset.settings.dns_guard or not clients:
        return fine("ND976", "option dns_guard refuses it" if ruleset.settings.dns_guard else "")
    told = "; ".join(f"{client} asks {', '.join(sorted(servers))}" for client, servers in sorted(clients.items())[:5])
    more = f"; and {len(clients) - 5} more" if len(clients) > 5 else ""
    rule = rule_with_names(ruleset)
    needs = f" (rule {rule} matches names)" if rule else ""
    return found("ND976", WARNING if rule else INFO, told + more + needs)


def jit(enabled: int | None) -> Finding:
    """ND973."""
    if enabled == 0:
        return found("ND973", INFO, f"{JIT} is 0", "sysctl -w net.core.bpf_jit_enable=1")
    return fine("ND973", "" if enabled else f"there is no {JIT}")


def accounting(enabled: int | None) -> Finding:
    """ND974."""
    if enabled == 0:
        return found("ND974", INFO, f"{ACCOUNTING} is 0", "sysctl -w net.netfilter.nf_conntrack_acct=1")
    return fine("ND974", "" if enabled else f"there is no {ACCOUNTING}")


def _devices(inspector: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(inspector.get("devices", ()))
