"""The commands of the guarded apply: plan, apply, confirm, extend, abort, rollback, and what was applied before.

Each asks the daemon and shows its answer; a change that waits is told how to be confirmed. Exit codes: docs/cli.md.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from typing import Any

from . import change_picture, picture
from .change_picture import moment, text, what
from .exit_code import CHANGES_PENDING, FINDINGS, FINE, REFUSED, RESCUE, REVERTED, USAGE, Failure
from .running import Daemon
from .table import Column, show
from .terminal import Terminal, clean

# Planning rehearses; a change takes a slow router its time.
SLOW_SECONDS = 120.0
POLL_SECONDS = 0.1

ENDS = {"unchanged": FINE, "committed": FINE, "refused": REFUSED, "reverted": REVERTED, "rescue": RESCUE}

# A text that the daemon takes over; larger ones have to be written to the configuration file.
MOST_TEXT = 1 << 20


def plan(options: argparse.Namespace, terminal: Terminal) -> int:
    """2 when an apply would change something, else 1 when something stands in its way."""
    found = _ask(options, "plan", _candidate(options))
    if terminal.as_json:
        terminal.document(found)
    else:
        change_picture.plan(terminal, found)
    if found.get("error"):
        terminal.complain(f"plan: {found['error']}")
        return FINDINGS
    if found.get("changes") or found.get("rules"):
        return CHANGES_PENDING
    return FINDINGS if found.get("conflicts") else FINE


def apply(options: argparse.Namespace, terminal: Terminal) -> int:
    """0 applied and nothing to confirm, or no change; 2 waits for a confirmation; 3, 4, 5 as the contract says."""
    asked = {
        **_candidate(options),
        "confirm": options.confirm,
        "plan": options.plan,
        "message": options.message,
        "force": options.force or None,
        "console": options.console or None,
        "from": _from(),
    }
    return _carry_out(options, terminal, "apply", asked)


def rollback(options: argparse.Namespace, terminal: Terminal) -> int:
    """As `apply`."""
    asked = {
        "generation": options.generation,
        "confirm": options.confirm,
        "message": options.message,
        "force": options.force or None,
        "console": options.console or None,
        "from": _from(),
    }
    return _carry_out(options, terminal, "rollback", asked)


def confirm(options: argparse.Namespace, terminal: Terminal) -> int:
    """0 when the change stays, 4 when the confirmation is not believed."""
    with Daemon(options.socket) as daemon:
        asked = {"id": options.token, "ssh": os.environ.get("SSH_CONNECTION", "")[:200], "from": _from(),
                 "console": options.console or None}  # fmt: skip
        return _told(terminal, _refusable(daemon, "confirm", asked), "")


def extend(options: argparse.Namespace, terminal: Terminal) -> int:
    """Moves the end of the time to confirm."""
    with Daemon(options.socket) as daemon:
        found = _refusable(daemon, "extend", {"id": options.id, "seconds": options.seconds})
    if terminal.as_json:
        terminal.document(found)
    else:
        terminal.line(f"change {clean(found.get('id'))} waits {clean(found.get('seconds_left'))} s more")
    return CHANGES_PENDING


def abort(options: argparse.Namespace, terminal: Terminal) -> int:
    """3: taken back."""
    with Daemon(options.socket) as daemon:
        return _told(terminal, _refusable(daemon, "abort", {"id": options.id, "from": _from()}), "")


def history(options: argparse.Namespace, terminal: Terminal) -> int:
    """What was done, newest first; with `verify`, 1 when the journal is not what was written."""
    if options.verify:
        return _verify(options, terminal)
    found = _ask(options, "history", {"limit": options.limit})
    if terminal.as_json:
        terminal.document(found)
        return FINE
    rows = [
        (
            moment(row.get("time")),
            what(row),
            text(row.get("generation")),
            text(row.get("who")),
            text(row.get("why")),
        )
        for row in picture.rows(found, "entries")
    ]
    columns = [Column("WHEN", least=16), Column("WHAT", least=12), Column("GEN", True), Column("WHO"), Column("WHY")]
    show(terminal, columns, rows)
    kept = ", ".join(text(number) for number in found.get("generations") or [])
    terminal.line(f"generations kept: {kept or 'none'}; in force: {text(found.get('current'))}")
    return FINE


def show_generation(options: argparse.Namespace, terminal: Terminal) -> int:
    """One generation and its files."""
    found = _ask(options, "show", {"generation": options.generation})
    if terminal.as_json:
        terminal.document(found)
        return FINE
    meta: Mapping[str, Any] = found.get("meta") or {}
    terminal.line(f"generation {text(found.get('number'))}, after {text(found.get('parent'))}")
    for key in ("cause", "who", "why", "change"):
        if meta.get(key):
            terminal.paragraph(f"{key}: {clean(meta[key])}", 2)
    for file in picture.rows(found, "files"):
        terminal.line(f"--- {clean(file.get('path'))}")
        content = file.get("text")
        for line in str(content).splitlines() if content is not None else ["(not kept: too large)"]:
            terminal.line(clean(line.replace("\t", "    ")))
    return FINE


def diff(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when they differ, as diff(1)."""
    found = _ask(options, "diff", {"from": options.first, "to": options.second})
    if terminal.as_json:
        terminal.document(found)
    else:
        change_picture.lines(terminal, found.get("text"))
    return FINDINGS if found.get("changes") else FINE


