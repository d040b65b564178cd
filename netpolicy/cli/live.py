"""The commands that ask the daemon once and show the answer.

Each is a call and a picture of the reply; never decides anything. A reply that lacks a key
shows as "-": tool and daemon may be of different versions while a router is updated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from netpolicy import __version__

from . import picture
from .exit_code import FINDINGS, FINE, USAGE, Failure
from .running import Daemon
from .terminal import Terminal

# These change or compare the whole kernel state; a slow router needs its time.
SLOW_SECONDS = 60.0

USUAL_DAYS = 30  # the daemon's own

WEIGHT, MEMBER = "weight", "member"
UNTIL = ", until `auto` or a restart of the daemon"

CALL_EXAMPLE = "for example: netpolicy call logs '{\"limit\": 5}'"


def _ask(
    options: argparse.Namespace, method: str, data: Mapping[str, Any] | None = None, seconds: float = 30.0
) -> dict[str, Any]:
    with Daemon(options.socket) as daemon:
        return daemon.call(method, data, seconds)


def status(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when the configuration on disk or the kernel is not as it should be, or a rule is left out."""
    found = _ask(options, "status")
    if terminal.as_json:
        terminal.document(found)
    else:
        picture.status(terminal, found)
    broken = any(_table(found, part).get("error") for part in ("config", "kernel"))
    return FINDINGS if broken or picture.rows(_table(found, "rules"), "skipped") else FINE


def rules(options: argparse.Namespace, terminal: Terminal) -> int:
    """Every rule in the order of the file."""
    found = _all_rules(options)
    if options.unused:
        found["rules"] = [rule for rule in picture.rows(found, "rules") if rule.get("unused")]
    if terminal.as_json:
        terminal.document(found)
    else:
        picture.rules(terminal, picture.rows(found, "rules"), options.days, options.unused)
        picture.throttles(terminal, picture.rows(found, "throttles"))
    return FINE


def _all_rules(options: argparse.Namespace) -> dict[str, Any]:
    """Page by page: thousands of rules do not fit into one bus message."""
    with Daemon(options.socket) as daemon:
        asked = {"unused_days": options.days} if options.days != USUAL_DAYS else {}  # an older daemon knows it not
        found = daemon.call("rules", asked)
        listed, total = found.get("rules"), found.get("total")
        if not isinstance(listed, list) or not isinstance(total, int):  # an older daemon knows no pages
            return found
        while len(listed) < total:
            page = daemon.call("rules", {**asked, "offset": len(listed)}).get("rules")
            if not isinstance(page, list) or not page:  # a reload left fewer
                break
            listed += page
    return found


def outbounds(options: argparse.Namespace, terminal: Terminal) -> int:
    """Every way out, or `set NAME STATE`: 1 where the daemon could not follow."""
    if options.set:
        return _set_outbound(options, terminal)
    found = _ask(options, "outbounds")
    if terminal.as_json:
        terminal.document(found)
    else:
        picture.outbounds(terminal, picture.rows(found, "outbounds"))
    return FINE


def _set_outbound(options: argparse.Namespace, terminal: Terminal) -> int:
    if not options.state:
        raise Failure("set needs a line and what it is to be", "for example: netpolicy outbounds set wan down", USAGE)
    wanted = {"name": options.name, **_wanted(options.state, options.value)}
    found = _ask(options, "outbound_set", wanted, seconds=SLOW_SECONDS)
    is_fine = found.get("ok") is True
    if terminal.as_json:
        terminal.document(found)
    elif is_fine:
        said = f"{options.state} {options.value}".strip()
        terminal.line(f"{options.name} is set to {said}" + ("" if options.state == "auto" else UNTIL))
    if not is_fine:
        why = found.get("error") or "no reason given"
        terminal.complain(f"the kernel does not follow: {why}", "see netpolicy status")
    return FINE if is_fine else FINDINGS


def _wanted(state: str, value: str) -> dict[str, Any]:
    if state == WEIGHT and value.isascii() and value.isdigit() and len(value) < 9:
        return {"weight": int(value)}
    if state == MEMBER and value:
        return {"member": [] if value == "auto" else value.split(",")}
    if state in (WEIGHT, MEMBER) or value:
        raise Failure(f"{state} does not go with {value!r}", "for example: … set wan_b weight 5", USAGE)
    return {"state": state}


def reload(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when the daemon keeps the old configuration, or leaves out rules of the new one."""
    found = _ask(options, "reload", seconds=SLOW_SECONDS)
    is_fine = found.get("ok") is True
    if terminal.as_json:
        terminal.document(found)
    elif is_fine:
        terminal.line("reloaded")
    left_out = picture.left_out(found) if is_fine else ""
    if left_out:
        terminal.complain(left_out, "the others are in force; netpolicy lint says everything that is wrong")
    if not is_fine:
        terminal.complain(f"reload failed: {found.get('error') or 'no reason given'}", "see netpolicy status")
    return FINE if is_fine and not left_out else FINDINGS


def call(options: argparse.Namespace, terminal: Terminal) -> int:
    """Any method; the reply is JSON in any case."""
    try:
        data = json.loads(options.arguments)
    except (ValueError, RecursionError) as problem:
        raise Failure(f"the arguments are not JSON: {problem}", CALL_EXAMPLE, USAGE) from None
    if not isinstance(data, dict):
        raise Failure("the arguments must be a JSON object", CALL_EXAMPLE, USAGE)
    terminal.document(_ask(options, options.method, data, SLOW_SECONDS))
    return FINE


def version(options: argparse.Namespace, terminal: Terminal) -> int:
    """Of the tool; `status` has that of the daemon."""
    if terminal.as_json:
        terminal.document({"version": __version__})
    else:
        terminal.line(f"netpolicy {__version__}")
    return FINE


def _table(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}
