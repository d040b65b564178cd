"""How plans, changes, drift and the journal look on a terminal.

Knows documents and a terminal, no daemon. A key that is missing shows as "-".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import picture
from .table import Column, show
from .terminal import Terminal, clean


def plan(terminal: Terminal, found: Mapping[str, Any]) -> None:
    """What an apply would do, and what the rehearsal shows."""
    change(terminal, {"plan": found, "rehearsal": found.get("rehearsal") or {}})
    changes = found.get("changes") or []
    picture.changes(terminal, changes)
    picture.obstacles(terminal, dict(found))
    if found.get("drift"):
        terminal.line(f"{len(found['drift'])} of them put right what others changed")
    if found.get("hash") and changes:
        terminal.line(f"plan {clean(found['hash'])[:16]}")


def change(terminal: Terminal, found: Mapping[str, Any]) -> None:
    """Differences, risk and rehearsal of a change."""
    told: Mapping[str, Any] = found.get("plan") or {}
    lines(terminal, told.get("text"))
    risk = told.get("risk") or {}
    if risk.get("level") not in (None, "none"):
        terminal.line(f"risk: {clean(risk.get('level'))}")
        for reason in risk.get("reasons") or []:
            terminal.paragraph(f"  - {clean(reason.get('text') if isinstance(reason, dict) else reason)}", 4)
    rehearsal: Mapping[str, Any] = found.get("rehearsal") or {}
    rows = [
        (row.get("what"), row.get("before"), row.get("after"), _verdict(row))
        for row in picture.rows(dict(rehearsal), "rows")
    ]
    if rows:
        verdict = Column("VERDICT", colour=lambda text: "green" if text.startswith("ok") else "red")
        show(terminal, [Column("REHEARSED", least=20), Column("BEFORE"), Column("AFTER"), verdict], rows)
    if rehearsal.get("how") == "rules":
        terminal.paragraph(f"not tried with packets ({clean(rehearsal.get('why'))}): judged by our own rules alone", 2)
    for note in rehearsal.get("notes") or []:
        terminal.paragraph(clean(note), 2)


def _verdict(row: Mapping[str, Any]) -> str:
    because = str(row.get("because") or "")
    if row.get("ok"):
        return f"ok, {because}" if because else "ok"
    return because or ("no" if row.get("ok") is False else "cannot be told")


def drift(terminal: Terminal, found: Mapping[str, Any]) -> None:
    """What others changed, and what became of it."""
    last: Mapping[str, Any] = found.get("last") or {}
    if not last:
        terminal.line("nobody else changed what is ours")
        return
    word = "and is still so" if found.get("is_there") else "put right since"
    terminal.line(
        f"{text(last.get('seconds_ago'))} s ago others changed what is ours ({text(last.get('treatment'))}), {word}"
    )
    lines(terminal, last.get("changes"))
    if found.get("heals_again_in"):
        terminal.line(f"healed twice already: again in {text(found['heals_again_in'])} s, or netpolicy drift --heal")


def how_to_confirm(terminal: Terminal, found: Mapping[str, Any], token: str) -> None:
    """What to do that the change stays."""
    terminal.paragraph(
        f"Taken back in {text(found.get('seconds_left'))} s unless you open a NEW connection to this router"
        " and say there:"
    )
    terminal.line(f"  netpolicy confirm {token}")


def lines(terminal: Terminal, found: object) -> None:
    """Lines of text as they come."""
    for line in found if isinstance(found, list) else []:
        terminal.line(clean(line))


def what(row: Mapping[str, Any]) -> str:
    """One line of the journal in some words."""
    event = str(row.get("event"))
    if event == "change":
        reason = row.get("reason")
        return f"{text(row.get('cause'))}: {text(row.get('outcome'))}" + (f" ({clean(reason)})" if reason else "")
    if event in ("adopted", "recovered"):
        return f"{event}: {text(row.get('cause') or row.get('outcome'))}"
    return f"{text(row.get('cause'))}: began" if event == "begin" else event


def moment(seconds: object) -> str:
    """A time of the journal."""
    if not isinstance(seconds, (int, float)):
        return "-"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def text(value: object) -> str:
    """A value, "-" where there is none."""
    return "-" if value is None or value == "" else clean(value)
