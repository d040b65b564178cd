"""Where a command's answer goes: one JSON document, or text that fits the terminal.

Decides width, colour and what may reach a terminal; knows no command. Text from elsewhere
passes `clean`, so that no name on the network can move a cursor or forge a line.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

WIDTH = 80  # where nothing says how wide it is: a pipe, a serial console
NARROWEST = 40

COLOURS = {"green": "32", "red": "31", "yellow": "33", "bold": "1"}

SMALLEST_TEXT = 20  # beside a hanging indent, whatever the width


class Terminal:
    """Standard output and error of one run."""

    def __init__(self, out: TextIO, err: TextIO, as_json: bool = False) -> None:
        self.out = out
        self.err = err
        self.as_json = as_json
        self.width = screen_width(out)
        self.has_colour = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def document(self, document: Mapping[str, Any]) -> None:
        """One JSON document, readable and parsable."""
        self.line(json.dumps(document, indent=2))

    def record(self, document: Mapping[str, Any]) -> None:
        """One of many JSON documents: one line each."""
        self.line(json.dumps(document))

    def line(self, text: str = "") -> None:
        """One line, at once: whoever follows waits for it."""
        print(text, file=self.out, flush=True)

    def paragraph(self, text: str, indent: int = 0, colour: str = "") -> None:
        """Running text, wrapped; `indent` hangs the lines after the first one under it."""
        for line in wrap(clean(text), max(self.width, indent + SMALLEST_TEXT), indent):
            self.line(self.paint(line, colour))  # afterwards: an escape sequence has no width

    def complain(self, text: str, hint: str = "") -> None:
        """What is wrong and what to do, on standard error."""
        print(f"netpolicy: {clean(text)}", file=self.err)
        if hint:
            print(f"  hint: {clean(hint)}", file=self.err)

    def note(self, text: str) -> None:
        """A line of its own on standard error."""
        print(text, file=self.err)

    def paint(self, text: str, colour: str) -> str:
        """The text in that colour where colours are wanted; "" is no colour."""
        if not colour or not self.has_colour:
            return text
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def screen_width(out: TextIO) -> int:
    """COLUMNS, else what the terminal says, else 80."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked[:5]) > 0:
        return max(int(asked[:5]), NARROWEST)
    try:
        return max(os.get_terminal_size(out.fileno()).columns or WIDTH, NARROWEST)
    except (OSError, ValueError):  # ValueError: an output without a file descriptor
        return WIDTH


def clean(text: object) -> str:
    """The text without characters that a terminal would act upon."""
    plain = str(text)
    return plain if plain.isprintable() else "".join(c if c.isprintable() else "?" for c in plain)


def wrap(text: str, width: int, indent: int) -> list[str]:
    """Lines of at most `width` cells, broken between words where that is possible."""
    words = text.lstrip(" ")
    current = text[: len(text) - len(words)]
    lines: list[str] = []
    is_first = True
    for word in words.split(" "):
        if is_first:
            current += word
        elif cells(current) + 1 + cells(word) <= width:
            current += " " + word
        else:
            lines.append(current)
            current = " " * indent + word
        is_first = False
        while cells(current) > width:
            kept = prefix(current, width)
            lines.append(kept)
            current = " " * indent + current[len(kept) :]
    return [*lines, current]


def cells(text: str) -> int:
    """How many cells of a terminal the text takes: East Asian wide characters take two."""
    if text.replace("…", ".").isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # 1 MB, and almost never needed

    # Each character once, however long the text is.
    each = Counter(text).items()
    return sum(0 if combining(c) else 2 * times if east_asian_width(c) in "WF" else times for c, times in each)


def prefix(text: str, width: int) -> str:
    """As much of the beginning as fits into `width` cells."""
    kept = text[:width]
    while cells(kept) > width:
        kept = kept[:-1]
    return kept


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells; … stands where something was cut off."""
    return text if cells(text) <= width else prefix(text, width - 1) + "…"
