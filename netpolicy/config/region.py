"""The characters of a line that a finding is about, for carets and for tools that edit.

Front ends know where a value begins, UCI knows an option by its keyword: here the two become one.
Looks at one line; reads no file. Columns count from 1.
"""

from __future__ import annotations

import re

from netpolicy.config.diagnostic import Diagnostic

# How many words stand before the name that a line of UCI is about.
KEYWORDS = {"option": 1, "list": 1, "config": 2}
BLANKS = " \t"
QUOTES = "'\""
# A line can be as long as a file: no Python for every character.
AFTER_WORD = re.compile(f"[{BLANKS}{QUOTES},;:=]")


def region(item: Diagnostic, line: str) -> tuple[int, int]:
    """(column, length) in the line; the length is at least 1. (0, 0) where the line does not have the place."""
    start = item.column - 1
    if not item.line or not 0 <= start < len(line):
        return 0, 0
    length = item.length
    name = _name_of(line, start)
    if name:  # of an option or section in UCI, as long as it is written there
        start = name
        length = _end_of_word(line, start) - start
    elif not length:
        length = (len(line.rstrip()) if item.column == 1 else _end_of_word(line, start)) - start
    return start + 1, max(1, min(length, len(line) - start))


def _name_of(line: str, start: int) -> int:
    """Where the name begins of an option or section of UCI whose keyword begins at `start`, or 0."""
    end = _end_of_word(line, start)
    if line[:start].strip(BLANKS) or line[end : end + 1] not in (" ", "\t"):
        return 0
    found = 0
    for _ in range(KEYWORDS.get(line[start:end], 0)):
        while end < len(line) and line[end] in BLANKS + QUOTES:
            end += 1
        found, end = end, _end_of_word(line, end)
    return found if found < len(line) else 0


def _end_of_word(line: str, start: int) -> int:
    found = AFTER_WORD.search(line, start)
    return max(found.start() if found else len(line), start + 1)


def is_exact(item: Diagnostic, line: str) -> bool:
    """Whether the finding's proposal can stand in place of the region: what is there is one word or value."""
    column, length = region(item, line)
    there = line[column - 1 : column - 1 + length]
    return bool(item.fix and item.length and there) and not any(c in there for c in BLANKS + QUOTES)
