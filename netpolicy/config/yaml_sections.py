"""YAML to sections and back: the predecessor's rules, and the other section types beside them.

Strict about types, as the predecessor was: a text is not a number and "yes" is not a truth
value. Knows no YAML syntax (yaml_reader.py does) and not what an option means.
"""

from __future__ import annotations

from typing import Any

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.node import Node
from netpolicy.config.schema import (
    ACTION,
    FLAG,
    MATCH,
    NUMBER,
    SECTION_TYPES,
    SECTIONS,
    WHEN,
    OptionSpec,
    SectionSpec,
    meaning,
    suggestion,
)
from netpolicy.config.source import Option, Section, SourceFile, spot
from netpolicy.config.value import FALSE, TRUE

MAX_SECTIONS = 100_000

RULE_GROUPS = (MATCH, WHEN, ACTION)
PLURALS = {spec.plural: spec for spec in SECTIONS.values()}


def read_yaml_source(text: str, file: str = "<text>", reader: str = "auto") -> SourceFile:
    """The sections of a YAML text, and everything that is wrong with its form."""
    from netpolicy.config.yaml_reader import read_yaml

    findings = Findings()
    root = read_yaml(text, file, findings, reader)
    if root is None:
        return SourceFile(file, (), findings.all)
    return SourceFile(file, sections_of(root, file, findings), findings.all)


def sections_of(root: Node, file: str, findings: Findings) -> tuple[Section, ...]:
    """The sections of a document."""
    if root.kind != "map":
        findings.error("NP003", Place(file, root.line, root.column), "missing field `rules`", "begin with `rules:`")
        return ()
    return _Reader(file, findings).document(root)


