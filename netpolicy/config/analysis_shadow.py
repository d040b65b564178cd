"""Rules that never win, because rules above them match everything that they match.

Names the rules that win instead. Exact (analysis_cover.py); says openly when there were too many
rules to compare. Reads a finished rule set, changes nothing.
"""

from __future__ import annotations

from netpolicy.config.analysis_cover import Budget, Covers, Exhausted
from netpolicy.config.analysis_place import Places
from netpolicy.config.analysis_shape import Shape
from netpolicy.config.diagnostic import Findings
from netpolicy.core.field import Words
from netpolicy.core.model import Rule, Ruleset

NAMED = 3  # of several rules that cover one


def check_shadowed(
    ruleset: Ruleset, shapes: tuple[Shape, ...], places: Places, findings: Findings, budget: Budget | None = None
) -> None:
    """Report every rule that can never win. `shapes`: of the ranked rules. `budget`: the work that may be done."""
    budget = budget or Budget()
    covers = Covers(shapes, budget)
    given_up = 0
    for shape in shapes:
        if budget.is_gone:
            given_up += 1
            continue
        try:
            above = covers.of(shape)
        except Exhausted:
            given_up += 1
            continue
        if above:
            _report(ruleset, shape, above, places, findings)
    if given_up:
        text = f"{given_up} rules were not compared with all rules above them: that would take too long"
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


def _named(rule: Rule) -> str:
    return f"{rule.name!r} ({rule.position}, priority {rule.priority})"


def _says_the_same(rule: Rule, other: Rule) -> bool:
    return _key(rule) == _key(other)


def _key(rule: Rule) -> tuple[object, ...]:
    fields = tuple((field.name, tuple(sorted(field.values))) for field in rule.fields)
    action = rule.action
    return (
        fields, sorted(set(rule.when)), sorted(set(rule.disable)),
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
