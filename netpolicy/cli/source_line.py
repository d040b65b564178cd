"""The lines that findings are about, read again for showing them.

Opens only files that findings name, within the limits of reading them as configuration. Gives
nothing of a file that may be another than was meant: a password may stand in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolicy.config.diagnostic import Diagnostic, Findings
from netpolicy.config.spelling import UCI, format_of
from netpolicy.config.text_file import decode, read_bytes

# Mistakes of form in UCI, and sections that are not ours: told by their place alone.
FORM = ("NP001", "NP002", "NP003", "NP004", "NP102")
# The line is in a file of a list, which may be anything.
UNSHOWN = ("NP217",)


class SourceLines:
    """Reads each file once, when its first line is asked for."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._hidden = {item.file for item in diagnostics if item.code in FORM and format_of(item.file) == UCI}
        self._lines: dict[str, list[str]] = {}

    def of(self, item: Diagnostic) -> str:
        """The line of a finding without its end, "" where there is none to show."""
        if not item.line or item.code in UNSHOWN or item.file in self._hidden:
            return ""
        if item.file not in self._lines:
            self._lines[item.file] = _lines_of(item.file)
        lines = self._lines[item.file]
        return lines[item.line - 1] if item.line <= len(lines) else ""


def _lines_of(file: str) -> list[str]:
    findings = Findings()
    data = read_bytes(file, findings)
    text = None if data is None else decode(data, file, findings)
    return [] if text is None else [line.rstrip("\r") for line in text.split("\n")]
