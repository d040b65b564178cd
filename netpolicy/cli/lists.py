"""`netpolicy lists`: every list, where it is from, how old it is; with --refresh, fetch it again now.

Asks the daemon and shows its answer; fetches nothing itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from .exit_code import FINDINGS, FINE
from .picture import Document, rows, shown
from .running import Daemon
from .table import Column, amount, show
from .terminal import Terminal

COLUMNS = (
    Column("LIST", least=6),
    Column("ADDRESSES", is_number=True),
    Column("NAMES", is_number=True),
    Column("FORMAT", least=6),
    Column("AGE", is_number=True),
    Column("NEXT", is_number=True),
    Column("FROM", least=12),
)

TIMES = ((86400, "d"), (3600, "h"), (60, "m"))


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when a list could not be fetched, or is too old."""
    with Daemon(options.socket) as daemon:
        begun = daemon.call("refresh_lists", {"list": options.refresh}) if options.refresh is not None else {}
        found = daemon.call("lists")
    listed = rows(found, "lists")
    if terminal.as_json:
        terminal.document({**found, "begun": begun.get("lists", [])} if begun else found)
    else:
        if begun:
            names = ", ".join(str(name) for name in begun.get("lists") or [])
            terminal.line(f"being fetched: {names}" if names else "no list has a url")
        _show(terminal, listed)
    return FINDINGS if any(one.get("error") or one.get("is_stale") for one in listed) else FINE


def _show(terminal: Terminal, listed: Sequence[Document]) -> None:
    if not listed:
        terminal.line("there are no lists")
        return
    show(terminal, COLUMNS, [_row(one) for one in listed])
    for one in listed:
        for word, key in (("not fetched", "error"), ("fetched, and does not count yet", "waits")):
            if one.get(key):
                terminal.paragraph(f"{shown(one.get('name'))}: {word}: {one[key]}", 2)
        if one.get("left_out") or one.get("skipped"):
            text = (
                f"{one.get('left_out', 0)} lines are no entries, {one.get('skipped', 0)} are of kinds that do not count"
            )
            terminal.paragraph(f"{shown(one.get('name'))}: {text}", 2)


def _row(one: Document) -> tuple[str, ...]:
    return (
        shown(one.get("name")),
        amount(one.get("addresses")),
        amount(one.get("names")),
        shown(one.get("format")),
        _time(one.get("age")),
        "now" if one.get("is_under_way") else _time(one.get("next")),
        shown(one.get("url") or one.get("file") or "the configuration"),
    )


def _time(seconds: Any) -> str:
    """3d, 5h, 12m or 40s; "-" for none."""
    if not isinstance(seconds, (int, float)):
        return "-"
    for size, unit in TIMES:
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"
