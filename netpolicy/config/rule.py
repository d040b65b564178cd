"""Make one Rule of one section, whichever front end wrote it.

Reports everything that is wrong with it; gives no rule rather than a weaker one. Never
looks at other rules or at outbounds: that is assemble.py. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.nearest import closest
from netpolicy.config.schema import MATCH_OPTIONS, SECTIONS, nearest, suggestion
from netpolicy.config.section import Reading, read_section
from netpolicy.config.source import Section
from netpolicy.config.value import FALSE
from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Field
from netpolicy.core.model import BLOCK, FALLBACK, ROUTE, ROUTES, SWITCH_ROUTE, THROTTLE, Action, Rule
from netpolicy.core.named_list import NO_LISTS, Lists, UnknownList
from netpolicy.core.packet import split_sign
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

    FieldParser = Callable[[str, tuple[str, ...], Lists], Field]

# So many errors may come with a suggestion: each is compared with every name there is.
SUGGESTING = 100

OF_LISTS = ("src_addr", "dest_addr", "domain", "sni")  # fields whose values may be lists

BLOCKING_WORDS = ("block", "drop", "reject")

PRIMARY_ACTIONS = (ROUTE, SWITCH_ROUTE, FALLBACK, THROTTLE, BLOCK)


def read_rule(
    section: Section,
    name: str,
    file: str,
    findings: Findings,
    parse: "FieldParser" = parse_field,
    lists: Lists = NO_LISTS,
) -> Rule | None:
    """The rule, or None after an error was reported. `parse` may share the fields of rules."""
    place = Place(file, section.line, section.column if section.line else 0, name, len(section.name))
    reading = read_section(section, SECTIONS["rule"], place, findings)
    fields = _fields(reading, parse, lists, section.broken)
    _check_states(reading)
    action = _action(reading, section.broken)
    if not reading.ok or action is None:
        return None
    return Rule(
        name,
        reading.get("priority"),
        fields,
        action,
        reading.get("state", ()),
        reading.get("disable", ()),
        reading.get("enabled"),
        reading.get("name", ""),
        f"{file}:{section.line}",
    )


def is_protective(section: Section, blocking: tuple[str, ...] = (BLOCK,)) -> bool:
    """Whether losing this section lets pass what it meant to stop; `blocking` are outbounds that block.

    Judged by the texts, because the section may be broken; in doubt it is protective: also when the
    front end dropped a part of it, and for an option or value that is nearly a word for blocking.
    """
    enabled = section.option("enabled")
    if enabled is not None and enabled.values[-1:] and enabled.values[-1].lower() in FALSE:
        return False
    if section.broken:
        return True
    return any(_may_block(option.name, option.values, blocking) for option in section.options)


def _may_block(name: str, values: tuple[str, ...], blocking: tuple[str, ...]) -> bool:
    known = SECTIONS["rule"].option(name)
    meant = name if known is not None else suggestion(name, SECTIONS["rule"].words)
    if meant == BLOCK:
        return any(value.lower() not in FALSE for value in values)
    if known is not None and meant not in ROUTES and meant != "on_fail":
        return False
    words = [word.lower() for value in values for word in value.replace(",", " ").split()]
    return any(word in BLOCKING_WORDS or word in blocking or closest(word, BLOCKING_WORDS) for word in words)


def _fields(reading: Reading, parse: "FieldParser", lists: Lists, is_broken: bool) -> tuple[Field, ...]:
    fields = []
    written = [name for name in MATCH_OPTIONS if name in reading.written]
    for name in written:
        values = reading.values.get(name)
        if values is None:
            continue  # reported already
        try:
            fields.append(parse(name, values, lists))
        except UnknownList as problem:
            _report_list(reading, name, problem, lists)
        except ValueProblem as problem:
            _report_value(reading, name, problem, _culprit(name, values, parse, lists), parse, lists)
    if reading.values.get("any"):
        if written:
            text = "the other match fields have no effect beside any"
            reading.findings.warning("NP109", reading.at("any"), text, "remove any, or the fields")
        return ()
    if not written and reading.ok and not is_broken:
        reading.error("NP201", "match must contain at least one field or any: true", "write `option any '1'`")
    return tuple(fields)


def _report_list(reading: Reading, name: str, problem: UnknownList, lists: Lists) -> None:
    reading.ok = False
    place = reading.at(name, "@" + problem.name)
    if problem.is_broken:
        reading.findings.error("NP212", place, problem.text, "correct the list first")
        return
    hint = nearest(problem.name, lists.names) if reading.findings.errors < SUGGESTING else ""
    reading.findings.error("NP212", place, problem.text, hint or "define it as a list")


def _report_value(
    reading: Reading, name: str, problem: ValueProblem, value: str, parse: "FieldParser", lists: Lists
) -> None:
    is_negated, plain = split_sign(value)
    meant = ("!@" if is_negated else "@") + plain if name in OF_LISTS and plain in lists.names else ""
    reading.problem(name, problem, value, lambda part: parse(name, (part,), lists), meant)


def _culprit(name: str, values: tuple[str, ...], parse: "FieldParser", lists: Lists) -> str:
    """The value that is refused alone too, for its place; "" when they are wrong together."""
    if len(values) == 1:
        return values[0]
    for value in values:
        try:
            parse(name, (value,), lists)
        except ValueProblem:
            return value
    return ""


def _check_states(reading: Reading) -> None:
    for name in ("state", "disable"):
        if reading.values.get(name) == ():
            hint = "name the states in which the rule is to count, or remove the line"
            reading.error("NP203", "state list must not be empty", hint, name)


def _action(reading: Reading, is_broken: bool) -> Action | None:
    """The action; of a section that the front end broke nobody can say what is missing in it."""
    values = reading.values
    given = [name for name in PRIMARY_ACTIONS if values.get(name)]
    refused = [name for name in PRIMARY_ACTIONS if name in reading.written and name not in values]
    if refused:
        return None  # reported already
    if not given and is_broken:
        return None
    if not given:
        reading.error("NP202", "action must include one primary action", "one of " + ", ".join(PRIMARY_ACTIONS))
        return None
    kind = given[0]
    alone = [name for name in given if name != THROTTLE] if kind in ROUTES else given  # it goes beside a route
    if len(alone) > 1:
        text = "action must not include multiple primary actions: " + ", ".join(given)
        reading.error("NP202", text, "keep one of them", given[-1])
        return None
    if "on_fail" in values and kind not in ROUTES:
        reading.error("NP109", f"on_fail belongs to a route, not to {kind}", "remove it", "on_fail")
        return None
    return _made(reading, kind)


def _made(reading: Reading, kind: str) -> Action:
    values = reading.values
    targets = values[kind] if kind == FALLBACK else ()
    said = (
        kind,
        targets[0] if targets else values[kind],
        reading.get("log"),
        reading.get("on_fail"),
        targets,
        values.get(THROTTLE, "") if kind in ROUTES else "",
        reading.get("notify"),
    )
    found = _actions.get(said)
    if found is None:
        if len(_actions) >= MOST_ACTIONS:
            _actions.clear()
        found = _actions[said] = Action(*said)
    return found


# Actions never change, and thousands of rules say the same few.
_actions: "dict[tuple[object, ...], Action]" = {}
MOST_ACTIONS = 256