class _Reader:
    """Walks one document; sections in the order in which they stand."""

    def __init__(self, file: str, findings: Findings) -> None:
        self._file = file
        self._findings = findings

    def document(self, root: Node) -> tuple[Section, ...]:
        found: list[Section] = []
        for key, value in root.value:
            spec = PLURALS.get(key.text)
            if spec is None:
                meant = suggestion(key.text, tuple(sorted(PLURALS)))
                hint = f"did you mean {meant!r}?" if meant else "one of " + ", ".join(sorted(PLURALS))
                self._findings.error("NP102", self._place(key), f"unknown key {key.text[:64]!r}", hint, meant)
            elif spec.type == "netpolicy":
                found += self._settings(spec, key, value)
            else:
                found += self._list(spec, key, value)
        keys = [key.text for key, _ in root.value]
        if not any(key in PLURALS for key in keys):
            self._findings.error("NP003", self._place(root), "missing field `rules`", "a list of rules")
        return tuple(found)

    def _settings(self, spec: SectionSpec, key: Node, value: Node) -> list[Section]:
        if value.kind != "map":
            self._findings.error("NP105", self._place(value), "netpolicy must be a mapping of options")
            return []
        before = self._findings.errors
        options = tuple(self._options(spec, value, "main"))
        return [Section(spec.type, "main", False, key.line, options, key.column, self._findings.errors > before)]

    def _list(self, spec: SectionSpec, key: Node, value: Node) -> list[Section]:
        if value.kind == "null" or (value.kind == "list" and not value.value):
            code = "NP208" if spec.type == "rule" else "NP109"
            self._findings.error(code, self._place(key), f"{spec.plural} must not be empty")
            return []
        if value.kind != "list":
            self._findings.error("NP105", self._place(value), f"{spec.plural} must be a list")
            return []
        found = []
        for index, item in enumerate(value.value):
            if item.kind != "map":
                place = self._place(item, f"{spec.plural}[{index}]")
                self._findings.error("NP105", place, f"a {spec.type} must be a mapping")
                continue
            found.append(self._section(spec, item, f"{spec.plural}[{index}]"))
        return found

    def _section(self, spec: SectionSpec, item: Node, where: str) -> Section:
        before = self._findings.errors
        name = _child(item, "name")
        written = ""
        if name is not None and name.kind == "text":
            written = name.value.strip()
        elif name is not None and name.kind != "null":
            self._findings.error("NP105", self._place(name, where), f"name: {_shown(name)} is not a text", "quote it")
            written = where  # one finding is enough
        if spec.type == "rule":
            if _child(item, "priority") is None:
                hint = "a whole number, the highest wins"
                self._findings.error("NP105", self._place(item, written or where), "missing field `priority`", hint)
            options = self._rule_options(spec, item, written or where)
        else:
            options = self._options(spec, item, written or where, ("name",))
        at = name if name is not None and written else item
        broken = self._findings.errors > before
        return Section(spec.type, written, False, at.line, tuple(options), at.column, broken)

    def _rule_options(self, spec: SectionSpec, item: Node, where: str) -> list[Option]:
        options = []
        allowed = [one.word for one in spec.options.values() if not one.group]
        for key, value in item.value:
            if key.text in RULE_GROUPS:
                if value.kind == "map":
                    options += self._group(spec, value, key.text, where)
                elif value.kind != "null":
                    self._findings.error("NP105", self._place(value, where), f"{key.text} must be a mapping")
            elif key.text == "name":
                continue
            elif key.text in allowed:
                options += self._option(spec, key, value, where)
            else:
                self._unknown(key, where, "rule", (*allowed, "name", *RULE_GROUPS))
        return options

    def _group(self, spec: SectionSpec, group: Node, name: str, where: str) -> list[Option]:
        options = []
        members = [one for one in spec.options.values() if one.group == name]
        allowed = {one.word for one in members} | {one.name for one in members}
        allowed |= {alias for alias, real in spec.aliases.items() if spec.options[real] in members}
        for key, value in group.value:
            if key.text in allowed:
                options += self._option(spec, key, value, where)
            else:
                self._unknown(key, where, name, tuple(sorted(allowed)), value)
        return options

    def _options(self, spec: SectionSpec, item: Node, where: str, skip: tuple[str, ...] = ()) -> list[Option]:
        options = []
        for key, value in item.value:
            if key.text in skip:
                continue
            if key.text in spec.words and key.text != "name":
                options += self._option(spec, key, value, where)
            else:
                words = tuple(word for word in spec.words if word != "name")
                self._unknown(key, where, spec.type, words + skip)
        return options

    def _unknown(self, key: Node, where: str, what: str, words: tuple[str, ...], value: Node | None = None) -> None:
        first = value.value[0] if value is not None and value.kind == "list" and value.value else value
        hint, meant = meaning(key.text, words, () if first is None else (first.text,))
        text = f"unknown key {key.text[:64]!r} in {what}"
        self._findings.error("NP101", self._place(key, where), text, hint, meant)

    def _option(self, spec: SectionSpec, key: Node, value: Node, where: str) -> list[Option]:
        """The option, none for null, none after an error."""
        known = spec.option(key.text)
        assert known is not None
        if value.kind == "null" and (known.is_match or known.name in ("state", "disable")):
            text = f"{key.text} has no value: without it the rule would match more"
            self._findings.error("NP105", self._place(key, where), text, "write the value, or leave the key out")
            return []
        if value.kind == "null":
            return []
        if value.kind == "map":
            self._findings.error("NP105", self._place(value, where), f"{key.text}: a mapping instead of a value")
            return []
        if value.kind == "list" and not known.is_list:
            self._findings.error("NP105", self._place(value, where), f"{key.text} takes one value")
            return []
        items = value.value if value.kind == "list" else (value,)
        texts, spots = [], []
        for item in items:
            text = self._text(known, key, item, where)
            if text is None:
                return []
            texts.append(text)
            spots.append(spot(item.line, item.column + item.quoted))
        is_list = value.kind == "list"
        return [Option(known.name, tuple(texts), is_list, key.line, key.column, tuple(spots), key.text)]

    def _text(self, spec: OptionSpec, key: Node, item: Node, where: str) -> str | None:
        if item.kind in ("map", "list", "null"):
            self._findings.error("NP105", self._place(item, where), f"{key.text}: {item.kind} instead of a text")
            return None
        if spec.kind == FLAG:
            return self._flag(key, item, where)
        if spec.kind == NUMBER:
            return self._number(key, item, where)
        if spec.name == "block" and (item.kind != "text" or item.value in TRUE or item.value in FALSE):
            return self._flag(key, item, where)  # neither 1 nor "yes" is a truth value
        if item.kind == "boolean":
            return "true" if item.value else "false"
        return str(item.value) if item.kind == "text" else item.raw

    def _flag(self, key: Node, item: Node, where: str) -> str | None:
        if item.kind != "boolean":
            text = f"{key.text}: {_shown(item)} is not a truth value"
            self._findings.error("NP105", self._place(item, where), text, "write true or false, without quotes")
            return None
        return "1" if item.value else "0"

    def _number(self, key: Node, item: Node, where: str) -> str | None:
        if item.kind != "integer":
            text = f"{key.text}: {_shown(item)} is not a whole number"
            hint = "without quotes, without a point or leading 0"
            self._findings.error("NP105", self._place(item, where), text, hint)
            return None
        return str(item.value)

    def _place(self, node: Node, rule: str = "") -> Place:
        length = len(node.raw) if node.kind not in ("map", "list", "null") else 0
        return Place(self._file, node.line, node.column, rule, length)


