"""Configuration files, for the commands that work without a daemon.

Reads through config's loader, in the format that the file's name says, and finds nothing wrong
by itself. Writes no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .exit_code import Failure
from .terminal import Terminal, clean

if TYPE_CHECKING:
    from netpolicy.config.diagnostic import Diagnostic
    from netpolicy.core.model import Ruleset

ERROR = "error"
CANNOT_READ = "NP001"


def read(path: str, terminal: Terminal) -> Ruleset:
    """The rules of the file; broken ones are left out, with a note. Raises Failure when it cannot be used."""
    from netpolicy.config.load import load

    loaded = load(path, needs_main=False)
    errors = errors_of(loaded.diagnostics)
    if loaded.fatal:
        first = errors[0]
        raise Failure(first.message if is_unreadable(first, path) else f"{place(first)}: {first.message}", first.hint)
    for item in errors:
        show(terminal, item)
    for name, _ in loaded.skipped:
        terminal.note(clean(f"netpolicy: the rule {name} is left out because of its error"))
    return loaded.ruleset


def read_text(path: str) -> str:
    """The text of the file. Raises Failure."""
    from netpolicy.config.diagnostic import Findings
    from netpolicy.config.text_file import decode, read_bytes

    findings = Findings()
    data = read_bytes(path, findings)
    text = None if data is None else decode(data, path, findings)
    if text is None:
        first = findings.all[0]
        raise Failure(first.message if is_unreadable(first, path) else f"{place(first)}: {first.message}", first.hint)
    return text


def is_unreadable(item: Diagnostic, path: str) -> bool:
    """Whether it says that the file itself cannot be read, so that the text names it already."""
    return item.code == CANNOT_READ and item.file == path and item.message.startswith("failed to read")


def place(item: Diagnostic) -> str:
    """`file:line:column`, as far as they are known."""
    known = [str(number) for number in (item.line, item.column) if number]
    return ":".join([item.file, *known])


def show(terminal: Terminal, item: Diagnostic) -> None:
    """One diagnostic on standard error."""
    for line in item.text().splitlines():
        terminal.note(clean(line))


def errors_of(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Those that make a file fail."""
    return [item for item in diagnostics if item.severity == ERROR]
