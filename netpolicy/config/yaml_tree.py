"""Put the tree of a YAML file together, piece by piece, and hold it to its limits.

Never reads text: a reader says what opens, what closes and what a value is. Depth, number of values,
length of keys and duplicate keys are decided here, once for both readers. Not recursive.
"""

from __future__ import annotations

from typing import Any

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.node import Node
from netpolicy.config.yaml_gate import MAX_DEPTH, MAX_FAULTS, MAX_KEY, MAX_NODES
from netpolicy.config.yaml_scalar import YamlFault, YamlLimit, shortened


class Frame:
    """A map or list (or the file itself, kind "file") that is still open.

    `waiting` is whether a value is due; then `hole` is the place of an empty one. `indent` is the
    column of its lines, from 0; the reader of blocks needs it.
    """

    __slots__ = ("column", "hole", "indent", "items", "key", "keys", "kind", "line", "waiting")

    def __init__(self, kind: str, line: int, column: int, indent: int) -> None:
        self.kind = kind
        self.line = line
        self.column = column
        self.indent = indent
        self.items: list[Any] = []
        self.keys: dict[str, Node] = {}
        self.key: Node | None = None
        self.waiting = False
        self.hole = (line, column)


class Tree:
    """What is read so far. Every method may raise YamlLimit."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self.faults = 0
        self.nodes = 0
        self.top = Frame("file", 1, 1, -1)
        self.top.waiting = True
        self.frames = [self.top]

    def open(self, kind: str, line: int, column: int, indent: int = 0) -> Frame:
        """Begin a map or list there."""
        if len(self.frames) > MAX_DEPTH:
            raise YamlLimit(line, column, f"more than {MAX_DEPTH} levels of maps and lists")
        self._count(line, column)
        self.top = Frame(kind, line, column, indent)
        self.frames.append(self.top)
        return self.top

    def close(self) -> None:
        """End the innermost map or list; an empty value that is still due is null."""
        self.fill()
        done = self.frames.pop()
        self.top = self.frames[-1]
        self._place(Node(done.kind, tuple(done.items), done.line, done.column))

    def announce(self, line: int, column: int) -> None:
        """Expect an item of the list; null would stand there."""
        self.fill()
        self.top.waiting = True
        self.top.hole = (line, column)

    def key(self, node: Node, line: int, column: int) -> None:
        """Expect the value of that key of the map; null would stand there. Raises YamlFault."""
        if node.raw == "<<":
            raise _merge_fault(node)
        if column - node.column - 1 > MAX_KEY:
            raise YamlLimit(node.line, node.column, f"a key of more than {MAX_KEY} characters")
        self._count(node.line, node.column)
        top = self.top
        text = node.value if node.kind == "text" else node.raw
        first = top.keys.setdefault(text, node)
        if first is not node:
            self._report_duplicate(text, first, node)
        top.key = node
        top.waiting = True
        top.hole = (line, column)

    def add(self, node: Node) -> None:
        """That is the value that was due."""
        self._count(node.line, node.column)
        self._place(node)

    def fill(self) -> None:
        """Null is the value that was due, if one was."""
        if self.top.waiting:
            line, column = self.top.hole
            self.add(Node("null", None, line, column))

    def report(self, fault: YamlFault) -> None:
        """List a fault. Raises YamlLimit when there are too many; lists that one, too."""
        code = "NP004" if isinstance(fault, YamlLimit) else "NP003"
        place = Place(self.file, fault.line, fault.column, length=fault.length)
        self.findings.error(code, place, fault.text, fault.hint, fault.fix)
        self.faults += 1
        if self.faults >= MAX_FAULTS and not isinstance(fault, YamlLimit):
            raise YamlLimit(fault.line, fault.column, f"{MAX_FAULTS} errors, the rest of the file is not read")

    def abandon(self, depth: int) -> None:
        """Forget what is open beyond `depth` frames, and what was due there: it was at fault."""
        del self.frames[depth:]
        self.top = self.frames[-1]
        self.top.waiting = False

    def result(self) -> Node | None:
        """The root, after everything is closed; None if a fault was listed."""
        while len(self.frames) > 1:
            self.close()
        self.fill()
        return None if self.faults else self.top.items[0]

    def _place(self, node: Node) -> None:
        top = self.top
        top.items.append((top.key, node) if top.kind == "map" else node)
        top.waiting = False

    def _count(self, line: int, column: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise YamlLimit(line, column, f"more than {MAX_NODES} values")

    def _report_duplicate(self, text: str, first: Node, second: Node) -> None:
        message = f"the key {shortened(text)} is there twice, first in line {first.line}, column {first.column}"
        hint = "remove or rename one of them"
        self.report(YamlFault(second.line, second.column, message, hint, len(second.raw)))


def _merge_fault(node: Node) -> YamlFault:
    """`<<` as a key."""
    return YamlFault(node.line, node.column, "merge keys (<<) are not supported", "write the keys out", 2)
