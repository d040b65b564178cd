"""One decision on paper: the facts somebody typed in, the `decide` document and its text out.

Pure: never reads a file, a clock or the network; the lines are as the given World says. Used
by `netpolicyd --dry-run`, by `netpolicy decide` and by the `decide` method of the bus, so that
all of them answer alike. The keys of the document are a public contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netpolicy.core.evaluate import NOTHING_KNOWN, Decision, World, decide
from netpolicy.core.health import NORMAL, STATES
from netpolicy.core.model import ALIASES, Facts, Ruleset, parse_facts
from netpolicy.core.value import ValueProblem

CERTAIN = "certain"
AFTER_FIRST_CONNECTION = "after first connection"

STATE = "state"  # stands among the facts, but is not one of the connection

# A reason is about 60 bytes and the bus carries 1 MiB; the last ones tell what decided.
WHY_LIMIT = 500
WHY_SHOWN = 20  # in text, where a person reads them


def question(given: Mapping[str, object], in_force: str = NORMAL) -> tuple[Facts, str]:
    """The facts and the state that are asked about; the state `in_force` where none is given.

    Values are texts, or numbers as JSON has them. Raises ValueProblem, naming the fact.
    """
    texts = dict(_texts(given))
    state = texts.pop(STATE, None)
    return parse_facts(texts), in_force if state is None else parse_state(state)


def _texts(given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueProblem(f"{name}: a text or a number is needed")
        if not f"{name}{value}".isprintable():  # also the bytes of argv that are no text
            raise ValueProblem(f"{name!a}: a character in it cannot be printed")
        twin = seen.setdefault(ALIASES.get(name, name), name)
        if twin != name:
            raise ValueProblem(f"{twin} and {name} are two names of one fact", "give one of them")
        yield name, str(value)


def parse_state(text: str) -> str:
    """A health state in any case. Raises ValueProblem."""
    state = text.strip().upper()
    if state not in STATES:
        raise ValueProblem(f"invalid state value: {text.strip()}", "one of " + ", ".join(STATES))
    return state


def document(ruleset: Ruleset, facts: Facts, state: str, world: World = NOTHING_KNOWN) -> dict[str, Any]:
    """The `decide` document: which rule this connection hits, where it goes, and why."""
    made = decide(ruleset, facts, state, world)
    return {
        "rule": made.rule.name if made.rule else None,
        "action": made.action or None,
        "log": made.log,
        "outbound": made.outbound,
        "state": made.state,
        "confidence": confidence(made),
        "why": _why(made),
    }


def confidence(made: Decision) -> str:
    """Whether the first packet already shows everything that the rule asks for."""
    return CERTAIN if made.rule is None or made.rule.is_packet_only else AFTER_FIRST_CONNECTION


def _why(made: Decision) -> list[str]:
    why = list(made.why)
    if len(why) > WHY_LIMIT:
        left_out = len(why) - WHY_LIMIT
        why[:left_out] = [f"({left_out} rules of higher rank do not decide, not listed)"]
    if confidence(made) != CERTAIN and made.rule is not None:
        why.append(f"{made.rule.name}: asks for what the first packet does not show")
    return why


def text(found: Mapping[str, Any], given: Mapping[str, object], heading: str = "decision") -> str:
    """A `decide` document for people; its first three lines are the predecessor's."""
    rule = found.get("rule")
    lines = [
        f"{heading}: state={found.get('state')} " + (f"rule={rule}" if rule else "no match"),
        "context: " + _context(given),
        "action: " + _action(found),
        f"outbound: {found.get('outbound')}",
        f"confidence: {found.get('confidence')}",
    ]
    why = list(found.get("why") or ())
    if why:
        lines.append("why:")
    if len(why) > WHY_SHOWN:
        lines.append(f"  ({len(why) - WHY_SHOWN} more before these, all with --json)")
    return "\n".join([*lines, *(f"  {reason}" for reason in why[-WHY_SHOWN:])])


def _context(given: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in given.items() if name != STATE) or "nothing is known"


def _action(found: Mapping[str, Any]) -> str:
    return (found.get("action") or "none") + (", log" if found.get("log") else "")
