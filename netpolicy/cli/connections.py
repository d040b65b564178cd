"""`netpolicy connections`: the open connections and what became of them.

Shows what the daemon found; never matches a rule itself. With --follow it asks once a second
and prints what is new or was decided anew.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from .exit_code import FINE
from .picture import Document, rows, shown
from .running import Daemon
from .table import Column, amount, fit, line, show
from .terminal import Terminal, clean

POLL_SECONDS = 1.0
DISAGREES = "!"
ENDS = 3  # columns up to the destination

COLUMNS = (
    Column("PROTO"),
    Column("SOURCE", least=15),
    Column("DESTINATION", least=15),
    Column("RULE", least=6),
    Column("OUTBOUND", least=6),
    Column("BYTES", is_number=True),
    Column("", least=1, colour=lambda text: "red" if text else ""),
)

# Between the ends and the rule, where names are known and the terminal has room for them.
NAME = Column("NAME", least=12)
NAME_WIDTH = 100  # of the terminal

# While following nobody knows how wide the next row is: an IPv4 pair, names of usual length.
FOLLOWED_WIDTHS = ("icmpv6", "192.168.100.100:65535", "255.255.255.255:65535", "longer_rule", "outbound", "1000k", "!")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """One page, or a line for each until interrupted."""
    asked = {"limit": options.limit, "offset": options.offset, "filter": options.filter}
    with Daemon(options.socket) as daemon:
        if options.follow:
            _follow(daemon, asked, terminal)
        found = daemon.call("connections", asked)
    if terminal.as_json:
        terminal.document(found)
    else:
        _page(terminal, found)
    return FINE


def _page(terminal: Terminal, found: Document) -> None:
    listed = rows(found, "connections")
    if listed:
        if terminal.width >= NAME_WIDTH and any(connection.get("name") for connection in listed):
            columns = (*COLUMNS[:ENDS], NAME, *COLUMNS[ENDS:])
            show(terminal, columns, [_named(connection) for connection in listed])
        else:
            show(terminal, COLUMNS, [_row(connection) for connection in listed])
    terminal.line(f"{len(listed)} of {shown(found.get('total'))} connections")
    if found.get("disagreements"):
        terminal.paragraph(
            f"{found['disagreements']} of them ({DISAGREES}) go another way than the rules say now: they are "
            "older than the rule, or something else set their mark"
        )


def _row(found: Document) -> tuple[str, ...]:
    return (
        shown(found.get("protocol")),
        _end(found, "src"),
        _end(found, "dest"),
        shown(found.get("rule")),
        shown(found.get("outbound")),
        amount(found.get("bytes")),
        DISAGREES if found.get("agrees") is False else "",
    )


def _named(found: Document) -> tuple[str, ...]:
    row = _row(found)
    return (*row[:ENDS], shown(found.get("name")), *row[ENDS:])


def _end(found: Document, side: str) -> str:
    address, port = shown(found.get(side)), found.get(f"{side}_port")
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _follow(daemon: Daemon, asked: dict[str, Any], terminal: Terminal) -> None:
    """Print for ever; ends with Failure or KeyboardInterrupt."""
    widths = fit(COLUMNS, [FOLLOWED_WIDTHS], terminal.width)
    if not terminal.as_json:
        terminal.line(line(_Plain(terminal), COLUMNS, widths, [column.title for column in COLUMNS]))
    for connection in _news(daemon, asked):
        if terminal.as_json:
            terminal.record(connection)
        else:
            terminal.line(line(terminal, COLUMNS, widths, [clean(cell) for cell in _row(connection)]))


class _Plain(Terminal):
    """The same terminal for headings, which have no colour."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal.out, terminal.err)
        self.has_colour = False


def _news(daemon: Daemon, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Connections that were not there, or that had another fate, the second before."""
    known: dict[object, tuple[object, ...]] = {}
    while True:
        fates: dict[object, tuple[object, ...]] = {}
        for connection in rows(daemon.call("connections", asked), "connections"):
            number = connection.get("id")
            fates[number] = (connection.get("rule"), connection.get("outbound"), connection.get("agrees"))
            if known.get(number) != fates[number]:
                yield connection
        known = fates
        time.sleep(POLL_SECONDS)
