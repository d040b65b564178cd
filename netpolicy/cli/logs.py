"""`netpolicy logs`: what the daemon did lately, from its ring in memory.

Shows entries as they are; never writes any. With --follow it asks once a second for what is
new, and begins again when the numbers show that the daemon was restarted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .exit_code import FINE
from .picture import Document, rows, shown
from .running import Daemon
from .terminal import Terminal

POLL_SECONDS = 1.0
FOLLOW_LIMIT = 500  # as many as the daemon keeps
COLOURS = {"error": "red", "warning": "yellow"}


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """The newest entries, oldest first."""
    with Daemon(options.socket) as daemon:
        if options.follow:
            for entry in _follow(daemon, options):
                _show(terminal, entry)
        found = daemon.call("logs", _asked(options.since, options.limit, options.level))
    if terminal.as_json:
        terminal.document(found)
        return FINE
    for entry in rows(found, "entries"):
        _show(terminal, entry)
    return FINE


def _asked(since: int, limit: int, level: str | None) -> dict[str, Any]:
    return {"since": since, "limit": limit, "level": level}


def _show(terminal: Terminal, entry: Document) -> None:
    if terminal.as_json:
        terminal.record(entry)
        return
    level = shown(entry.get("level"))
    head = f"{clock(entry.get('time'))} {level:<7} {shown(entry.get('kind'))}: "
    text = f"{head}{shown(entry.get('message'))}"
    terminal.paragraph(text, min(len(head), terminal.width // 2), COLOURS.get(level, ""))


def clock(seconds: object) -> str:
    """Local time of seconds since the epoch; a router without a clock shows 1970."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return shown(seconds)
    try:
        return time.strftime("%m-%d %H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "-"


def _follow(daemon: Daemon, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Entries for ever; ends with Failure or KeyboardInterrupt."""

    def ask(since: int, limit: int) -> list[dict[str, Any]]:
        return rows(daemon.call("logs", _asked(since, limit, options.level)), "entries")

    fresh = ask(options.since, options.limit)
    last: dict[str, Any] = {}
    while True:
        yield from fresh
        last = fresh[-1] if fresh else last
        time.sleep(POLL_SECONDS)
        # The last one seen is asked for again: that shows whether the numbers still mean the same.
        found = ask(max(_number(last) - 1, 0), FOLLOW_LIMIT)
        fresh = after(last, found) if goes_on(last, found) else ask(0, FOLLOW_LIMIT)


def goes_on(last: Document, entries: Sequence[Document]) -> bool:
    """Whether `entries`, asked for from the `last` one seen, are of the same run of the daemon."""
    if not last:
        return True
    return bool(entries) and (entries[0] == last or _number(entries[0]) > _number(last))


def after(last: Document, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries that come after the `last` one seen."""
    return [entry for entry in entries if _number(entry) > _number(last)]


def _number(entry: Document) -> int:
    number = entry.get("id")
    return number if isinstance(number, int) else 0
