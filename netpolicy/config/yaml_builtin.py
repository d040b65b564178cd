"""Read the YAML subset of docs/yaml.md with nothing but the standard library.

Never raises for what a file contains, never accepts what PyYAML would read otherwise. After a mistake
it goes on behind the lines that belong to it, so that one run shows all of a file's mistakes. Not recursive.
"""

from __future__ import annotations

from netpolicy.config.diagnostic import Findings
from netpolicy.config.node import Node
from netpolicy.config.yaml_cursor import BLOCK_END, Cursor
from netpolicy.config.yaml_flow import read_flow
from netpolicy.config.yaml_scalar import YamlFault, YamlLimit, begins_plain, plain_node
from netpolicy.config.yaml_tree import Tree


def read_builtin(text: str, file: str, findings: Findings) -> Node | None:
    """The tree of a clean text (yaml_gate.py); None after reporting why not."""
    tree = Tree(file, findings)
    try:
        _Lines(Cursor(text + "\n"), tree).read()
        return tree.result()
    except YamlLimit as limit:
        tree.report(limit)
        return None


class _Lines:
    """The lines of a file. `column` (from 0) is that of the line's innermost list item or key."""

    def __init__(self, cursor: Cursor, tree: Tree) -> None:
        self.cursor = cursor
        self.tree = tree
        self.column = 0
        self.depth = 0  # of the tree before a value in brackets

    def read(self) -> None:
        """To the end of the text."""
        self._begin()
        while True:
            self.cursor.go_on()
            if self.cursor.at_end:
                return
            self._try_line()

    def _begin(self) -> None:
        """Over the marker that may begin a document."""
        self.cursor.go_on()
        if not self.cursor.at_end and self.cursor.marker() == "---":
            self.cursor.at += 3
            if not self.cursor.at_line_end():
                self.tree.report(self.cursor.fault("something follows ---", "begin a new line after it"))
            self.cursor.skip_line()

    def _try_line(self) -> None:
        """The line that begins here, and what its brackets hold; stands at its end."""
        first = self.cursor.line
        self.depth = len(self.tree.frames)
        try:
            self._line()
        except YamlLimit:
            raise
        except YamlFault as fault:
            self.tree.report(fault)
            self.tree.abandon(self.depth)
            self._recover(first)

    def _recover(self, first: int) -> None:
        """Over the lines that are indented deeper than what the mistake was in.

        A bracket that nobody closed is noticed in a later line: that line is read again.
        """
        cursor = self.cursor
        if cursor.line > first:
            cursor.at = cursor.line_start
        else:
            cursor.skip_line()
        cursor.go_on()
        while not cursor.at_end and cursor.column - 1 > self.column:
            cursor.skip_line()
            cursor.go_on()

    def _line(self) -> None:
        cursor, tree, text = self.cursor, self.tree, self.cursor.text
        self.column = cursor.column - 1
        if self.column == 0 and cursor.marker():
            raise cursor.fault(f"{cursor.marker()}: one document per file", "remove the line, or split the file")
        while tree.top.indent > self.column:
            tree.close()
        self.depth = len(tree.frames)
        while text[cursor.at] == "-" and text[cursor.at + 1] in " \n":
            self._item()
            if cursor.at_line_end():
                cursor.skip_line()
                return
            self.column = cursor.column - 1
        self._key_or_value()

    def _item(self) -> None:
        """The dash here; stands behind it."""
        cursor, tree, column = self.cursor, self.tree, self.column
        top = tree.top
        if top.kind != "list" or top.indent != column:
            # A list may stand under the very column of its key.
            if not top.waiting or (top.indent == column and top.kind == "list"):
                raise self._misplaced()
            tree.open("list", cursor.line, cursor.column, column)
        cursor.at += 1
        tree.announce(cursor.line, cursor.column)
        self.depth = len(tree.frames)

    def _key_or_value(self) -> None:
        cursor, text = self.cursor, self.cursor.text
        first = text[cursor.at]
        if first in "[{":
            self._expect_value()
            self._brackets()
            return
        if first in "\"'":
            node = cursor.quoted_node()
            cursor.skip_spaces()
            is_key = text[cursor.at] == ":" and text[cursor.at + 1] in " \n"
        else:
            node = self._plain()
            is_key = text[cursor.at] == ":"
        if is_key:
            self._key(node)
        else:
            self._expect_value()
            cursor.finish_line()
            self.tree.add(node)

    def _key(self, node: Node) -> None:
        cursor, tree, column = self.cursor, self.tree, self.column
        if tree.top.kind == "list" and tree.top.indent == column and tree.frames[-2].indent == column:
            tree.close()  # a list under the column of its key
        top = tree.top
        if top.kind == "map" and top.indent == column:
            tree.fill()
        elif top.waiting and top.indent < column:
            tree.open("map", node.line, node.column, column)
        else:
            raise self._misplaced(node)
        self.depth = len(tree.frames)
        cursor.at += 1
        tree.key(node, cursor.line, cursor.column)
        if cursor.at_line_end():
            cursor.skip_line()
        else:
            self._value()

    def _value(self) -> None:
        """What stands in the line of its key."""
        cursor, text = self.cursor, self.cursor.text
        first = text[cursor.at]
        if first in "[{":
            self._brackets()
            return
        node = cursor.quoted_node() if first in "\"'" else self._plain()
        if text[cursor.at] == ":":
            raise cursor.fault("a second colon in a line", "quote the text that holds it")
        cursor.finish_line()
        self.tree.add(node)

    def _plain(self) -> Node:
        """The unquoted word here; stands behind it."""
        cursor, text, at = self.cursor, self.cursor.text, self.cursor.at
        if not begins_plain(text, at, False):
            raise cursor.start_fault(False)
        end = BLOCK_END.search(text, at).start()  # type: ignore[union-attr]
        node = plain_node(text[at:end].rstrip(" "), cursor.line, cursor.column)
        cursor.at = end
        return node

    def _brackets(self) -> None:
        read_flow(self.cursor, self.tree)
        self.cursor.finish_line()

    def _expect_value(self) -> None:
        if not self.tree.top.waiting or self.tree.top.indent >= self.column:
            raise self._misplaced()

    def _misplaced(self, node: Node | None = None) -> YamlFault:
        """Nothing of this kind can stand in this column."""
        top, line, column = self.tree.top, self.cursor.line, self.column + 1
        length = len(node.raw) if node else 0
        if top.indent < self.column:
            self.column = top.indent  # so that its neighbours are not reported one by one
            hint = "a text goes on to the end of its line, not further; neighbours begin in one column"
            return YamlFault(line, column, "this line is indented deeper than what it follows", hint, length)
        if top.kind == "list":
            return YamlFault(line, column, "only items of the list can follow here", "begin the line with -", length)
        hint = "write key: value; a value in a line of its own is indented deeper than its key"
        return YamlFault(line, column, "a key and its colon are missing", hint, length)
