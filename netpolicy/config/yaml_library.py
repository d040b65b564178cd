"""Read the YAML subset of docs/yaml.md with PyYAML's parser.

PyYAML finds the structure and the texts; types, limits and what is left out of YAML are ours, so that both
readers mean the same. Its loader, resolver and constructor are never used, no alias is ever followed.
What libyaml 0.2.5 and PyYAML 6.0 do: tests/config/test_yaml_contract.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from netpolicy.config.diagnostic import Findings
from netpolicy.config.node import Node
from netpolicy.config.yaml_cursor import Cursor
from netpolicy.config.yaml_scalar import (
    YamlFault,
    check_value,
    flow_node,
    plain_node,
    start_fault,
    tab_fault,
)
from netpolicy.config.yaml_tree import Tree

# Between two values there is nothing but blanks, comments and the marks of the structure.
EASY_GAP = re.compile(r"[-:,\[\]{} \n]*")
COMMENT = re.compile(r"(?<=[ \n])#[^\n]*")
COLON = re.compile(r"( *):")

# The first characters of what PyYAML stumbles over, if our own words for it are better.
OURS = frozenset("*&!|>%@`\t")


def load_module() -> ModuleType | None:
    """The `yaml` module of PyYAML, or None where it is not installed (or is another package of that name)."""
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    return yaml if hasattr(yaml, "SafeLoader") and hasattr(yaml, "YAMLError") else None


def read_library(module: Any, text: str, file: str, findings: Findings, in_c: bool = True) -> Node | None:
    """The tree of a clean text (yaml_gate.py); None after reporting the first thing that is wrong.

    `module` is from load_module(). libyaml does the parsing where PyYAML has it, unless told otherwise.
    """
    tree = Tree(file, findings)
    base = getattr(module, "CSafeLoader", module.SafeLoader) if in_c else module.SafeLoader
    events = _Events(module, text, tree)
    try:
        events.read(base)
        return tree.result()
    except module.YAMLError as problem:
        tree.report(_translated(problem, text, events.flow > 0))
    except YamlFault as fault:
        tree.report(fault)
    except (ValueError, OverflowError):  # PyYAML's own scanner: an escape beyond Unicode
        tree.report(YamlFault(0, 0, "an escape that is no character", "\\U has at most 0010ffff"))
    return None


class _Events:
    """PyYAML's events, one after the other. `end` is the offset behind the last value, `flow` the open brackets."""

    def __init__(self, module: Any, text: str, tree: Tree) -> None:
        self.text = text
        self.tree = tree
        self.end = 0
        self.flow = 0
        self.documents = 0
        self.handlers: dict[Any, Callable[[Any], None]] = {
            module.ScalarEvent: self._scalar,
            module.MappingStartEvent: self._start,
            module.SequenceStartEvent: self._start,
            module.MappingEndEvent: self._stop,
            module.SequenceEndEvent: self._stop,
            module.AliasEvent: self._alias,
            module.DocumentStartEvent: self._document,
            module.DocumentEndEvent: self._document_end,
            module.StreamStartEvent: lambda event: None,
            module.StreamEndEvent: lambda event: None,
        }

    def read(self, loader: Any) -> None:
        """All of them. Raises YamlFault and what PyYAML raises."""
        parser, handlers = loader(self.text), self.handlers
        try:
            while parser.check_event():
                event = parser.get_event()
                handlers[type(event)](event)
        finally:
            parser.dispose()
        self._check_gap(len(self.text))

    def _document(self, event: Any) -> None:
        line = event.start_mark.line
        self.documents += 1
        if self.documents > 1:
            raise YamlFault(line + 1, 1, "---: one document per file", "remove the line, or split the file")
        if event.version or event.tags:
            raise YamlFault(line + 1, 1, "a directive (%) is not supported", "remove it")
        if event.explicit:
            self._check_gap(event.end_mark.index)  # PyYAML's own parser passes over a directive that it does not know
            self.end = event.end_mark.index
            rest = self.text[self.end :].split("\n", 1)[0].strip(" ")
            if rest and not rest.startswith("#"):
                raise YamlFault(line + 1, 5, "something follows ---", "begin a new line after it")

    def _document_end(self, event: Any) -> None:
        if event.explicit:
            line = event.start_mark.line + 1
            raise YamlFault(line, 1, "...: one document per file", "remove the line, or split the file")

    def _alias(self, event: Any) -> None:
        raise self._refused(event)

    def _start(self, event: Any) -> None:
        mark, top = event.start_mark, self.tree.top
        if event.anchor is not None or event.tag is not None:
            raise self._refused(event)
        kind = "list" if "Sequence" in type(event).__name__ else "map"
        if top.kind == "map" and not top.waiting:
            raise YamlFault(mark.line + 1, mark.column + 1, "a list or map cannot be a key")
        if event.flow_style:
            self.flow += 1
            if kind == "map" and self.text[mark.index] != "{":
                hint = "put the pair into braces: [{key: value}]"
                raise YamlFault(mark.line + 1, mark.column + 1, "a colon behind a value", hint)
        self.tree.open(kind, mark.line + 1, mark.column + 1, 1 if event.flow_style else 0)

    def _stop(self, event: Any) -> None:
        self.flow -= self.tree.top.indent
        self.tree.close()

    def _scalar(self, event: Any) -> None:
        tree, mark, end = self.tree, event.start_mark, event.end_mark
        is_key = tree.top.kind == "map" and not tree.top.waiting
        if event.anchor is not None or event.tag is not None or event.style in ("|", ">"):
            raise self._refused(event)
        self._check_gap(mark.index)
        self.end = end.index
        node = self._node(event, mark, end)
        if not is_key:
            tree.add(node)
            return
        colon = COLON.match(self.text, end.index)
        if not node.raw or colon is None or not self._may_follow(node, colon):
            raise YamlFault(node.line, node.column, f"{node.raw[:60]} has no value", "write key: value, with a blank")
        tree.key(node, node.line, end.column + colon.end() - colon.start() + 1)

    def _may_follow(self, node: Node, colon: re.Match[str]) -> bool:
        """Whether the colon stands where both readers see it; inside brackets YAML is very free."""
        following = self.text[colon.end() : colon.end() + 1]
        return following in (" ", "\n", "") or (self.flow > 0 and node.quoted and not colon[1])

    def _node(self, event: Any, mark: Any, end: Any) -> Node:
        line, column = mark.line + 1, mark.column + 1
        if mark.line != end.line:
            raise YamlFault(line, column, "a text over several lines", "write it on one line, in quotes")
        raw = self.text[mark.index : end.index]
        if event.style in ("'", '"'):  # libyaml calls plain "", PyYAML's own parser None
            check_value(event.value, line, column)
            return Node("text", event.value, line, column, raw, True)
        if not raw:
            return self._empty(line, column)
        if raw != event.value:
            raise YamlFault(line, column, f"{raw[:60]} is not clear", "quote it")
        return flow_node(raw, line, column) if self.flow else plain_node(raw, line, column)

    def _empty(self, line: int, column: int) -> Node:
        if self.flow:
            raise YamlFault(line, column, "a value is missing inside brackets", 'write null, or "" for an empty text')
        if self.tree.top.kind == "file":
            return Node("null", None, 1, 1)
        return Node("null", None, line, column)

    def _refused(self, event: Any) -> YamlFault:
        """For something that the subset leaves out, at its first character."""
        mark = event.start_mark
        return start_fault(_word(self.text, mark.index, self.flow > 0), mark.line + 1, mark.column + 1)

    def _check_gap(self, stop: int) -> None:
        """Raise YamlFault for anything unusual since the last value: `?`, tabs, comments without a blank."""
        found = EASY_GAP.match(self.text, self.end, stop)
        if found is not None and found.end() == stop:
            return
        before = self.text[self.end - 1] if self.end else "\n"
        gap = COMMENT.sub(lambda found: " " * len(found[0]), before + self.text[self.end : stop])[1:]
        at = EASY_GAP.match(gap).end()  # type: ignore[union-attr]
        if at < len(gap):
            line, column = _place(self.text, self.end + at)
            raise start_fault(_word(self.text, self.end + at, self.flow > 0), line, column)


def _word(text: str, at: int, in_flow: bool) -> str:
    cursor = Cursor(text)
    cursor.at = at
    return cursor.word(in_flow)


def _place(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _translated(problem: Any, text: str, in_flow: bool) -> YamlFault:
    """PyYAML's complaint, in our words where it is about a character that needs quotes."""
    marks = [mark for mark in (getattr(problem, "context_mark", None), getattr(problem, "problem_mark", None)) if mark]
    for mark in marks:
        first = text[mark.index : mark.index + 1]
        if first and first in OURS:
            fault = start_fault(_word(text, mark.index, in_flow), mark.line + 1, mark.column + 1)
            return tab_fault(fault.line, fault.column) if first == "\t" else fault
    said = ": ".join(
        str(part) for part in (getattr(problem, "context", None), getattr(problem, "problem", None)) if part
    )
    if not marks:
        return YamlFault(0, 0, said or "not YAML")
    return YamlFault(marks[-1].line + 1, marks[-1].column + 1, said, "")