def drift(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when something of ours is not as it should be, because of others."""
    if options.heal:
        done = _ask(options, "heal", {})
        if not done.get("ok"):
            terminal.complain(f"drift: {done.get('error') or 'it could not be put right'}")
            return FINDINGS
    found = _ask(options, "drift", {})
    if terminal.as_json:
        terminal.document(found)
    else:
        change_picture.drift(terminal, found)
    return FINDINGS if found.get("is_there") else FINE


# -- a change --------------------------------------------------------------------------------


def _carry_out(options: argparse.Namespace, terminal: Terminal, method: str, asked: Mapping[str, Any]) -> int:
    with Daemon(options.socket) as daemon:
        begun = _refusable(daemon, method, asked)
        job, token, seen = begun.get("job"), "", ""
        while True:
            found = daemon.call("job", {"id": job})
            token = found.get("token") or token
            state = str(found.get("state"))
            if state != seen and not terminal.as_json and state not in ENDS:
                terminal.note(f"{state} …" if state != "await" else "in force, not confirmed yet")
            seen = state
            if state in ENDS or (state == "await" and not options.wait):
                return _told(terminal, found, token)
            if state == "await" and not options.told:
                options.told = True
                change_picture.how_to_confirm(terminal, found, token)
            time.sleep(POLL_SECONDS)


def _told(terminal: Terminal, found: Mapping[str, Any], token: str) -> int:
    state = str(found.get("state"))
    code = ENDS.get(state, CHANGES_PENDING)
    if terminal.as_json:
        terminal.document(found)
        return code
    if state == "await":
        change_picture.change(terminal, found)
        change_picture.how_to_confirm(terminal, found, token)
    elif state == "committed":
        terminal.line(terminal.paint(f"confirmed: generation {text(found.get('generation'))} is in force", "green"))
    elif state == "unchanged":
        terminal.line("nothing to do")
    else:
        if state == "refused":
            change_picture.change(terminal, found)
        terminal.complain(f"{state}: {found.get('error') or 'no reason given'}", str(found.get("hint") or ""))
    return code


def _refusable(daemon: Daemon, method: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A refusal of the daemon is an answer here and has its own code."""
    try:
        return daemon.call(method, asked, SLOW_SECONDS)
    except Failure as failure:
        if failure.code == USAGE:
            raise Failure(failure.text, failure.hint, REFUSED) from None
        raise


def _candidate(options: argparse.Namespace) -> dict[str, Any]:
    """What `--rules FILE` hands to the daemon."""
    if not options.rules:
        return {}
    from netpolicy.config.spelling import format_of

    try:
        with open(options.rules, encoding="utf-8") as file:
            rules = file.read(MOST_TEXT + 1)
    except (OSError, UnicodeDecodeError) as problem:
        raise Failure(f"cannot read {options.rules}: {getattr(problem, 'strerror', None) or 'not UTF-8'}") from None
    if len(rules) > MOST_TEXT:
        raise Failure(f"{options.rules} is too long to be handed over", "write it to the configuration file and apply")
    return {"text": rules, "format": format_of(options.rules)}


def _from() -> str:
    """Who sits here, as far as this process knows: written down, never believed."""
    user = os.environ.get("SUDO_USER") or os.environ.get("USER") or str(os.getuid())
    peer = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return f"{user} from {peer}"[:200] if peer else user[:200]


def _verify(options: argparse.Namespace, terminal: Terminal) -> int:
    found = _ask(options, "verify", {})
    if terminal.as_json:
        terminal.document(found)
    elif found.get("fine"):
        terminal.line(
            f"{text(found.get('lines'))} lines, each as it was written; the last is {text(found.get('number'))}"
        )
        terminal.line(f"its hash: {clean(found.get('hash'))}")
    else:
        terminal.complain(f"the journal is not what was written: {found.get('why')}")
    return FINE if found.get("fine") else FINDINGS


def _ask(options: argparse.Namespace, method: str, data: Mapping[str, Any]) -> dict[str, Any]:
    with Daemon(options.socket) as daemon:
        return daemon.call(method, data, SLOW_SECONDS)
