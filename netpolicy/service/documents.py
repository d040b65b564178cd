"""What the doors show: `status`, `rules`, `outbounds`, `logs`, `plan` as plain documents.

Reads what the engine keeps ready; never changes anything and never blocks. The keys are a
public contract (docs/interfaces.md): other people's scripts rely on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from netpolicy import __version__
from netpolicy.core.evaluate import outcome
from netpolicy.core.model import Outbound, Rule
from netpolicy.dataplane.kernel import Counted
from netpolicy.dataplane.state import IPV4, IPV6
from netpolicy.outbounds.lines import LineState
from netpolicy.service import throttles
from netpolicy.service.engine import Engine
from netpolicy.service.left_out import left_out
from netpolicy.service.standing import ENFORCED
from netpolicy.service.usage import NOTHING_KNOWN, Usage
from netpolicy.service.warnings import Warning_

Document = dict[str, Any]

LOG_LIMIT = 500
# A bus message is at most 1 MiB (UBUS_MAX_MSGLEN): a page ends before that, however long its texts are.
RULE_LIMIT = 1000
RULE_BYTES = 768 << 10
RULE_FRAME_BYTES = 400  # keys, numbers and headers of one rule
MATCH_CHARACTERS = 300  # a rule may list thousands of addresses
WARNING_LIMIT = 50
THROTTLE_LIMIT = 100

# In force for so many days without one connection: then a rule is shown as unused.
UNUSED_DAYS = 30

QualityOf = Callable[[str], Document | None]


def _unknown(_: str) -> None:
    """Nobody looks at connections."""


def status(engine: Engine, inspector: Mapping[str, Any], quality: QualityOf = _unknown) -> Document:
    """The whole picture in one look."""
    return {
        "version": __version__,
        "mode": engine.effective_mode,
        "enabled": engine.settings.enabled,
        "state": engine.state,
        "outbounds": outbounds(engine, quality)["outbounds"],
        "rules": {
            "total": len(engine.ruleset.rules),
            "active": len(engine.enforced.policy.entries) if engine.enforced else 0,
            "skipped": _skipped(engine),
        },
        "pending": None,
        "inspector": dict(inspector),
        "warnings": [_warning(warning) for warning in _warnings(engine)[:WARNING_LIMIT]],
        "config": {"file": engine.places.config, "error": engine.config_error or None},
        "kernel": {
            "in_sync": engine.in_force.in_sync,
            "revision": engine.in_force.revision,
            "rehearsal": engine.kernel.rehearsal,
            "waiting": len(engine.in_force.pending),
            "error": engine.in_force.error or None,
        },
    }


def _skipped(engine: Engine) -> list[Document]:
    return [dict(one.as_dict()) for one in left_out(engine.loaded)]


def _warnings(engine: Engine) -> list[Warning_]:
    found = list(engine.warnings)
    if engine.config_error:
        found.insert(0, Warning_("NP900", f"the configuration on disk is not in force: {engine.config_error}",
                                 "correct it and reload; until then the previous one stays"))  # fmt: skip
    found += engine.list_warnings()
    if engine.drift.is_there:
        found.insert(0, Warning_("NP906", "others changed what is ours in the kernel, and it is left so",
                                 "netpolicy drift shows it, netpolicy drift --heal puts it right"))  # fmt: skip
    for diagnostic in engine.loaded.diagnostics if engine.loaded else ():
        if diagnostic.severity in ("error", "warning"):
            found.append(Warning_(diagnostic.code, diagnostic.text().splitlines()[0], diagnostic.hint))
    return found


def _warning(warning: Warning_) -> Document:
    return {"code": warning.code, "message": warning.message, "hint": warning.hint}


def outbounds(engine: Engine, quality: QualityOf = _unknown) -> Document:
    """Every outbound with its health and its place in the kernel; how its connections go, where somebody looks."""
    states = {state.name: state for state in engine.states}
    found = [_outbound(engine, one, states.get(one.name)) for one in engine.ruleset.outbounds]
    return {"outbounds": [{**one, "quality": quality(one["name"])} for one in found]}


def _usable(engine: Engine, state: LineState | None) -> tuple[bool, str]:
    """Whether it carries, and why; a group as its members do."""
    if state is None:
        return False, "not looked at yet"
    ways = engine.lines.carriers(state.name)
    if ways is None:
        return state.up, state.reason
    told: dict[str, list[str]] = {}
    for family, lines in ways.items():
        if lines:
            told.setdefault(", ".join(lines), []).append(f"IPv{family}")
    return bool(told), "; ".join(
        f"{' and '.join(of)} by {by}" for by, of in told.items()
    ) or "none of its members is up"


def _outbound(engine: Engine, outbound: Outbound, state: LineState | None) -> Document:
    number = engine.numbers.get(outbound.name, 0)
    up, reason = _usable(engine, state)
    weight, members = engine.lines.by_hand.said(outbound)
    table = outbound.table or (engine.settings.table_base + number if number else 0)
    return {
        "name": outbound.name,
        "title": outbound.title,
        "type": outbound.type,
        "up": up,
        "reason": reason,
        "device": state.device if state else "",
        "gateway": state.gateway(IPV4) if state else "",
        "gateway6": state.gateway(IPV6) if state else "",
        "families": [hop.family for hop in state.hops] if state else [],
        "class": number,
        "table": table,
        "weight": weight,
        "members": list(members),
        "health": engine.lines.document(outbound.name) if state else None,
    }


def rules(
    engine: Engine,
    counters: Mapping[str, tuple[int, int]],
    limit: int = RULE_LIMIT,
    offset: int = 0,
    usage: Usage | None = None,
    unused_days: int = UNUSED_DAYS,
    held: Mapping[str, Counted] = MappingProxyType({}),
) -> Document:
    """A page of the rules, in file order, with what each did. It may be shorter than `limit`: `total` says how many."""
    now = time.time()
    found: list[Document] = []
    standing = engine.compiled.standing if engine.compiled else None
    room = RULE_BYTES
    start = max(offset, 0)
    for position, rule in enumerate(engine.ruleset.rules[start : start + min(max(limit, 0), RULE_LIMIT)], start):
        why = "not enforced: the service is switched off" if standing is None else standing.get(rule.name, "")
        one = _rule(engine, rule, why, counters)
        use = usage.of(position, rule) if usage is not None else NOTHING_KNOWN
        one["last_hit"] = _seconds(use.last_hit)
        one["in_force_since"] = _seconds(use.in_force_since)
        one["unused"] = use.is_unused(now, unused_days)
        texts = [value for value in one.values() if isinstance(value, str)]
        room -= RULE_FRAME_BYTES + sum(len(text.encode(errors="replace")) for text in texts)
        if room < 0 and found:
            break
        found.append(one)
    return {
        "total": len(engine.ruleset.rules),
        "unused_days": unused_days,
        "rules": found,
        "throttles": throttles.document(engine.ruleset.throttles[:THROTTLE_LIMIT], engine.ways, held),
    }


def _seconds(time: float | None) -> int | None:
    return None if time is None else int(time)


def _cut(text: str) -> str:
    return text if len(text) <= MATCH_CHARACTERS else text[: MATCH_CHARACTERS - 1] + "…"


def _rule(engine: Engine, rule: Rule, standing: str, counters: Mapping[str, tuple[int, int]]) -> Document:
    compiled = engine.compiled
    packets, size = counters.get(rule.name, (0, 0))
    return {
        "name": rule.name,
        "title": rule.title,
        "priority": rule.priority,
        "enabled": rule.enabled,
        "active": standing == ENFORCED and engine.enforced is not None,
        "match": _cut(rule.match_text),
        "action": rule.action.text,
        "on_fail": rule.action.on_fail,
        "outbound": outcome(engine.ruleset, rule, compiled.world) if compiled else "",
        "hits": packets,
        "bytes": size,
        "enforced": standing if engine.effective_mode == "enforce" else "observe: nothing is enforced",
        "log": rule.action.log,
    }


def logs(engine: Engine, since: int, limit: int, level: str) -> Document:
    """The newest entries after number `since`, oldest first."""
    entries = engine.log.since(since, min(max(limit, 0), LOG_LIMIT), level)
    return {"entries": [entry.as_dict() for entry in entries]}
