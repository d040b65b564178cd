"""Rules that never win, because rules above them match everything that they match, and blocks that seldom do.

Names the rules that win instead. Exact (analysis_cover.py); says openly when there were too many
rules to compare. Reads a finished rule set, changes nothing.
"""

from __future__ import annotations

from netpolicy.config.analysis_cover import Budget, Covers, Exhausted
from netpolicy.config.analysis_place import Places
from netpolicy.config.analysis_shape import Shape
from netpolicy.config.diagnostic import Findings
from netpolicy.core.field_kind import Words
from netpolicy.core.model import Rule, Ruleset

NAMED = 3  # of several rules that cover one


def check_shadowed(
    ruleset: Ruleset, shapes: tuple[Shape, ...], places: Places, findings: Findings, budget: Budget | None = None
) -> None:
    """Report every rule that can never win. `shapes`: of the ranked rules. `budget`: the work that may be done."""
    budget = budget or Budget()
    covers = Covers(shapes, budget)
    given_up: set[int] = set()  # ranks
    never: set[int] = set()
    for shape in shapes:
        try:
            above = covers.of(shape)
        except Exhausted:
            given_up.add(shape.rank)
            continue
        if above:
            never.add(shape.rank)
            _report(ruleset, shape, above, places, findings)
    for shape in shapes:  # when all is done that matters more
        if shape.rank in never or not _is_to_count_always(ruleset, shape.rule):
            continue
        try:
            route = covers.while_up(shape)
        except Exhausted:
            given_up.add(shape.rank)
            continue
        if route is not None and _but_family(route.rule) != _but_family(shape.rule):
            _report_waiting(shape.rule, route, places, findings)
    if given_up:
        text = f"{len(given_up)} rules were not compared with all rules above them: that would take too long"
        first = shapes[0].rule
        findings.info("NP402", places.rule(first), text, "fewer rules with lists of values are easier to judge")


def _report(ruleset: Ruleset, shape: Shape, above: tuple[Shape, ...], places: Places, findings: Findings) -> None:
    rule = shape.rule
    if len(above) == 1 and _says_the_same(rule, above[0].rule):
        text = f"the rule repeats {_named(above[0].rule)}: same match, same states, same action"
        findings.warning("NP403", places.rule(rule), text, "remove one of them")
        return
    names = ", ".join(_named(one.rule) for one in above[:NAMED])
    if len(above) > NAMED:
        names += f" and {len(above) - NAMED} more"
    together = "matches" if len(above) == 1 else "together match"
    rank = "ranks" if len(above) == 1 else "rank"
    text = f"the rule never wins: {names} {rank} above it and {together} all that it matches"
    if ruleset.blocks(rule) and not all(ruleset.blocks(one.rule) for one in above):
        text += "; what it is to block passes"
    findings.warning("NP401", places.rule(rule), text, _advice(ruleset, rule, above[0].rule))


def _is_to_count_always(ruleset: Ruleset, rule: Rule) -> bool:
    """Whether it blocks in every state: who says in which may mean those in which the line is down."""
    return ruleset.blocks(rule) and not rule.when and not rule.disable


def _report_waiting(rule: Rule, route: Shape, places: Places, findings: Findings) -> None:
    """A block of the same as a route above it is a kill switch in two rules; one of a part of it is rarely meant so."""
    lines = " and ".join([repr(name) for name in route.targets])
    verb = "is" if len(route.targets) == 1 else "are"
    text = f"the block counts only while {lines} {verb} down: {_named(route.rule)} ranks above it and matches all of it"
    hint = f"give it a priority above {route.rule.priority} if it is to count always"
    findings.info("NP411", places.rule(rule), text, hint)


def _named(rule: Rule) -> str:
    return f"{rule.name!r} ({rule.position}, priority {rule.priority})"


def _says_the_same(rule: Rule, other: Rule) -> bool:
    return _key(rule) == _key(other)


def _but_family(rule: Rule) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The addresses of a rule mostly say its family: written or not, it is the same protection."""
    return tuple([one for one in _fields(rule) if one[0] != "family"])


def _fields(rule: Rule) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((field.name, tuple(sorted(field.values))) for field in rule.fields)


def _key(rule: Rule) -> tuple[object, ...]:
    action = rule.action
    return (
        _fields(rule), sorted(set(rule.when)), sorted(set(rule.disable)),
        action.text, action.targets, action.on_fail, action.log, action.notify,
    )  # fmt: skip


def _advice(ruleset: Ruleset, rule: Rule, above: Rule) -> str:
    if rule.priority < above.priority:
        advice = f"give it a priority above {above.priority}, or remove it"
    else:
        advice = f"give it a priority above {above.priority}, or put it before {above.name!r}, or remove it"
    came_in = rule.field("src_iface")
    if ruleset.blocks(rule) and not ruleset.blocks(above) and isinstance(came_in, Words) and came_in.wanted:
        names = ", ".join(str(name) for name in came_in.wanted)
        advice += f" (it would win only if {names} were the device of an outbound)"
    return advice
