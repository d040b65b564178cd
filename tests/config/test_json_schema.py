"""The JSON Schema takes what the reader of YAML takes, and refuses what it refuses."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from netpolicy.config.diagnostic import Findings
from netpolicy.config.json_schema import json_schema, text
from netpolicy.config.node import plain
from netpolicy.config.schema import FLAG, MATCH, NUMBER, SECTIONS, OptionSpec
from netpolicy.config.spelling import YAML, format_of
from netpolicy.config.yaml_reader import read_yaml
from netpolicy.config.yaml_sections import sections_of, to_plain
from tests.config.rulesets import random_sections
from tests.repository.tree import ROOT, tracked

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
COMMITTED = ROOT / "editors/netpolicy.schema.json"

GOOD: dict[str, Any] = {
    "netpolicy": {"enabled": True, "mode": "observe", "table_base": 7000, "assert": "lan can wan", "ruleset": ["a"]},
    "outbounds": [
        {"name": "wan", "type": "interface", "interface": "wan", "masq": False},
        {"name": "vpn", "type": "table", "table": 100, "probe": ["ping:9.9.9.9"]},
    ],
    "schedules": [{"name": "evening", "days": ["mon-fri", "sun"], "from": "18:00", "to": "23:00"}],
    "throttles": [{"name": "slow", "down": "2mbit"}],
    "lists": [{"name": "video", "title": "Video", "entry": "example.com", "refresh": "1d"}],
    "rules": [
        {
            "name": "calls", "priority": 100, "match": {"sni": "*.zoom.us", "protocol": ["tcp", 17], "port": 443},
            "when": {"state": "NORMAL"}, "disable": ["FAILOVER"], "action": {"route": "wan", "log": True},
        },
        {"name": "older names", "priority": 1, "match": {"proto": 6, "dest_port": "80,443"}, "action": {"block": True}},
        {"name": "none", "priority": 0, "enabled": False, "match": {"any": True}, "when": None,
         "action": {"block": "reject", "on_fail": "next"}},
    ],
}  # fmt: skip

# Where in GOOD, and what stands there instead.
MISTAKES: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "an unknown top key": (("rule",), []),
    "an unknown setting": (("netpolicy", "fwmark"), "0xff"),
    "a name for the settings": (("netpolicy", "name"), "main"),
    "an unknown option": (("outbounds", 0, "device"), "wan"),
    "an unknown key of a rule": (("rules", 0, "sni"), "*.zoom.us"),
    "an unknown match": (("rules", 0, "match", "ports"), 443),
    "an action as a match": (("rules", 0, "match", "route"), "wan"),
    "an unknown key of when": (("rules", 0, "when", "states"), "NORMAL"),
    "a text for a truth value": (("netpolicy", "enabled"), "yes"),
    "a number for a truth value": (("rules", 0, "action", "log"), 1),
    "a text for a whole number": (("rules", 0, "priority"), "100"),
    "a point in a whole number": (("outbounds", 1, "table"), 100.5),
    "several values of one": (("rules", 0, "action", "route"), ["wan", "vpn"]),
    "a mapping for a value": (("rules", 0, "match", "sni"), {"a": "b"}),
    "no state in a condition": (("rules", 0, "when", "state"), None),
    "no value of a match": (("rules", 0, "match", "port"), None),
    "nothing in a list": (("schedules", 0, "days"), ["mon", None]),
    "a list in a list": (("schedules", 0, "days"), [["mon"]]),
    "a word that is no choice": (("netpolicy", "mode"), "dry"),
    "another way to block": (("rules", 1, "action", "block"), "yes"),
    "a number for a name": (("rules", 0, "name"), 5),
    "a text for a group": (("rules", 0, "match"), "any"),
    "a mapping for a list of sections": (("rules",), {"name": "calls"}),
    "a text for a rule": (("rules", 0), "calls"),
    "a list for the settings": (("netpolicy",), [{}]),
    "rules that are not there": (("rules",), None),
    "no rules in the list": (("rules",), []),
}


def without_priority() -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    del document["rules"][0]["priority"]
    return document


def with_mistake(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document: Any = copy.deepcopy(GOOD)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document  # type: ignore[no-any-return]


def schema_takes(document: Any) -> bool:
    return bool(VALIDATOR.is_valid(document))


def reader_complaints(document: Any) -> list[str]:
    """What the reader says of the form. JSON is YAML."""
    findings = Findings()
    root = read_yaml(json.dumps(document), "<text>", findings, "builtin")
    assert root is not None, findings.all
    sections_of(root, "<text>", findings)
    return [item.text() for item in findings.all if item.severity == "error"]


def every_option() -> list[tuple[str, OptionSpec]]:
    return [(type, option) for type, spec in SECTIONS.items() for option in spec.options.values()]


def test_the_committed_file_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text(), "make generated"


def test_it_is_a_schema_of_its_dialect() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_what_is_written_correctly_is_taken() -> None:
    assert [error.message for error in VALIDATOR.iter_errors(GOOD)] == []
    assert reader_complaints(GOOD) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_by_the_schema_and_by_the_reader(mistake: str) -> None:
    document = with_mistake(*MISTAKES[mistake])
    assert not schema_takes(document)
    # The word that is no choice has the right form; what it means is looked at later.
    assert reader_complaints(document) or mistake == "a word that is no choice"


@pytest.mark.parametrize("value", [17, 1.5, True])
def test_what_yaml_does_not_call_a_text_is_taken_as_one(value: Any) -> None:
    for path in (("rules", 0, "match", "protocol"), ("rules", 0, "action", "route"), ("outbounds", 0, "title")):
        assert schema_takes(with_mistake(path, value))
        assert not reader_complaints(with_mistake(path, value))


def test_a_rule_needs_its_priority() -> None:
    assert not schema_takes(without_priority())
    assert reader_complaints(without_priority())


def test_a_document_without_any_section_is_refused() -> None:
    assert not schema_takes({})
    assert reader_complaints({})


@pytest.mark.parametrize(
    "name", [name for name in tracked() if name.startswith("examples/") and format_of(name) == YAML]
)
def test_an_example_is_taken(name: str) -> None:
    findings = Findings()
    root = read_yaml(Path(ROOT, name).read_text(encoding="utf-8"), name, findings)
    assert root is not None
    assert [error.message for error in VALIDATOR.iter_errors(plain(root))] == []


def test_random_rule_sets_as_they_are_printed_are_taken() -> None:
    for seed in range(150):
        document = to_plain(random_sections(random.Random(seed)))
        errors = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]
        assert errors == [] or document == {}, f"seed {seed}: {errors}"


def properties_of(type: str, option: OptionSpec) -> dict[str, Any]:
    top = SCHEMA["properties"][SECTIONS[type].plural]
    inside = top["properties"] if type == "netpolicy" else top["items"]["properties"]
    return dict(inside[option.group]["properties"] if option.group else inside)


@pytest.mark.parametrize(
    ("type", "option"), [pytest.param(*one, id=f"{one[0]}.{one[1].name}") for one in every_option()]
)
def test_an_option_has_its_meaning_choices_and_examples(type: str, option: OptionSpec) -> None:
    found = properties_of(type, option)[option.word]
    assert option.meaning in found["description"]
    assert not found.get("deprecated")
    validator = Draft202012Validator(found)
    for word in (*option.choices, *([] if option.kind != "text" else option.examples)):
        assert validator.is_valid(word) or (option.name, word) == ("block", "1")  # true in YAML
        option.read(word)
    if option.choices:
        enum = found["anyOf"][1]["items"]["enum"] if option.is_list else found["enum"]
        assert [word for word in enum if word is not None] == list(option.choices)
        assert not validator.is_valid("something else")
    if "default" in found:
        assert validator.is_valid(found["default"])
    assert validator.is_valid([]) == option.is_list


def test_every_way_to_block_has_a_meaning() -> None:
    (option,) = (option for _, option in every_option() if option.name == "block")
    values = properties_of("rule", option)["block"]["enum"]
    assert {option.read({True: "1", False: "0"}.get(word, word)) for word in values if word is not None} == {
        "drop", "reject", "",
    }  # fmt: skip


def test_other_names_are_deprecated() -> None:
    match = SCHEMA["properties"]["rules"]["items"]["properties"][MATCH]["properties"]
    assert {name for name, found in match.items() if found.get("deprecated")} == {"proto", "dest_port"}


WRONG_KEYS = ("name", "title", "route", "protcol", "rules", "state", "match", "priority", "port", "dest_port", "")
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 7, -1, 2.5, "text", "", "NORMAL", [], ["a"], [1, "b"], [None], [True], [[]], {}, {"a": 1}]
)


def values(option: OptionSpec) -> st.SearchStrategy[Any]:
    """Values of an option, the good ones and those of another kind; never a wrong word where there is a choice."""
    if option.name == "block":  # 1 and 0 without quotes are taken by the reader, and no editor should propose them
        return st.sampled_from([True, False, "drop", "reject", None, "yes", "1", {}, ["drop"], [True]])
    if option.choices:
        return st.sampled_from([*option.choices, None, {}, [], list(option.choices)])
    if option.kind == FLAG:
        return st.booleans() | ODD
    if option.kind == NUMBER:
        return st.integers(0, 10000) | ODD
    good = st.sampled_from(option.examples or ("text",))
    return good | st.lists(good, max_size=3) | st.integers(0, 9) | st.booleans() | ODD


def mappings(
    options: list[OptionSpec], further: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Some options by one of their names, seldom a key that is not theirs."""
    pairs = [st.tuples(st.sampled_from(sorted({one.name, one.word})), values(one)) for one in options]
    pairs += [st.tuples(st.just(key), value) for key, value in further.items()]
    wrong = st.lists(st.tuples(st.sampled_from(WRONG_KEYS), ODD), max_size=1)
    return st.tuples(st.lists(st.one_of(pairs), max_size=4), st.booleans(), wrong).map(
        lambda drawn: dict(drawn[0] + (drawn[2] if drawn[1] else []))
    )