def _child(item: Node, key: str) -> Node | None:
    for name, value in item.value:
        if name.text == key:
            return value  # type: ignore[no-any-return]
    return None


def _shown(node: Node) -> str:
    return repr(str(node.raw)[:64]) if node.kind not in ("map", "list") else f"a {node.kind}"


def to_plain(sections: tuple[Section, ...]) -> dict[str, Any]:
    """The sections as the plain objects that YAML holds, in canonical order."""
    document: dict[str, Any] = {}
    for type in SECTION_TYPES:
        found = [one for one in sections if one.type == type]
        spec = SECTIONS[type]
        if type == "netpolicy" and found:
            document[spec.plural] = _plain_options(spec, found[0])
        elif found:
            make = _plain_rule if type == "rule" else _plain_section
            document[spec.plural] = [make(spec, one) for one in found]
    return document


def _plain_section(spec: SectionSpec, section: Section) -> dict[str, Any]:
    return {"name": section.name, **_plain_options(spec, section)}


def _plain_options(spec: SectionSpec, section: Section) -> dict[str, Any]:
    return {spec.options[one.name].word: _plain_value(spec.options[one.name], one) for one in section.options}


def _plain_rule(spec: SectionSpec, section: Section) -> dict[str, Any]:
    """name, priority, match, when, disable, action: the predecessor's order."""
    values = {one.name: _plain_value(spec.options[one.name], one) for one in section.options}
    groups: dict[str, dict[str, Any]] = {group: {} for group in RULE_GROUPS}
    rule: dict[str, Any] = {"name": section.name}
    for option in spec.options.values():
        if option.name in values and option.group:
            groups[option.group][option.word] = values[option.name]
        elif option.name in values and option.name != "disable":
            rule[option.word] = values[option.name]
    rule[MATCH] = groups[MATCH]
    if groups[WHEN]:
        rule[WHEN] = groups[WHEN]
    if "disable" in values:
        rule["disable"] = values["disable"]
    rule[ACTION] = groups[ACTION]
    return rule


def _plain_value(spec: OptionSpec, option: Option) -> Any:
    """One value alone, several as a list; ports as the predecessor's comma list."""
    if spec.kind == FLAG or (spec.name == "block" and option.values[0] in TRUE):
        return option.values[0] in TRUE
    if spec.kind == NUMBER:
        return int(option.values[0])
    if spec.name in ("src_port", "dest_port"):
        joined = ",".join(option.values)
        return int(joined) if joined.isdecimal() else joined
    return option.values[0] if len(option.values) == 1 else list(option.values)
