"""One decision on paper: the facts somebody typed in, the `decide` document and its text out.

Pure: never reads a file, a clock or the network; the lines are as the given World says. Used
by `netpolicyd --dry-run`, by `netpolicy decide` and by the `decide` method of the bus, so that
all of them answer alike. The keys of the document are a public contract.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from netpolicy.config.nearest import closest
from netpolicy.core.calendar import MIDNIGHT, active, parse_days, parse_time
from netpolicy.core.evaluate import NOTHING_KNOWN, Decision, World, decide, first_unmet, gate, unmet_text
from netpolicy.core.facts import ALIASES, FACT_PARSERS, Facts, parse_facts
from netpolicy.core.field import LEARNED_FIELDS, MEASURED_FIELDS
from netpolicy.core.health import NORMAL, STATES
from netpolicy.core.model import Rule, Ruleset
from netpolicy.core.value import ValueProblem

CERTAIN = "certain"
AFTER_FIRST_CONNECTION = "after first connection"
FACTS_MISSING = "depends on facts that were not given"

STATE = "state"  # stands among the facts, but is not one of the connection
AT = "at"  # so does the time at which the connection begins, for schedules

DOWN = "down"  # and outbounds that are taken for down, to try what on_fail does

# A weekday and a minute of the day; Monday is 0.
Moment = tuple[int, int]

# Not known when the first packet comes: a name has to be learned, a line measured.
LATE_FIELDS = (*LEARNED_FIELDS, *MEASURED_FIELDS)

# A reason is about 60 bytes and the bus carries 1 MiB; the last ones tell what decided.
WHY_LIMIT = 500
WHY_SHOWN = 20  # in text, where a person reads them


def question(given: Mapping[str, object], in_force: str = NORMAL) -> tuple[Facts, str]:
    """The facts and the state that are asked about; the state `in_force` where none is given.

    Values are texts, or numbers as JSON has them. Raises ValueProblem, naming the fact.
    """
    texts = dict(_texts(given))
    state = texts.pop(STATE, None)
    texts.pop(AT, None)
    texts.pop(DOWN, None)
    for name in texts:
        _check_fact(name)
    return parse_facts(texts), in_force if state is None else parse_state(state)


def _check_fact(name: str) -> None:
    """Raises ValueProblem for an unknown fact, with the one that was probably meant."""
    known = (*FACT_PARSERS, *ALIASES, STATE, AT, DOWN)
    if name not in known:
        meant = closest(name, known)
        hint = f"did you mean {meant!r}?" if meant else "one of " + ", ".join(sorted(known))
        raise ValueProblem(f"unknown fact {name!r}", hint)


def supposed(given: Mapping[str, object], ruleset: Ruleset, world: World) -> World:
    """The world, with the outbounds of `down=a,b` down as well. Raises ValueProblem for one that does not exist."""
    names = tuple(name.strip() for name in str(given.get(DOWN, "")).split(",") if name.strip())
    for name in names:
        if ruleset.outbound(name) is None:
            known = tuple(one.name for one in ruleset.outbounds)
            raise ValueProblem(f"{DOWN}: {name!r} is not an outbound", "one of " + ", ".join(known[:20]))
    return World((*world.down, *names), world.ingress, world.local, world.order, world.order6) if names else world


def moment(given: Mapping[str, object], now: Moment) -> Moment:
    """The time that is asked about: `at=18:30`, `at=fri,18:30` or `at=2026-11-20T18:30`; else now.

    Raises ValueProblem.
    """
    text = str(given.get(AT, "")).strip().lower()
    if not text:
        return now
    import datetime  # not in memory until somebody writes a date

    try:
        date, _, clock = text.rpartition("t") if text[:1].isdecimal() else text.replace(" ", ",").rpartition(",")
        minute = parse_time(clock) % MIDNIGHT
        if not date:
            return now[0], minute
        if date[:1].isdecimal():
            return datetime.date.fromisoformat(date).weekday(), minute
        days = parse_days((date,))
        if len(days) == 1:
            return days[0], minute
    except ValueError:
        pass
    except ValueProblem as problem:
        raise ValueProblem(f"{AT}: {problem.text}", problem.hint) from None
    raise ValueProblem(f"{AT}: {text[:64]!r} is not a time", "18:30, fri,18:30 or 2026-11-20T18:30")


def local_moment(now: time.struct_time) -> Moment:
    """The moment of a local time."""
    return now.tm_wday, now.tm_hour * 60 + now.tm_min


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


def document(
    ruleset: Ruleset, facts: Facts, state: str, world: World = NOTHING_KNOWN, at: Moment | None = None
) -> dict[str, Any]:
    """The `decide` document: which rule this connection hits, where it goes, why, and why not the others."""
    if facts.schedule is None and at is not None:
        facts.schedule = active(ruleset.schedules, *at)
    made = decide(ruleset, facts, state, world)
    missing = _missing(ruleset, made, facts, state)
    return {
        "rule": made.rule.name if made.rule else None,
        "action": made.action or None,
        "log": made.log,
        "outbound": made.outbound,
        "state": made.state,
        "confidence": FACTS_MISSING if missing else confidence(made),
        "why": _why(made) + _not_done(ruleset, made) + missing,
        "runners_up": _runners_up(ruleset, made, facts, state),
    }


def _missing(ruleset: Ruleset, made: Decision, facts: Facts, state: str) -> list[str]:
    """A sentence with the facts that nobody gave and by which a rule of higher rank could win; none: nothing.

    What the first packet does not show is no such fact: the kernel does not know it then either.
    """
    if made.is_exempt:
        return []
    found: list[str] = []
    for rule in ruleset.deciding:
        if rule is made.rule:
            break
        if not gate(rule, state):
            found += [name for name in _wanting(rule, facts) if name not in found]
    return ["not given, and could make another rule win: " + ", ".join(found)] if found else []


def _wanting(rule: Rule, facts: Facts) -> list[str]:
    """The facts of the first packet by which alone the rule could match; none where one that is known forbids it."""
    wanting: list[str] = []
    for field in rule.fields:
        fact = getattr(facts, field.name)
        if not field.matches(fact):
            if fact is not None or field.name in LATE_FIELDS:
                return []
            wanting.append(field.name)
    return wanting


def _not_done(ruleset: Ruleset, made: Decision) -> list[str]:
    """What of the winner the kernel does not do yet: the answer is that of the rules, not of the packets."""
    from netpolicy.service.standing import not_enforced, partly  # the planner is not in memory for a dry run

    if made.rule is None:
        return []
    later = not_enforced(ruleset, made.rule)
    why = f"not enforced yet: {later}" if later else partly(ruleset, made.rule)
    return [f"{made.rule.name}: {why}"] if why else []


def _runners_up(ruleset: Ruleset, made: Decision, facts: Facts, state: str) -> list[dict[str, Any]]:
    """The other rules in rank order: the first field that failed, or that it matches and ranks lower."""
    if made.is_exempt:
        return []
    found = []
    for rule in ruleset.deciding:
        if rule is made.rule:
            continue
        gated = gate(rule, state)
        unmet = None if gated else first_unmet(rule, facts)
        if gated:
            reason = gated
        elif unmet is not None:
            reason = unmet_text(unmet, facts)
        else:
            reason = _why_it_lost(rule, made.rule)
        failed = unmet.name if unmet is not None else None
        found.append({"rule": rule.name, "priority": rule.priority, "failed": failed, "reason": reason})
        if len(found) == WHY_LIMIT:
            break
    return found


def _why_it_lost(rule: Rule, winner: Rule | None) -> str:
    if winner is None:
        return "matches, but does not decide: see why"
    if rule.priority > winner.priority:
        return "matches, but does not decide: see why"
    if rule.priority < winner.priority:
        return f"matches too; its priority {rule.priority} is lower than {winner.priority}"
    if rule.specificity != winner.specificity:
        return f"matches too; it has {rule.specificity} match fields, {winner.name} has {winner.specificity}"
    return f"matches too; {winner.name} stands before it"


def confidence(made: Decision) -> str:
    """Whether the first packet already shows everything that the rule asks for."""
    rule = made.rule
    if rule is None or all(field.name not in LATE_FIELDS for field in rule.fields):
        return CERTAIN
    return AFTER_FIRST_CONNECTION


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
    lines += [f"  {reason}" for reason in why[-WHY_SHOWN:]]
    also = [one for one in found.get("runners_up") or () if one["failed"] is None and "too" in one["reason"]]
    if also:
        lines.append("also matching, without effect:")
    lines += [f"  {one['rule']}: {one['reason']}" for one in also[:WHY_SHOWN]]
    return "\n".join(lines)


def _context(given: Mapping[str, object]) -> str:
    return (
        " ".join(f"{name}={value}" for name, value in given.items() if name not in (STATE, AT, DOWN))
        or "nothing is known"
    )


def _action(found: Mapping[str, Any]) -> str:
    return (found.get("action") or "none") + (", log" if found.get("log") else "")
