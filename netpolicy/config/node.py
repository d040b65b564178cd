"""A tree of values as a file has them, each with its place: what both YAML readers give.

Says how a value was written, never what it ought to be: a rule reader decides whether `5`
may be a text. Comes from yaml_builtin.py or yaml_library.py; plain() is for tests and printers.
"""

from __future__ import annotations

from typing import Any

KINDS = ("map", "list", "text", "integer", "float", "boolean", "null")


class Node:
    """One value. `kind` is one of KINDS; `line` and `column` count from 1, at its first character.

    `value`: a map has a tuple of (key, value) pairs of nodes in the order of the file, a list a tuple
    of nodes, everything else the Python value. `raw` is a scalar as it was written, with its quotes
    and escapes ("" where nothing is written: null); "" for maps and lists. An empty value stands
    right behind the `:` or `-` that announces it.
    """

    __slots__ = ("column", "kind", "line", "quoted", "raw", "value")

    def __init__(self, kind: str, value: Any, line: int, column: int, raw: str = "", quoted: bool = False) -> None:
        self.kind = kind
        self.value = value
        self.line = line
        self.column = column
        self.raw = raw
        self.quoted = quoted

    @property
    def text(self) -> str:
        """A scalar as a name or a text: `5`, `true` and `null` are what is written, "" for maps and lists."""
        return self.value if self.kind == "text" else self.raw

    def __repr__(self) -> str:
        return f"Node({self.kind!r}, {self.value!r}, {self.line}, {self.column}, {self.raw!r}, {self.quoted!r})"


def plain(node: Node) -> Any:
    """The same as dicts, lists and scalars. Keys are always texts.

    Recursive: no reader gives a tree that is deeper than its limit of 32.
    """
    if node.kind == "map":
        return {key.text: plain(value) for key, value in node.value}
    if node.kind == "list":
        return [plain(one) for one in node.value]
    return node.value
