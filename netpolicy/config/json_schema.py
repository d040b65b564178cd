"""The JSON Schema of the YAML spelling, for editors that check and complete while somebody types.

Says what yaml_sections.py takes: keys, kinds of values, words to choose from. Never says more than
that: names, ranges and what options mean together are lint's. Made of the table in schema.py.
"""

from __future__ import annotations

import json
from typing import Any

from netpolicy.config.schema import ACTION, FLAG, MATCH, NUMBER, SECTION_TYPES, SECTIONS, WHEN, OptionSpec, SectionSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"

GROUPS = {
    MATCH: "what a connection must be like; all fields must match",
    WHEN: "when the rule counts",
    ACTION: "what happens to a connection that matches",
}

# `proto: 6` and `days: on` are texts to the reader, whatever YAML calls them.
TEXT_TYPES = ("string", "number", "boolean")
SECTION_NAME = {"description": "the name of the section", "type": ["string", "null"]}

# A rule that says one of them and no value would match more than it says.
NEVER_NULL = ("state", "disable")

# What YAML writes where UCI has 1 and 0.
BLOCK_VALUES = (True, False, "drop", "reject")


def json_schema() -> dict[str, Any]:
    """The schema as plain objects, keys in canonical order. An absent value (`key:`) is taken, as in YAML's reader."""
    return {
        "$schema": DIALECT,
        "title": "NetPolicy rules",
        "description": "Rules, outbounds and settings of NetPolicy in YAML. Generated: make generated",
        **_object({SECTIONS[type].plural: _section(SECTIONS[type]) for type in SECTION_TYPES}),
        "minProperties": 1,
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """A mapping of these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _section(spec: SectionSpec) -> dict[str, Any]:
    """The value of a top key: one mapping for the settings, a list of them for the rest."""
    if spec.type == "netpolicy":
        return {"description": spec.meaning, **_object(_options(spec, list(spec.options.values())))}
    item = _rule(spec) if spec.type == "rule" else _named(spec)
    return {"description": f"a list, each is {spec.meaning}", "type": "array", "minItems": 1, "items": item}


def _named(spec: SectionSpec) -> dict[str, Any]:
    return _object({"name": SECTION_NAME, **_options(spec, list(spec.options.values()))})


def _rule(spec: SectionSpec) -> dict[str, Any]:
    """Some options in their groups, the others beside them, in the order of canonical text."""
    alone = {option.word: _option(option) for option in spec.options.values() if not option.group}
    disable = alone.pop("disable")
    properties = {"name": SECTION_NAME, **alone, MATCH: _group(spec, MATCH), WHEN: _group(spec, WHEN)}
    properties["disable"] = disable
    properties[ACTION] = _group(spec, ACTION)
    return {**_object(properties), "required": ["priority"]}


def _group(spec: SectionSpec, group: str) -> dict[str, Any]:
    members = [option for option in spec.options.values() if option.group == group]
    found = {"description": GROUPS[group], **_object(_options(spec, members))}
    found["type"] = ["object", "null"]
    return found


def _options(spec: SectionSpec, members: list[OptionSpec]) -> dict[str, Any]:
    """Members by their word in YAML, then their other names."""
    found = {option.word: _option(option) for option in members}
    for alias in sorted(spec.aliases):
        option = spec.options[spec.aliases[alias]]
        # `name` is the title of a section in UCI, and the section's own name in YAML.
        for name in (alias, option.name):
            if option in members and name not in found and name != "name":
                found[name] = _deprecated(option)
    return found


def _deprecated(option: OptionSpec) -> dict[str, Any]:
    reason = f"the same as {option.word}, which formatting writes"
    return {"description": reason, "deprecated": True, "deprecationMessage": reason, **_values(option)}


def _option(option: OptionSpec) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _meaning(option), **_values(option)}
    if option.default:
        found["default"] = _default(option)
    if option.examples and not option.choices and option.name != "block":
        found["examples"] = list(option.examples)
    return found


def _meaning(option: OptionSpec) -> str:
    return option.meaning + (f" (type {', '.join(option.types)})" if option.types else "")


def _default(option: OptionSpec) -> Any:
    if option.kind == FLAG:
        return option.default == "1"
    return int(option.default) if option.kind == NUMBER else option.default


def _values(option: OptionSpec) -> dict[str, Any]:
    """One value; where the option is a list, one or several. Null is as good as leaving out what may be left out."""
    one = _value(option)
    none = [] if option.is_match or option.name in NEVER_NULL else [None]
    null = ["null"] if none else []
    if not option.is_list:
        return {"enum": [*one["enum"], *none]} if "enum" in one else {"type": [*one["type"], *null]}
    if "enum" in one:
        return {"anyOf": [{"enum": [*one["enum"], *none]}, {"type": "array", "items": one}]}
    # `items` says nothing about a value that is no array.
    item = {**one, "examples": list(option.examples)} if option.examples else one
    return {"type": [*one["type"], *null, "array"], "items": item}


def _value(option: OptionSpec) -> dict[str, Any]:
    if option.name == "block":
        return {"enum": list(BLOCK_VALUES)}
    if option.choices:
        return {"enum": list(option.choices)}
    if option.kind == FLAG:
        return {"type": ["boolean"]}
    return {"type": ["integer"] if option.kind == NUMBER else list(TEXT_TYPES)}


def text() -> str:
    """The schema as the file in editors/ holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
