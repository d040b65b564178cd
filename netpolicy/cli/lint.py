"""`netpolicy lint`: all diagnostics of all files, with the lines that they are about.

Shows what config found; decides only the exit code: errors fail, warnings do with --strict. The texts
`lint ok: FILE`, `lint failed: …` and `failed to read …` are the predecessor's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .exit_code import FINDINGS, FINE, USAGE, Failure
from .files import ERROR, errors_of, is_unreadable, place
from .terminal import Terminal, clean

if TYPE_CHECKING:
    from netpolicy.config.diagnostic import Diagnostic

TEXT, SHORT, JSON, SARIF = "text", "short", "json", "sarif"
WARNING = "warning"
WIDEST = 160  # of a source line; a person does not read further right


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when a file has an error."""
    return _run(options, terminal, "lint", "")


def run_dsl(options: argparse.Namespace, terminal: Terminal) -> int:
    """The same for files in the DSL, whatever they are called."""
    return _run(options, terminal, "dsl lint", "dsl")


def _run(options: argparse.Namespace, terminal: Terminal, title: str, format: str) -> int:
    if options.explain:
        return _explain(options.explain, terminal)
    if not options.files:
        terminal.note(f"usage: netpolicy {options.command} [OPTION…] FILE…")
        terminal.complain("no file is named", f"netpolicy {options.command} --explain CODE needs none")
        return USAGE
    from netpolicy.config.linter import lint_file

    from .name_server import installed_dnsmasq

    shown = _format(options, terminal)
    found = {path: by_place(path, lint_file(path, "auto", installed_dnsmasq, format)) for path in options.files}
    failures = {path: failure(path, all_of, title, options.strict) for path, all_of in found.items()}
    is_fine = not any(failures.values())
    if shown == SARIF:
        _sarif(found, terminal)
    elif shown == JSON:
        _json(options.files, found, failures, is_fine, terminal)
    else:
        for path, all_of in found.items():
            _Report(terminal, title, shown == SHORT).write(path, all_of, failures[path])
    return FINE if is_fine else FINDINGS


def _format(options: argparse.Namespace, terminal: Terminal) -> str:
    asked: str = options.format
    return SARIF if options.sarif else JSON if terminal.as_json else asked


def _json(
    files: Sequence[str],
    found: dict[str, list[Diagnostic]],
    failures: dict[str, str],
    is_fine: bool,
    terminal: Terminal,
) -> None:
    document: dict[str, object] = {
        "ok": is_fine,
        "diagnostics": [item.as_dict() for all_of in found.values() for item in all_of],
    }
    if len(found) == 1:
        document.update(path=files[0], error=failures[files[0]] or None)
    terminal.document(document)


def _sarif(found: dict[str, list[Diagnostic]], terminal: Terminal) -> None:
    from netpolicy.config.sarif import to_sarif

    from .source_line import SourceLines

    lines = SourceLines([item for all_of in found.values() for item in all_of])
    every = {item: None for all_of in found.values() for item in all_of}  # a file may be listed by two others
    terminal.document(to_sarif(every, lines.of))


def by_place(path: str, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """As a reader goes through the files: the one that was named first, then those it includes."""
    return sorted(diagnostics, key=lambda item: (item.file != path, item.file, item.line, item.column))


def failure(path: str, diagnostics: Sequence[Diagnostic], title: str = "lint", strict: bool = False) -> str:
    """Why the file fails in one line, or "". `strict`: warnings fail too."""
    bad = errors_of(diagnostics)
    if not bad and strict:
        bad = [item for item in diagnostics if item.severity == WARNING]
    if not bad:
        return ""
    first = bad[0]
    if is_unreadable(first, path):
        return first.message
    others = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"{title} failed: {place(first)}: {first.message}{others}"


class _Report:
    """The findings of a file for people: on standard error, `… ok` alone on standard output."""

    def __init__(self, terminal: Terminal, title: str, is_short: bool) -> None:
        self._terminal = terminal
        self._title = title
        self._is_short = is_short
        self._has_colour = terminal.has_colour and terminal.err.isatty()

    def write(self, path: str, diagnostics: Sequence[Diagnostic], failed: str) -> None:
        listed = [item for item in diagnostics if not is_unreadable(item, path)]
        if self._is_short:
            for item in listed:
                self._terminal.note(clean(item.text().splitlines()[0]))
        else:
            self._write_excerpts(listed)
        if listed:
            self._terminal.note(clean(f"{path}: {counts(listed)}"))
        if not failed:
            self._terminal.line(clean(f"{self._title} ok: {path}"))
            return
        self._terminal.note(clean(failed))
        if is_unreadable(diagnostics[0], path) and diagnostics[0].hint:
            self._terminal.note(clean(f"  hint: {diagnostics[0].hint}"))

    def _write_excerpts(self, diagnostics: Sequence[Diagnostic]) -> None:
        from .excerpt import render
        from .source_line import SourceLines

        lines = SourceLines(diagnostics)
        width = min(self._terminal.width, WIDEST)
        for item in diagnostics:
            self._terminal.note(render(item, lines.of(item), width, self._paint) + "\n")

    def _paint(self, text: str, colour: str) -> str:
        return self._terminal.paint(text, colour) if self._has_colour else text


def counts(diagnostics: Sequence[Diagnostic]) -> str:
    """ "2 errors, 1 warning, 3 notes", without what there is none of."""
    words = ((ERROR, "error"), (WARNING, "warning"), ("info", "note"))
    found = [(sum(item.severity == severity for item in diagnostics), word) for severity, word in words]
    return ", ".join(f"{count} {word}" + ("s" if count > 1 else "") for count, word in found if count)


def _explain(code: str, terminal: Terminal) -> int:
    """What a code means, with its two examples."""
    from netpolicy.config.lint_codes import explained
    from netpolicy.config.lint_page import section

    found = explained(code.upper())
    if found is None:
        raise Failure(f"{code!r} is no code of lint", "a code looks like NP204")
    if terminal.as_json:
        terminal.document({"code": found.code, "severity": found.severity, "title": found.title, "why": found.why})
    else:
        terminal.line(clean_lines(section(found)))
    return FINE


def clean_lines(text: str) -> str:
    """The text line by line without characters that a terminal would act upon."""
    return "\n".join(clean(line.replace("\t", "    ")) for line in text.split("\n")).rstrip()
