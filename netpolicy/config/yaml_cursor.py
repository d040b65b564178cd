"""Walk over the text of a YAML file: blanks, quotes, unquoted words, always knowing line and column.

Never knows about indentation or brackets: yaml_builtin.py and yaml_flow.py do. Every method reads
a character a bounded number of times: searches stop at the line feed that the text must end with.
"""

from __future__ import annotations

import re

from netpolicy.config.node import Node
from netpolicy.config.yaml_scalar import YamlFault, check_value, start_fault, tab_fault, unescaped

BLANK_LINES = re.compile(r"[ \n]*")
SPACES = re.compile(r" *")
BLOCK_END = re.compile(r":(?=[ \n])| #|\n")
FLOW_END = re.compile(r":(?=[ \n,\[\]{}])|[,\[\]{}]| #|\n")
EASY_DOUBLE = re.compile(r'"([^"\\\n]*)"')
SINGLE_STOP = re.compile(r"['\n]")
DOUBLE_STOP = re.compile(r'["\\\n]')
LINE_PART = re.compile(r"[^\n]{1,200}")


class Cursor:
    """A place in a text that ends with a line feed. `at` is the offset; `line` counts from 1."""

    __slots__ = ("at", "line", "line_start", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.line_start = 0

    @property
    def column(self) -> int:
        """From 1."""
        return self.at - self.line_start + 1

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.text)

    def fault(self, message: str, hint: str = "") -> YamlFault:
        """That is wrong here."""
        return YamlFault(self.line, self.column, message, hint)

    def go_on(self) -> None:
        """To the next character of the file that is neither blank nor in a comment, or to the end."""
        text = self.text
        while True:
            start = self.at
            self.at = BLANK_LINES.match(text, start).end()  # type: ignore[union-attr]
            lines = text.count("\n", start, self.at)
            if lines:
                self.line += lines
                self.line_start = text.rfind("\n", start, self.at) + 1
            if not text.startswith("#", self.at) or not self._is_comment():
                return
            self.at = text.index("\n", self.at)

    def skip_spaces(self) -> None:
        """Over blanks in the line."""
        self.at = SPACES.match(self.text, self.at).end()  # type: ignore[union-attr]

    def at_line_end(self) -> bool:
        """Whether the rest of the line is empty or a comment; stands behind the blanks."""
        self.skip_spaces()
        first = self.text[self.at]
        return first == "\n" or (first == "#" and self._is_comment())

    def finish_line(self) -> None:
        """To the line feed. Raises YamlFault when something else than a comment comes first."""
        if not self.at_line_end():
            if self.text[self.at] == "\t":
                raise tab_fault(self.line, self.column)
            raise self.fault("something follows a value that is complete", "quote the whole text, or begin a new line")
        self.at = self.text.index("\n", self.at)

    def skip_line(self) -> None:
        """To the line feed, whatever comes first."""
        self.at = self.text.index("\n", self.at)

    def marker(self) -> str:
        """`---` or `...` if the line begins with one, else ""."""
        if self.at == self.line_start and self.text.startswith(("---", "..."), self.at):
            return self.text[self.at : self.at + 3] if self.text[self.at + 3] in " \n" else ""
        return ""

    def word(self, in_flow: bool) -> str:
        """What a person would take for one value here, for a message; bounded."""
        found = LINE_PART.match(self.text, self.at)
        part = found[0] + "\n" if found else "\n"
        end = (FLOW_END if in_flow else BLOCK_END).search(part, 1)
        return part[: end.start()].rstrip(" ") if end else part

    def start_fault(self, in_flow: bool) -> YamlFault:
        """No value can begin here, because of its first character."""
        return start_fault(self.word(in_flow), self.line, self.column)

    def quoted_node(self) -> Node:
        """The quoted text that begins here; stands behind it. Raises YamlFault."""
        text, start = self.text, self.at
        line, column = self.line, self.column
        easy = EASY_DOUBLE.match(text, start)
        if easy is not None:
            self.at = easy.end()
            value = easy[1]
        else:
            self.at = self._closing_quote(text[start]) + 1
            inside = text[start + 1 : self.at - 1]
            value = inside.replace("''", "'") if text[start] == "'" else unescaped(inside, line, column + 1)
            check_value(value, line, column)
        return Node("text", value, line, column, text[start : self.at], True)

    def _closing_quote(self, quote: str) -> int:
        text, at = self.text, self.at + 1
        stop = SINGLE_STOP if quote == "'" else DOUBLE_STOP
        while True:
            at = stop.search(text, at).start()  # type: ignore[union-attr]
            if (text[at] == "\\" and text[at + 1] != "\n") or (text[at] == quote == "'" and text[at + 1] == quote):
                at += 2
            elif text[at] == quote:
                return at
            else:
                hint = "close it, or write the text on one line; \\n in double quotes is a new line"
                raise self.fault(f"the quote {quote} is not closed in its line", hint)

    def _is_comment(self) -> bool:
        """Whether the # here begins a comment: a blank or nothing is in front of it."""
        return self.at == self.line_start or self.text[self.at - 1] == " "
