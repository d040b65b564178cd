"""The commands of the guarded apply: plan, apply, confirm, extend, abort, rollback, and what was applied before.

Each asks the daemon and shows its answer; a change that waits is told how to be confirmed. Exit codes: docs/cli.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from . import change_picture, login
from .change_picture import text
from .change_watch import AWAITING, ENDS, Follower
from .exit_code import CHANGES_PENDING, FINDINGS, FINE, REFUSED, USAGE, Failure
from .running import Daemon
from .terminal import Terminal, clean

# Planning rehearses; a change takes a slow router its time.
SLOW_SECONDS = 120.0

# Bytes of a text that the daemon takes over: a bus message is at most 1 MiB, and has other parts.
MOST_TEXT = 1_000_000

TEXT = "<text>"  # what the daemon calls it


def plan(options: argparse.Namespace, terminal: Terminal) -> int:
    """2 when an apply would change something, else 1 when something stands in its way."""
    found = _ask(options, "plan", _candidate(options))
    if terminal.as_json:
        terminal.document(found)
    elif not found.get("error"):
        _name_the_file(options, found.get("refused"))
        again = f"netpolicy apply --rules {clean(options.rules)}" if options.rules else "netpolicy apply"
        change_picture.plan(terminal, found, options.verbose, again)
    if found.get("error"):
        terminal.complain(f"plan: {_by_name(options, found['error'])}")
        return FINDINGS
    if change_picture.is_something(found):
        return CHANGES_PENDING
    return FINDINGS if found.get("conflicts") or change_picture.is_refused(found) else FINE


def apply(options: argparse.Namespace, terminal: Terminal) -> int:
    """0 confirmed, or nothing to do; 2 waits for a confirmation; 3 taken back; 4 not made; 5 rescue."""
    return _carry_out(options, terminal, "apply", {**_candidate(options), "plan": options.plan, **_asked(options)})


def rollback(options: argparse.Namespace, terminal: Terminal) -> int:
    """As `apply`."""
    return _carry_out(options, terminal, "rollback", {"generation": options.generation, **_asked(options)})


def confirm(options: argparse.Namespace, terminal: Terminal) -> int:
    """0 when the change stays, 4 when the confirmation is not believed."""
    words = login.ssh_words()
    with Daemon(options.socket) as daemon:
        if not words and not options.console:
            _refuse_without_login(daemon)
        asked = {"id": options.token, "ssh": words, "from": login.told(), "console": options.console or None}
        try:
            found = _refusable(daemon, "confirm", asked)
        except Failure as failure:
            if options.console and not words and failure.code == REFUSED:
                hint = "--console counts only for a change that was applied with --console; else log in by SSH"
                raise Failure(failure.text, hint, REFUSED) from None
            raise
    return _told(terminal, found, "")


def extend(options: argparse.Namespace, terminal: Terminal) -> int:
    """Moves the end of the time to confirm; 2, the change waits."""
    with Daemon(options.socket) as daemon:
        found = _refusable(daemon, "extend", {"id": options.id, "seconds": options.seconds})
    if terminal.as_json:
        terminal.document(found)
    else:
        terminal.line(f"change {text(found.get('id'))} waits: {text(found.get('seconds_left'))} s left")
    return CHANGES_PENDING


def abort(options: argparse.Namespace, terminal: Terminal) -> int:
    """3: taken back."""
    with Daemon(options.socket) as daemon:
        found = _refusable(daemon, "abort", {"id": options.id, "from": login.told()})
    if found.get("state") == "reverted" and not terminal.as_json:
        terminal.line(f"change {text(found.get('id'))} is taken back: what was confirmed before is in force again")
        change_picture.notes(terminal, found)
        return ENDS["reverted"]
    return _told(terminal, found, "")


def history(options: argparse.Namespace, terminal: Terminal) -> int:
    """What was done, newest first; with `verify`, 1 when the journal is not what was written."""
    if options.verify:
        return _verify(options, terminal)
    found = _ask(options, "history", {"limit": options.limit})
    if terminal.as_json:
        terminal.document(found)
    else:
        change_picture.history(terminal, found)
    return FINE


def show_generation(options: argparse.Namespace, terminal: Terminal) -> int:
    """One generation and its files."""
    found = _ask(options, "show", {"generation": options.generation})
    if terminal.as_json:
        terminal.document(found)
    else:
        change_picture.generation(terminal, found)
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
            if terminal.as_json:
                terminal.document(done)
            terminal.complain(f"drift: {done.get('error') or 'it could not be put right'}")
            return FINDINGS
    found = _ask(options, "drift", {})
    if terminal.as_json:
        terminal.document(found)
    else:
        change_picture.drift(terminal, found)
    return FINDINGS if found.get("is_there") else FINE


# -- a change --------------------------------------------------------------------------------


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "confirm": options.confirm,
        "message": options.message,
        "force": options.force or None,
        "console": options.console or None,
        "from": login.told(),
    }


def _carry_out(options: argparse.Namespace, terminal: Terminal, method: str, asked: Mapping[str, Any]) -> int:
    with Daemon(options.socket) as daemon:
        try:
            begun = _refusable(daemon, method, asked)
        except Failure as failure:
            raise Failure(_by_name(options, failure.text), failure.hint, failure.code) from None
        for path in begun.get("not_kept") or []:
            terminal.note(f"{clean(path)} stays as it is now: that generation kept no more than its digest")
        follower = Follower(terminal, str(begun.get("job") or ""), not options.wait, options.console)
        found = follower.follow(daemon, options.socket)
    _name_the_file(options, found)
    return _told(terminal, found, follower.token, options.console)


def _name_the_file(options: argparse.Namespace, found: object) -> None:
    if isinstance(found, dict) and found.get("error"):
        found["error"] = _by_name(options, found["error"])


def _by_name(options: argparse.Namespace, told: object) -> str:
    """The daemon has the text alone: what is called so there is the file that it was read from."""
    name = getattr(options, "rules", None)
    return str(told).replace(TEXT, clean(name)) if name else str(told)


def _told(terminal: Terminal, found: Mapping[str, Any], token: str, is_console: bool = False) -> int:
    state = str(found.get("state"))
    code = ENDS.get(state, CHANGES_PENDING)
    if terminal.as_json:
        terminal.document(found)
    elif state == AWAITING:
        change_picture.change(terminal, found)
        change_picture.how_to_confirm(terminal, found, token, is_console)
    elif code == FINE:
        change_picture.ended(terminal, found)
    else:
        _complain(terminal, found, state)
    return code


def _complain(terminal: Terminal, found: Mapping[str, Any], state: str) -> None:
    """A change that did not come to stay: why, and what is in force now."""
    if state == "refused":
        change_picture.change(terminal, found)
    why, hint = found.get("error") or "no reason given", str(found.get("hint") or "")
    now = {
        "refused": "not applied",
        "reverted": "taken back, what was confirmed before is in force again",
        "rescue": "not even the way back worked, only minimal rules are in force",
    }.get(state, f"change {text(found.get('id'))} is {state}")
    terminal.complain(f"{now}: {why}", hint or ("see docs/guarded-apply.md, first aid" if state == "rescue" else ""))
    for note in change_picture.noted(found):
        terminal.note(note)


def _refuse_without_login(daemon: Daemon) -> None:
    """Nothing that is said here can count: better now, with what to do, than in the daemon's words."""
    pending = daemon.call("status").get("pending")
    if not isinstance(pending, dict):
        raise Failure("confirm: no change waits for a confirmation", "netpolicy history says how it ended", REFUSED)
    left = text(pending.get("seconds_left"))
    raise Failure(
        f"confirm: this is no SSH login, so it does not show that one gets through; {left} s left",
        "log in to this router by SSH, from another machine, and say it there. At the console only a change that was "
        "applied with --console can be confirmed: netpolicy confirm --console TOKEN",
        REFUSED,
    )


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
        with open(options.rules, "rb") as file:
            rules = file.read(MOST_TEXT + 1)
        if len(rules) > MOST_TEXT:
            hint = "write it to the configuration file, then netpolicy apply without --rules"
            raise Failure(f"{options.rules} is longer than {MOST_TEXT} bytes", hint)
        return {"text": rules.decode(), "format": format_of(options.rules)}
    except OSError as problem:
        raise Failure(f"cannot read {options.rules}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"cannot read {options.rules}: it is not UTF-8 text") from None


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
