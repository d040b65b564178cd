"""What the tests of the YAML readers share: each reader as a function, and a tree that can be compared."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.node import Node
from netpolicy.config.yaml_builtin import read_builtin
from netpolicy.config.yaml_gate import clean_text
from netpolicy.config.yaml_library import load_module, read_library

# libyaml and PyYAML's own parser are two programs that differ in corners.
READERS = ("builtin", "libyaml", "pyyaml")


def read(reader: str, text: str) -> tuple[Node | None, Findings]:
    """The tree of a text, and the findings."""
    findings = Findings()
    cleaned = clean_text(text, "rules.yaml", findings)
    if cleaned is None:
        return None, findings
    if reader == "builtin":
        return read_builtin(cleaned, "rules.yaml", findings), findings
    module = load_module()
    if module is None or (reader == "libyaml" and not hasattr(module, "CSafeLoader")):
        pytest.skip(f"{reader} is not installed")
    return read_library(module, cleaned, "rules.yaml", findings, in_c=reader == "libyaml"), findings


def places(findings: Findings) -> list[tuple[str, int, int]]:
    """Code, line and column of every finding."""
    return [(item.code, item.line, item.column) for item in findings.all]


def shape(node: Node | None) -> Any:
    """All of a tree, comparable; a float by its text, because NaN is unequal to itself."""
    if node is None:
        return None
    if node.kind == "map":
        return (node.kind, node.line, node.column, tuple((shape(key), shape(value)) for key, value in node.value))
    if node.kind == "list":
        return (node.kind, node.line, node.column, tuple(shape(one) for one in node.value))
    return (node.kind, node.line, node.column, repr(node.value), node.raw, node.quoted)
