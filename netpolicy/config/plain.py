"""Rules as plain objects (dicts, lists, texts, numbers): the predecessor's YAML, once parsed.

Turns each object into the section that UCI would have and lets the one rule reader do
the rest. Strict about types: a text is not a number and "yes" is not a truth value.
"""

import re
from typing import Any

from netpolicy.config.diagnostic import Diagnostic, Findings, Place
from netpolicy.config.rule import read_rule
from netpolicy.config.schema import RULE, SECTIONS, nearest
from netpolicy.config.uci_section import Option, Section
from netpolicy.core.model import Rule
from netpolicy.core.value import ValueProblem

MAX_RULES = 10_000

RULE_KEYS = ("name", "priority", "match", "when", "disable", "action", "enabled")
MATCH_KEYS = ("any", *(one.name for one in RULE.values() if one.is_match), *SECTIONS["rule"].aliases)
ACTION_KEYS = ("route", "switch_route", "block", "throttle", "log", "on_fail")
ACTION_TEXTS = ("route", "switch_route", "throttle", "on_fail")


def rules_from_plain(objects: Any, file: str = "<rules>") -> tuple[tuple[Rule, ...], tuple[Diagnostic, ...]]:
    """The good rules and everything that is wrong; places are `rules[n]`, counted from 0."""
    findings = Findings()
    if not isinstance(objects, list):
        findings.error("NP105", Place(file), "rules must be a list")
        return (), findings.all
    if not objects:
        findings.error("NP208", Place(file), "rules must not be empty")
    if len(objects) > MAX_RULES:
        findings.error("NP004", Place(file), f"{len(objects)} rules, at most {MAX_RULES} are possible")
        return (), findings.all
    rules: dict[str, Rule] = {}
    for index, given in enumerate(objects):
        rule = _rule(given, f"rules[{index}]", file, findings)
        if rule is not None and rule.name in rules:
            findings.error("NP107", Place(file, rule=rule.name), f"two rules are named {rule.title!r}")
        elif rule is not None:
            rules[rule.name] = rule
    return tuple(rules.values()), findings.all


def _rule(given: Any, where: str, file: str, findings: Findings) -> Rule | None:
    before = findings.errors
    if not isinstance(given, dict):
        findings.error("NP105", Place(file, rule=where), "a rule must be a mapping")
        return None
    title = _name(given.get("name"), where, file, findings)
    place = Place(file, rule=title or where)
    try:
        options = _options(given, place, findings)
    except ValueProblem as problem:
        findings.error("NP105", place, problem.text, problem.hint)
        return None
    if title and title != _identifier(title):
        options.append(Option("name", (title,), False))
    section = Section("rule", "", False, 0, tuple(options))
    rule = read_rule(section, _identifier(title) if title else where, file, findings)
    return rule if findings.errors == before else None


def _name(given: Any, where: str, file: str, findings: Findings) -> str:
    if isinstance(given, str) and given.strip():
        return given.strip()
    findings.error("NP106", Place(file, rule=where), "rule name is required")
    return ""


def _identifier(title: str) -> str:
    """The name that a section would have: other spellings allow any character in it."""
    return re.sub(r"[^A-Za-z0-9_]", "_", title)[:64]


def _options(given: dict[Any, Any], place: Place, findings: Findings) -> list[Option]:
    """The options of the section. Raises ValueProblem for a value of the wrong type."""
    _check_keys(given, RULE_KEYS, "rule", place, findings)
    if "priority" not in given:
        raise ValueProblem("missing field `priority`", "a whole number, the highest wins")
    options = [Option("priority", (_integer("priority", given["priority"]),), False)]
    if "enabled" in given:
        options.append(_flag("enabled", given["enabled"]))
    options += _match(_mapping(given, "match"), place, findings)
    when = _mapping(given, "when")
    _check_keys(when, ("state",), "when", place, findings)
    if when.get("state") is not None:
        options.append(_texts("state", when["state"]))
    if given.get("disable") is not None:
        options.append(_texts("disable", given["disable"]))
    return options + _action(_mapping(given, "action"), place, findings)


def _match(given: dict[Any, Any], place: Place, findings: Findings) -> list[Option]:
    _check_keys(given, MATCH_KEYS, "match", place, findings)
    options = []
    for key in MATCH_KEYS:
        value = given.get(key)
        if key == "any" and value is not None:
            options.append(_flag("any", value))
        elif value is not None:
            options.append(_texts(key, value))
    return options


def _action(given: dict[Any, Any], place: Place, findings: Findings) -> list[Option]:
    _check_keys(given, ACTION_KEYS, "action", place, findings)
    options = [Option(key, (_scalar(key, given[key]),), False) for key in ACTION_TEXTS if given.get(key) is not None]
    block = given.get("block")
    if isinstance(block, str) and block in ("drop", "reject"):
        options.append(Option("block", (block,), False))
    elif block is not None:
        options.append(_flag("block", block))
    if given.get("log") is not None:
        options.append(_flag("log", given["log"]))
    return options


def _check_keys(given: dict[Any, Any], known: tuple[str, ...], what: str, place: Place, findings: Findings) -> None:
    for key in given:
        if key not in known:
            findings.error("NP101", place, f"unknown key {key!r} in {what}", nearest(str(key), known))


def _mapping(given: dict[Any, Any], key: str) -> dict[Any, Any]:
    value = given.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueProblem(f"{key} must be a mapping")
    return value


def _flag(key: str, value: Any) -> Option:
    if not isinstance(value, bool):
        raise ValueProblem(f"{key}: {value!r} is not a truth value", "write true or false, without quotes")
    return Option(key, ("1" if value else "0",), False)


def _integer(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueProblem(f"{key}: {value!r} is not a whole number", "without quotes and without a point")
    return str(value)


def _scalar(key: str, value: Any) -> str:
    """A text; numbers and truth values become the text that they are written as."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueProblem(f"{key}: {type(value).__name__} instead of a text")


def _texts(key: str, value: Any) -> Option:
    if isinstance(value, list):
        return Option(key, tuple(_scalar(key, one) for one in value), True)
    return Option(key, (_scalar(key, value),), False)
