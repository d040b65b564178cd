"""`netpolicy lint`: all diagnostics of all files.

Shows what config found; decides only the exit code: errors fail, warnings do not. The texts
`lint ok: FILE`, `lint failed: …` and `failed to read …` are the predecessor's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .exit_code import FINDINGS, FINE
from .files import errors_of, is_unreadable, place, show
from .terminal import Terminal, clean

if TYPE_CHECKING:
    from netpolicy.config.diagnostic import Diagnostic


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when a file has an error."""
    from netpolicy.config.linter import lint_file

    found = {path: by_place(path, lint_file(path)) for path in options.files}
    failures = {path: failure(path, diagnostics) for path, diagnostics in found.items()}
    is_fine = not any(failures.values())
    if terminal.as_json:
        document: dict[str, object] = {
            "ok": is_fine,
            "diagnostics": [item.as_dict() for diagnostics in found.values() for item in diagnostics],
        }
        if len(found) == 1:
            path = options.files[0]
            document.update(path=path, error=failures[path] or None)
        terminal.document(document)
    else:
        for path, diagnostics in found.items():
            _report(terminal, path, diagnostics, failures[path])
    return FINE if is_fine else FINDINGS


def by_place(path: str, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """As a reader goes through the files: the one that was named first, then those it includes."""
    return sorted(diagnostics, key=lambda item: (item.file != path, item.file, item.line, item.column))


def failure(path: str, diagnostics: Sequence[Diagnostic]) -> str:
    """Why the file fails in one line, or ""."""
    errors = errors_of(diagnostics)
    if not errors:
        return ""
    first = errors[0]
    if is_unreadable(first, path):
        return first.message
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"lint failed: {place(first)}: {first.message}{others}"


def _report(terminal: Terminal, path: str, diagnostics: Sequence[Diagnostic], failed: str) -> None:
    for item in diagnostics:
        if not is_unreadable(item, path):
            show(terminal, item)
    if not failed:
        terminal.line(clean(f"lint ok: {path}"))
        return
    terminal.note(clean(failed))
    if is_unreadable(diagnostics[0], path) and diagnostics[0].hint:
        terminal.note(clean(f"  hint: {diagnostics[0].hint}"))
