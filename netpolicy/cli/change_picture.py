"""How plans, changes, drift and the journal look on a terminal.

Knows documents and a terminal, no daemon. A key that is missing shows as "-".
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import picture
from .table import Column, fit, show
from .table import line as table_line
from .terminal import Terminal, clean

Document = Mapping[str, Any]

# Lines of the kernel and rows of the rehearsal that a person looks through; --verbose shows all.
MOST_LINES = 20
MOST_ROWS = 20
MOST_DRIFT = 10

# Characters of a hash that name a plan for a person.
HASH_SHOWN = 16

YES, BROKEN, UNKNOWN = "ok", "BROKEN", "not known"


def plan(terminal: Terminal, found: Document, is_verbose: bool = False, again: str = "netpolicy apply") -> None:
    """What an apply would do: the rules first, then what the rehearsal shows, then how much that is in the kernel."""
    _waiting(terminal, _part(found, "pending"))
    change(terminal, {"plan": found, "rehearsal": found.get("rehearsal")}, is_verbose)
    _kernel(terminal, found, is_verbose)
    picture.obstacles(terminal, found)
    lines(terminal, found.get("skipped"))
    if is_refused(found):
        refused = _part(found, "refused")
        terminal.paragraph(f"apply refuses this: {refused['error']}", 2)
        if refused.get("hint"):
            terminal.paragraph(f"  hint: {refused['hint']}", 4)
        return
    if not is_something(found):
        return
    if found.get("window"):
        terminal.line(f"once applied it is taken back after {clean(found['window'])} s unless somebody confirms it")
    if found.get("hash"):
        terminal.line(f"make exactly this change: {again} --plan {clean(found['hash'])[:HASH_SHOWN]}")


def is_refused(found: Document) -> bool:
    """Whether an apply of this plan would be refused as it stands."""
    return bool(_part(found, "refused").get("error"))


def _waiting(terminal: Terminal, pending: Document) -> None:
    if not pending:
        return
    left = pending.get("seconds_left")
    by = f", taken back in {text(left)} s unless it is confirmed" if left is not None else ""
    terminal.paragraph(f"change {text(pending.get('id'))} ({text(pending.get('cause'))}) is under way: "
                       f"{text(pending.get('state'))}{by}. What follows would come on top of it, and cannot be applied "
                       "before it is over: netpolicy confirm, netpolicy abort", 2)  # fmt: skip


def is_something(found: Document) -> bool:
    """Whether a plan would change anything for anybody."""
    return bool(found.get("changes") or found.get("rules"))


def _kernel(terminal: Terminal, found: Document, is_verbose: bool) -> None:
    changes = _listed(found, "changes")
    told = len(_listed(found, "text"))
    if not changes and (told or found.get("unchanged") is False):
        terminal.line("the kernel stays as it is; the files would be kept as a new generation")
        return
    # Where rules explain them, only their number; else the first of them, since nothing else says what would happen.
    shown = changes if is_verbose else changes[:MOST_LINES] if not told else []
    if len(shown) == len(changes):
        picture.changes(terminal, changes)
    else:
        for line in shown:
            terminal.line(clean(str(line).partition("\n")[0]))
        total = _part(found, "totals").get("changes")
        count = total if isinstance(total, int) and total > len(changes) else len(changes)
        more = f"{count - len(shown)} more in" if shown else f"{count} changes of"
        terminal.line(f"{more} the kernel: --verbose lists them")
    others = len(_listed(found, "drift"))
    if others:
        terminal.paragraph(f"{others} of them put right what others changed of ours: netpolicy drift", 2)


def change(terminal: Terminal, found: Document, is_verbose: bool = False) -> None:
    """Differences by name, risk and rehearsal of a change."""
    told = _part(found, "plan")
    lines(terminal, told.get("text"))
    _risk(terminal, _part(told, "risk"))
    rehearsal(terminal, _part(found, "rehearsal"), is_verbose)


def _risk(terminal: Terminal, risk: Document) -> None:
    level = clean(risk.get("level") or "none")
    if level == "none":
        return
    terminal.line(f"risk: {terminal.paint(level, 'red' if level == 'high' else '')}")
    for reason in _listed(risk, "reasons"):
        terminal.paragraph(f"  - {reason.get('text') if isinstance(reason, dict) else reason}", 4)


def rehearsal(terminal: Terminal, found: Document, is_verbose: bool = False) -> None:
    """Who can still do what: what is broken comes first, and says why."""
    rows = sorted(picture.rows(found, "rows"), key=lambda row: (row.get("ok") is not False, row.get("ok") is True))
    shown = rows if is_verbose else rows[:MOST_ROWS]
    if shown:
        colour = {YES: "green", BROKEN: "red"}
        verdict = Column("VERDICT", least=9, colour=lambda text: colour.get(text, "yellow"))
        columns = [verdict, Column("REHEARSED", least=46), Column("RESULT", least=12)]
        cells = [[_verdict(row), text(row.get("what")), _result(row)] for row in shown]
        show(terminal, columns, cells)
    for row in shown:
        if row.get("because"):
            terminal.paragraph(f"{text(row.get('what'))}: {row['because']}", 2)
    if len(rows) > len(shown):
        terminal.line(f"and {len(rows) - len(shown)} more: --verbose shows them")
    if found.get("how") == "rules":
        terminal.paragraph(f"not tried with packets, judged by our own rules alone: {text(found.get('why'))}", 2)
    for note in _listed(found, "notes"):
        terminal.paragraph(str(note), 2)


def _verdict(row: Document) -> str:
    return YES if row.get("ok") else BROKEN if row.get("ok") is False else UNKNOWN


def _result(row: Document) -> str:
    before, after = text(row.get("before")), text(row.get("after"))
    return after if before == after else f"{before} → {after}"


def how_to_confirm(terminal: Terminal, found: Document, token: str, is_console: bool = False) -> None:
    """What a person has to do that the change stays, and by when."""
    left = found.get("seconds_left")
    by = f"in {text(left)} s" + (f", at {_clock(left)}" if isinstance(left, int) else "")
    terminal.paragraph(f"In force now, and taken back {by}, unless it is confirmed. Leave this session open, log in to "
                       "this router ANEW by SSH, and say there:")  # fmt: skip
    terminal.line(f"  netpolicy confirm {clean(token) or 'TOKEN'}")
    if is_console:
        terminal.line("or here, at the console: the same with --console")
    terminal.line("more time: netpolicy extend SECONDS; back now: netpolicy abort")


def ended(terminal: Terminal, found: Document) -> None:
    """A change that stays, or one that was nothing."""
    if found.get("state") == "unchanged":
        terminal.line("nothing to do: this is what is in force, and confirmed")
        return
    terminal.line(terminal.paint(f"confirmed: generation {text(found.get('generation'))} is in force", "green"))
    notes(terminal, found)


def notes(terminal: Terminal, found: Document) -> None:
    """What else belongs to a change, such as where a text is kept."""
    for note in noted(found):
        terminal.paragraph(note, 2)


def noted(found: Document) -> list[str]:
    """The same as lines."""
    return [clean(note) for note in _listed(found, "notes")]


def drift(terminal: Terminal, found: Document) -> None:
    """What others changed, and what became of it."""
    last = _part(found, "last")
    if not last:
        terminal.line("nobody else changed what is ours")
        return
    treated = {"heal": "put right", "paused": "left: put right twice in ten minutes already"}
    word = treated.get(str(last.get("treatment")), f"left: drift is {text(found.get('mode'))}")
    still = ", and it is still so" if found.get("is_there") else ""
    terminal.paragraph(f"{text(last.get('seconds_ago'))} s ago others changed what is ours ({word}){still}:")
    changes = _listed(last, "changes")
    for line in changes[:MOST_DRIFT]:
        terminal.line("  " + clean(line))
    if len(changes) > MOST_DRIFT:
        terminal.line(f"  and {len(changes) - MOST_DRIFT} more: --json has them")
    if found.get("is_there"):
        again = f"by itself in {text(found['heals_again_in'])} s; " if found.get("heals_again_in") else ""
        terminal.line(f"put it right: {again}now: netpolicy drift --heal")


def history(terminal: Terminal, found: Document) -> None:
    """The journal, newest first: the beginning of a change only where its end is not there."""
    rows = picture.rows(found, "entries")
    over = {str(_change_of(row)) for row in rows if row.get("event") in ("change", "recovered")}
    rows = [row for row in rows if row.get("event") != "begin" or row.get("kind") or str(row.get("id")) not in over]
    columns = [Column("WHEN", least=16), Column("WHAT", least=20), Column("GEN", True), Column("WHO"), Column("WHY")]
    cells = [
        [moment(row.get("time")), what(row), *(text(row.get(key) or None) for key in ("generation", "who", "why"))]
        for row in rows
    ]
    widths = fit(columns, cells, terminal.width)
    for row, line in zip([{}, *rows], [[column.title for column in columns], *cells], strict=True):
        terminal.line(table_line(terminal, columns, widths, line))
        because = row.get("reason") or row.get("detail") or row.get("problem")
        if because:
            terminal.paragraph(f"  {because}", 2)
        for note in noted(row) if row.get("outcome") == "reverted" else ():
            terminal.paragraph(f"  {note}", 2)
    kept = ", ".join([text(number) for number in _listed(found, "generations")])
    terminal.paragraph(f"kept: {kept or 'none'}; confirmed: {text(found.get('current'))}", 2)


def _change_of(row: Document) -> object:
    return row.get("id") or str(row.get("detail") or "").partition(" ")[0]


def what(row: Document) -> str:
    """One line of the journal in some words."""
    event = text(row.get("event"))
    if row.get("problem"):
        return "unreadable"
    if row.get("kind"):
        return f"{text(row['kind'])}: {event}"
    if event == "change":
        return f"{text(row.get('cause'))}: {text(row.get('outcome'))}"
    if event == "begin":
        return f"{text(row.get('cause'))}: began"
    if event == "recovered":
        return f"found {text(row.get('outcome'))}"
    return f"{event}: {text(row.get('cause'))}" if row.get("cause") else event


def generation(terminal: Terminal, found: Document) -> None:
    """One generation: where it comes from, and its files."""
    parent = found.get("parent")
    terminal.line(
        f"generation {text(found.get('number'))}, " + (f"after {text(parent)}" if parent else "the first one")
    )
    meta = _part(found, "meta")
    for key in ("cause", "who", "why", "change"):
        if meta.get(key):
            terminal.paragraph(f"{key}: {meta[key]}", 2)
    for file in picture.rows(found, "files"):
        terminal.line(f"--- {text(file.get('path'))}")
        content = file.get("text")
        kept = str(content).splitlines() if content is not None else [f"(not shown; sha256 {text(file.get('sha256'))})"]
        for line in kept:
            terminal.line(clean(line.replace("\t", "    ")))


def lines(terminal: Terminal, found: object) -> None:
    """Lines of text, wrapped where they are too long."""
    for line in found if isinstance(found, list) else []:
        terminal.paragraph(str(line), 4)


def moment(seconds: object) -> str:
    """A time of the journal; "-" where there is none."""
    return _strftime("%Y-%m-%d %H:%M", seconds)


def text(value: object) -> str:
    """A value, "-" where there is none."""
    return clean(picture.shown(value))


def _clock(seconds: int) -> str:
    return _strftime("%H:%M:%S", time.time() + seconds)


def _strftime(form: str, seconds: object) -> str:
    if not isinstance(seconds, (int, float)):
        return "-"
    try:
        return time.strftime(form, time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "-"


def _part(found: Document, key: str) -> Document:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _listed(found: Document, key: str) -> Sequence[Any]:
    value = found.get(key)
    return value if isinstance(value, list) else []
