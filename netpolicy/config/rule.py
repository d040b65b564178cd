"""Make one Rule of one section, whichever front end wrote it.

Reports everything that is wrong with it; gives no rule rather than a weaker one. Never
looks at other rules or at outbounds: that is load.py.
"""

from collections.abc import Callable

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.lint import check_rule
from netpolicy.config.schema import MATCH_OPTIONS, SECTIONS
from netpolicy.config.section import Reading, read_section
from netpolicy.config.uci_section import Section
from netpolicy.config.value import FALSE
from netpolicy.core.field import Field, parse_field
from netpolicy.core.model import BLOCK, Action, Rule
from netpolicy.core.value import ValueProblem

FieldParser = Callable[[str, tuple[str, ...]], Field]

PRIMARY_ACTIONS = ("route", "switch_route", "throttle", "block")
ROUTES = ("route", "switch_route")


def read_rule(
    section: Section, name: str, file: str, findings: Findings, parse: FieldParser = parse_field
) -> Rule | None:
    """The rule, or None after an error was reported. `parse` may share the fields of rules."""
    place = Place(file, section.line, 1 if section.line else 0, name)
    reading = read_section(section, SECTIONS["rule"], place, findings)
    fields = _fields(reading, parse)
    _check_states(reading)
    action = _action(reading)
    if not reading.ok or action is None:
        return None
    values = reading.values
    rule = Rule(
        name,
        values.get("priority", 0),
        fields,
        action,
        values.get("state", ()),
        values.get("disable", ()),
        values.get("enabled", True),
        values.get("name", ""),
        f"{file}:{section.line}",
    )
    check_rule(rule, place, findings)
    return rule


def is_protective(section: Section, blocking: frozenset[str] = frozenset((BLOCK,))) -> bool:
    """Whether losing this section lets pass what it meant to stop; `blocking` are outbounds that block.

    Judged by the texts, because the section may be broken; in doubt it is protective.
    """
    enabled = section.option("enabled")
    if enabled is not None and enabled.values[-1:] and enabled.values[-1] in FALSE:
        return False
    block = section.option("block")
    if block is not None and any(value not in FALSE for value in block.values):
        return True
    named = [option.values for option in section.options if option.name in (*ROUTES, "on_fail")]
    return any(value in blocking for values in named for value in values)


def _fields(reading: Reading, parse: FieldParser) -> tuple[Field, ...]:
    fields = []
    written = [name for name in MATCH_OPTIONS if name in reading.written]
    for name in written:
        values = reading.values.get(name)
        if values is None:
            continue  # reported already
        try:
            fields.append(parse(name, values))
        except ValueProblem as problem:
            reading.problem(name, problem, values)
    if reading.values.get("any"):
        if written:
            text = "the other match fields have no effect beside any"
            reading.findings.warning("NP109", reading.at("any"), text, "remove any, or the fields")
        return ()
    if not written and reading.ok:
        reading.error("NP201", "match must contain at least one field or any: true", "write `option any '1'`")
    return tuple(fields)


def _check_states(reading: Reading) -> None:
    for name in ("state", "disable"):
        if reading.values.get(name) == ():
            reading.error("NP203", "state list must not be empty", option=name)


def _action(reading: Reading) -> Action | None:
    values = reading.values
    given = [name for name in PRIMARY_ACTIONS if values.get(name)]
    refused = [name for name in PRIMARY_ACTIONS if name in reading.written and name not in values]
    if refused:
        return None  # reported already
    if not given:
        reading.error("NP202", "action must include one primary action", "one of " + ", ".join(PRIMARY_ACTIONS))
        return None
    if len(given) > 1:
        text = "action must not include multiple primary actions: " + ", ".join(given)
        reading.error("NP202", text, "keep one of them", given[-1])
        return None
    kind = given[0]
    if "on_fail" in values and kind not in ROUTES:
        reading.error("NP109", f"on_fail belongs to a route, not to {kind}", "remove it", "on_fail")
        return None
    return Action(kind, values[kind], values.get("log", False), values.get("on_fail", "next"))
