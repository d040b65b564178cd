"""Read UCI files quickly: lines of the ordinary shape at once, all others word by word.

Adds nothing to the grammar, which is uci_text.py's; a router reads thousands of lines at start.
"""

import re

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.source import SourceFile, spot
from netpolicy.config.text_file import MAX_BYTES, decode, read_bytes
from netpolicy.config.uci_section import Sections
from netpolicy.config.uci_text import MAX_COMMANDS, read_with
from netpolicy.config.uci_word import Cursor

NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)

# A line as programs and most people write it: keyword, name and one value, no escape, no comment.
# Groups: keyword, name, the value in single quotes, in double quotes or bare, empty lines after it.
ORDINARY_LINE = re.compile(
    r"[ \t]*(config|option|list)[ \t]+([A-Za-z0-9_]+)[ \t]+"
    r"""(?:'([^'\n]*)'|"([^"\\\n]*)"|([^ \t\r\n\v\f'"#;\\]+))[ \t\r]*\n(\n*)"""
)


class BuiltinReader:
    """Our own reader: needs nothing but Python."""

    name = "builtin"

    def read(self, path: str) -> SourceFile:
        """The file at `path`. An unreadable one gives no section and an NP001."""
        findings = Findings()
        data = read_bytes(path, findings)
        return SourceFile(path, (), findings.all) if data is None else read_data(data, path)


def read_data(data: bytes, file: str) -> SourceFile:
    """The sections of a file's content."""
    findings = Findings()
    if len(data) > MAX_BYTES:
        findings.error("NP004", Place(file), f"the text is larger than {MAX_BYTES >> 20} MiB")
        return SourceFile(file, (), findings.all)
    text = decode(data, file, findings)
    return SourceFile(file, (), findings.all) if text is None else read_text(text, file)


def read_text(text: str, file: str = "<text>") -> SourceFile:
    """The sections of a text."""
    return read_with(text, file, _skip_ordinary_lines)


def _skip_ordinary_lines(cursor: Cursor, sections: Sections) -> None:
    """Take lines of the ordinary shape, up to the first that is not, or that may hold a mistake."""
    line, start = cursor.line, cursor.position
    while sections.commands <= MAX_COMMANDS:
        found = ORDINARY_LINE.match(cursor.text, start)
        if found is None:
            break
        keyword, name, single, double, bare, empty_lines = found.groups()
        value = single or double or bare or ""
        if keyword != "config":
            if not sections.is_open:
                break
            at = spot(line, max(found.start(3), found.start(4), found.start(5)) - start + 1)
            sections.add(name, value, keyword == "list", line, found.start(1) - start + 1, at)
        elif NAME.fullmatch(value) and sections.named(value) is None:
            sections.open(name, value, line)
        else:
            break
        sections.commands += 1
        line, start = line + 1 + len(empty_lines), found.end()
    cursor.go_to_line(line, start)