def sections(type: str) -> st.SearchStrategy[Any]:
    options = list(SECTIONS[type].options.values())
    if type == "netpolicy":
        return mappings(options, {})
    further: dict[str, st.SearchStrategy[Any]] = {"name": st.just("x") | ODD}
    if type == "rule":
        for group in ("match", "when", "action"):
            further[group] = mappings([one for one in options if one.group == group], {}) | ODD
        rules = mappings([one for one in options if not one.group and one.name != "name"], further)
        return st.lists(st.tuples(rules, st.booleans()).map(with_priority), max_size=2) | ODD
    return st.lists(mappings([one for one in options if one.name != "name"], further), max_size=2) | ODD


def with_priority(drawn: tuple[dict[str, Any], bool]) -> dict[str, Any]:
    return {"priority": 5, **drawn[0]} if drawn[1] else drawn[0]


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """One or two sections: more would hardly ever be right in all of them."""
    # Made once: for each example they would cost more than what is tested.
    made = {type: sections(type).map(lambda value, plural=SECTIONS[type].plural: {plural: value}) for type in SECTIONS}
    return st.sampled_from(sorted(SECTIONS)).flatmap(made.__getitem__)


@settings(max_examples=400, deadline=None)
@given(documents())
def test_the_schema_and_the_reader_agree_about_the_form(document: dict[str, Any]) -> None:
    complaints = reader_complaints(document)
    assert schema_takes(document) == (not complaints), complaints
