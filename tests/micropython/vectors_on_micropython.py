"""Every `evaluate` and `state_machine` vector, decided here: a line for each, its id and "" or what is wrong.

The rules are made of the plain objects directly: no front end takes part. Written in the dialect.
The first argument is the file with the vectors.
"""

import json
import sys

from netpolicy.core.evaluate import decide
from netpolicy.core.facts import ALIASES, parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.health import step
from netpolicy.core.model import BLOCK, ROUTE, SWITCH_ROUTE, THROTTLE, Action, Rule, Ruleset
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def states(value: "Any") -> "tuple[str, ...]":
    return (value,) if isinstance(value, str) else tuple(value)


def rule(plain: "dict[str, Any]") -> Rule:
    match = dict(plain["match"])
    fields = []
    if not match.pop("any", False):
        fields = [parse_field(ALIASES.get(name, name), (str(match[name]).strip(),)) for name in sorted(match)]
    written = plain["action"]
    kinds = [kind for kind in (ROUTE, SWITCH_ROUTE, THROTTLE, BLOCK) if written.get(kind)]
    target = "drop" if kinds[0] == BLOCK else written[kinds[0]]
    return Rule(
        plain["name"],
        plain["priority"],
        tuple(fields),
        Action(kinds[0], target, written.get("log", False)),
        states(plain.get("when", {}).get("state", ())),
        states(plain.get("disable", ())),
    )


def decided(vector: "dict[str, Any]") -> str:
    expect = vector["expect"]
    try:
        rules = Ruleset(tuple([rule(plain) for plain in vector["rules"]]))
    except ValueProblem as problem:
        return "" if expect.get("lint_error") else problem.text
    if expect.get("lint_error"):
        return "was not refused"
    context = vector["context"]
    found = decide(rules, parse_facts({name: str(context[name]) for name in context}), vector["state"])
    if found.rule is None or expect["rule"] is None:
        return "" if found.rule is expect["rule"] else f"no rule of {found.why}"
    said = [found.rule.name, found.action, found.log]
    wanted = [expect[key] for key in ("rule", "action", "log")]
    return "" if said == wanted else f"{said} instead of {wanted}"


def walked(vector: "dict[str, Any]") -> str:
    state = vector["start"]
    seen = []
    for latency_ms, error_rate in vector["samples_latency_ms_error_rate"]:
        state = step(state, latency_ms, error_rate)
        seen.append(state)
    return "" if seen == vector["expect"]["states"] else f"went through {seen}"


def main() -> None:
    with open(sys.argv[1]) as file:
        vectors = json.load(file)
    for section, check in (("evaluate", decided), ("state_machine", walked)):
        for vector in vectors[section]:
            print(vector["id"] + " " + check(vector))


main()
