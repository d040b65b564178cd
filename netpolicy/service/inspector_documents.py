"""What the doors say of what an inspector saw: of a connection, of an outbound, and of the inspector itself.

Reads what is kept ready; never changes anything. What is not known is null, with its reason beside it. The keys are a
public contract (docs/interfaces.md).
"""

from __future__ import annotations

from typing import Any

from netpolicy.core.facts import Facts
from netpolicy.flows.model import Flow
from netpolicy.flows.quality import Quality
from netpolicy.service.inspector import Inspector
from netpolicy.service.inspector_feed import NOT_SEEN, Feed, packed
from netpolicy.service.inspector_options import CONNTRACK, OFF

NOT_MEASURED, NOT_BY_THIS_TIER = "not_measured", "not_by_this_tier"


def line(feed: Feed, flow: Flow, now: float) -> dict[str, Any]:
    """What a connection's line says beside what conntrack knows."""
    name, source, confidence, why = feed.name_of(flow, now)
    seen = feed.of(flow)
    is_told = seen is not None and bool(seen.state)
    unknown = {} if name else {"name": why}
    if seen is None or not seen.rtt_us:
        unknown["rtt_ms"] = NOT_MEASURED if is_told else NOT_SEEN
    if not is_told:
        unknown["retransmits"] = unknown["resets"] = NOT_SEEN
    elif seen is not None and not seen.packets:
        unknown["retransmits"] = NOT_BY_THIS_TIER
    return {
        "name": name or None,
        "name_source": source or None,
        "name_confidence": confidence or None,
        "rtt_ms": round(seen.rtt_us / 1000, 3) if seen is not None and seen.rtt_us else None,
        "retransmits": seen.retransmits if seen is not None and "retransmits" not in unknown else None,
        "resets": seen.resets if seen is not None and "resets" not in unknown else None,
        "dest_quality": _quality(feed.remotes.of(packed(flow.destination), now)),
        "unknown": unknown,
    }


def quality(feed: Feed, outbound: str, now: float) -> dict[str, Any]:
    """How connections by an outbound go: milliseconds, and shares."""
    return _quality(feed.outbounds.of(outbound, now))


def complete(feed: Feed, facts: Facts, flow: Flow, now: float) -> None:
    """Adds to the facts of an open connection what was learned and measured since its first packet."""
    seen = feed.of(flow)
    facts.domain = feed.name_of(flow, now)[0] or None
    facts.sni = seen.name or None if seen is not None else None  # what it said itself, not what its address is called
    if seen is not None and seen.rtt_us:
        facts.rtt_ms = seen.rtt_us / 1000
    remote = feed.remotes.of(packed(flow.destination), now)
    facts.error_rate, facts.loss = remote.errors, remote.loss


def status(inspector: Inspector, table_tier: str, table_reason: str) -> dict[str, Any]:
    """The `inspector` part of `status`; `table_…` is what reads the table of connections."""
    tier, reason = summary(inspector, table_tier, table_reason)
    return {
        "tier": tier,
        "reason": reason,
        "setting": inspector.options.setting,
        "inspect": list(inspector.options.names),
        "devices": [
            {"name": one.name, "tier": one.tier, "way": one.way, "reason": one.reason, "taken_off": one.taken_off}
            for one in inspector.tiers.devices.values()
        ],
        "not_watched": [{"name": one.name, "reason": one.why} for one in inspector.devices if not one.wanted],
        "counters": inspector.counters(),
        "unknown": dict(inspector.feed.reasons),
    }


def bypasses(feed: Feed, now: float) -> list[dict[str, Any]]:
    """Which clients ask name servers elsewhere, hidden in TLS; the latest first."""
    found = reversed(feed.bypasses.all())
    return [
        {"client": one.client, "by": one.by, "server": one.server, "age": round(max(now - one.when, 0.0), 1)}
        for one in found
    ]


def summary(inspector: Inspector, table_tier: str, table_reason: str) -> tuple[str, str]:
    """The best tier in use and why not a better one; what reads the table where no device is watched."""
    devices = inspector.tiers.devices.values()
    reason = next((one.reason for one in devices if one.reason), "")
    used = {one.tier for one in devices if one.tier != CONNTRACK}
    for tier in inspector.options.tiers:
        if tier in used:
            return tier, reason
    if not reason:
        reason = "option inspector is off" if inspector.options.setting == OFF else "no device with clients is up"
    return table_tier, "; ".join(part for part in (reason, table_reason) if part)


def _quality(found: Quality) -> dict[str, Any]:
    return {
        "rtt_ms": _rounded(found.rtt_ms, 2),
        "loss": _rounded(found.loss, 5),
        "errors": _rounded(found.errors, 4),
        "resets": _rounded(found.resets, 4),
        "connections": round(found.connections, 1),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
