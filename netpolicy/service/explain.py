"""Why one open connection is where it is: what was known of it, what the rules say, what the kernel did.

Asks the same functions as `connections` and `decide`, so that all three answer alike. Never changes
anything. The keys of the document are a public contract (docs/interfaces.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from netpolicy.core.facts import Facts
from netpolicy.core.field import FIELD_ORDER, format_fact
from netpolicy.flows.model import Flow
from netpolicy.flows.table import FlowTable
from netpolicy.service.anonymous import OPEN, Shade
from netpolicy.service.connections import Explained, Judgement
from netpolicy.service.engine import Engine
from netpolicy.service.flow_text import Wanted

Document = dict[str, Any]

HIDDEN = "(not shown)"
SCHEDULE = "schedule"  # of the clock, not of the connection

# In words, what `agrees` means.
AGREES = "the kernel did what the rules say"
DIFFERS = "the kernel did something else than the rules say now"
CANNOT_TELL = "whether the kernel did what the rules say cannot be told"


def find(table: FlowTable, wanted: Wanted, shade: Shade = OPEN) -> tuple[Flow | None, int]:
    """The newest open connection that is meant, by what is shown of it, and how many are. O(connections)."""
    first, count = None, 0
    for flow in table:
        if wanted.matches(flow, shade.address):
            first = first or flow
            count += 1
    return first, count


def document(
    engine: Engine,
    found: Explained,
    count: int,
    decision: Document,
    counters: Mapping[str, tuple[int, int]],
    shade: Shade = OPEN,
) -> Document:
    """The `explain` document. `decision` is what `decide` says of the same facts; `count` connections were meant."""
    hits = counters.get(found.rule) if found.rule else None
    facts = shown(found.facts)
    in_full = {text: shade.facts(facts).get(name, HIDDEN) for name, text in facts.items()}
    told: Document = _replaced(decision, {text: one for text, one in in_full.items() if one != text})
    return {
        "connection": found.line,
        "matches": count,
        "facts": shade.facts(facts),
        "hidden": list(found.hidden),
        "decision": told,
        "kernel": {
            "class": found.line["class"],
            "outbound": found.line["outbound"],
            "mark": f"{found.flow.mark:#010x}",
            "classified": found.is_ours,
            "offloaded": found.flow.is_offloaded,
            "rule": found.rule,
            "hits": hits[0] if hits else None,
            "bytes": hits[1] if hits else None,
        },
        "agrees": found.agrees,
        "verdict": _verdict(found.agrees),
        "reason": _reason(engine, found),
        "judged": _judged(found.first),
    }


def shown(facts: Facts) -> dict[str, str]:
    """The facts that are known, as `decide` takes them."""
    known = [(name, getattr(facts, name)) for name in FIELD_ORDER if name != SCHEDULE]
    return {name: format_fact(name, fact) for name, fact in known if fact is not None}


def _replaced(value: Any, replacements: Mapping[str, str]) -> Any:
    """The same with other words in its texts: reasons name the facts that they are about."""
    if isinstance(value, str):
        for text, instead in replacements.items():
            value = value.replace(text, instead)
    elif isinstance(value, dict) and replacements:
        return {name: _replaced(one, replacements) for name, one in value.items()}
    elif isinstance(value, list) and replacements:
        return [_replaced(one, replacements) for one in value]
    return value


def _verdict(agrees: bool | None) -> str:
    if agrees is None:
        return CANNOT_TELL
    return AGREES if agrees else DIFFERS


def _reason(engine: Engine, found: Explained) -> str:
    """What may be behind a verdict that is not plain."""
    if engine.enforced is None:
        return "nothing is enforced now"
    if not found.is_ours:
        return "no rule has seen it: it is older than our table, or its packets have somebody else's mark"
    if found.agrees:
        return ""
    if found.agrees is not None:
        return "it began under other rules (a route is for new connections), or something else set its mark"
    if found.facts.src_iface is None:
        return "conntrack does not keep by which line it came in"
    return f"conntrack does not keep its {' and its '.join(found.hidden)}"


def _judged(first: Judgement | None) -> Document | None:
    """What was found when it was looked at first, mostly at its beginning."""
    if first is None:
        return None
    age = max(time.time() - first.at, 0.0)
    return {"time": round(first.at, 3), "age": round(age, 1), "rule": first.rule, "agrees": first.agrees}
