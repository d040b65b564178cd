"""`netpolicy doctor`: what is wrong with this box and what to do; with --bundle, a file for whoever helps.

Asks the daemon; where none answers it looks by itself and says so first. Decides nothing: the checks are the
service's. Everything is imported when it is needed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .exit_code import FINDINGS, FINE, USAGE, Failure
from .picture import Document, rows, shown
from .running import Daemon
from .terminal import Terminal, clean

if TYPE_CHECKING:
    from netpolicy.service.doctor_given import Given

# The daemon's child ends before that.
SECONDS = 32.0

COLOURS = {"error": "red", "warning": "yellow", "info": "", "ok": "green"}
WORDS = {"info": "good to know", "ok": "fine"}
LABELS = {"error": "ERROR", "warning": "WARNING", "info": "info"}
HEAD_CELLS = 8

# What the daemon is asked for, for the bundle: method and arguments.
DOCUMENTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("status", {}), ("rules", {}), ("outbounds", {}), ("drift", {}), ("logs", {"limit": 500}),
)  # fmt: skip


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 with errors or warnings."""
    if options.bundle and os.path.lexists(options.bundle):
        raise Failure(f"{options.bundle} is there already", "name a file that is not", USAGE)
    found = _of_areas(_examined(options), options.areas)
    written = _bundle(options, found) if options.bundle else 0
    if terminal.as_json:
        terminal.document({**found, "bundle": options.bundle} if written else found)
    else:
        show(terminal, found, options.verbose)
        if written:
            terminal.line()
            note = f"{options.bundle} is written, {-(-written // 1024)} KiB: look into it before you give it away"
            terminal.paragraph(note + ("" if options.anonymous else "; --anonymous takes addresses out"), 2)
    bad = [one for one in rows(found, "findings") if one.get("level") not in ("ok", "info")]
    return FINDINGS if bad else FINE


def _examined(options: argparse.Namespace) -> dict[str, Any]:
    try:
        with Daemon(options.socket) as daemon:
            return daemon.call("doctor", {}, SECONDS)
    except Failure as failure:
        from netpolicy.service.doctor import examine
        from netpolicy.service.doctor_system import System

        return examine(System(), _given(options, failure.text))


def _given(options: argparse.Namespace, why_not: str) -> Given:
    from netpolicy.service.doctor import given_by_files

    return given_by_files(why_not, options.config, options.state_dir, options.store_dir)


def _of_areas(found: dict[str, Any], areas: list[str]) -> dict[str, Any]:
    """Only what was asked for; the counts follow."""
    known = _table(_table(found, "summary"), "areas")
    wrong = [area for area in areas if area not in known]
    if wrong:
        raise Failure(f"there is no area {wrong[0]!r}", f"one of {', '.join(known)}", USAGE)
    if not areas:
        return found
    kept = [one for one in rows(found, "findings") if one.get("area") in areas]
    counts = {
        level: sum(1 for one in kept if one.get("level") == level) for level in ("ok", "info", "warning", "error")
    }
    return {"findings": kept, "summary": {**counts, "areas": {a: level for a, level in known.items() if a in areas}}}


def show(terminal: Terminal, found: Document, verbose: bool) -> None:
    """Findings first, the worst at the top; then what is fine, a line for each area."""
    findings = rows(found, "findings")
    told = [one for one in findings if one.get("level") != "ok"]
    terminal.paragraph(_title(findings))
    for one in told:
        terminal.line()
        _finding(terminal, one)
    terminal.line()
    areas = _table(_table(found, "summary"), "areas")
    for area in areas:
        _area(terminal, area, [one for one in findings if one.get("area") == area], verbose)


def _title(findings: list[dict[str, Any]]) -> str:
    counts = {level: sum(1 for one in findings if one.get("level") == level) for level in COLOURS}
    words = {**WORDS, **{level: level + ("" if counts[level] == 1 else "s") for level in ("error", "warning")}}
    return ", ".join(f"{counts[level]} {words[level]}" for level in COLOURS)


def _finding(terminal: Terminal, one: Document) -> None:
    level = shown(one.get("level"))
    head = f"{LABELS.get(level, level):<{HEAD_CELLS}}"
    terminal.paragraph(
        f"{head}{shown(one.get('title'))} ({shown(one.get('code'))})", HEAD_CELLS, COLOURS.get(level, "")
    )
    for text in (one.get("details"), one.get("cure")):
        if text:
            terminal.paragraph(" " * HEAD_CELLS + str(text), HEAD_CELLS)
    if one.get("command"):
        terminal.line(" " * HEAD_CELLS + "run: " + clean(one["command"]))  # in one line: it is to be pasted


def _area(terminal: Terminal, area: str, findings: list[dict[str, Any]], verbose: bool) -> None:
    good = [one for one in findings if one.get("level") == "ok"]
    is_fine = len(good) == len(findings)
    count = "fine" if is_fine else f"{len(good)} of {len(findings)} checks are fine"
    terminal.line(terminal.paint(f"{area:<12}{count}", "green" if is_fine else ""))
    for one in good if verbose else ():
        details = f": {one['details']}" if one.get("details") else ""
        terminal.paragraph(f"  {shown(one.get('code'))}  {shown(one.get('title'))}{details}", 9)


def _bundle(options: argparse.Namespace, found: dict[str, Any]) -> int:
    """Writes it; its size in bytes."""
    from netpolicy.service.doctor_bundle import collect, write
    from netpolicy.service.doctor_system import System

    documents = {"findings": found, **_documents(options)}
    file = _table(documents["status"], "config").get("file")
    options.config = file if isinstance(file, str) else options.config  # what the daemon really reads
    parts = collect(System(), _given(options, ""), documents, options.anonymous)
    try:
        return write(options.bundle, parts)
    except OSError as error:
        raise Failure(f"{options.bundle} was not written: {error.strerror}", "name a file elsewhere") from None


def _documents(options: argparse.Namespace) -> dict[str, Any]:
    """What the daemon says; where it does not answer, why."""
    found: dict[str, Any] = {}
    for method, given in DOCUMENTS:
        try:
            with Daemon(options.socket) as daemon:
                found[method] = daemon.call(method, given)
        except Failure as failure:
            found[method] = {"error": failure.text}
    return found


def _table(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}
