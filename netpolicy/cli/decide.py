"""`netpolicy decide`: which rule a connection would hit, and why.

Takes the words apart and shows the answer; the decision is the daemon's or, for --rules, that
of the same function over a file. With a file every outbound counts as up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from .exit_code import FINDINGS, FINE, USAGE, Failure
from .terminal import Terminal

EXAMPLE = "for example: netpolicy decide src_addr=192.168.1.7 proto=tcp dest_port=443 state=NORMAL"


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """0 also where no rule matches: that is an answer."""
    given = facts(options.facts)
    if not given:
        raise Failure("which connection? name what is known of it, as FACT=VALUE", EXAMPLE, USAGE)
    found = _by_file(options.rules, given, terminal) if options.rules else _by_daemon(options.socket, given)
    if terminal.as_json:
        terminal.document(found)
        return FINE
    from netpolicy.service.dry_run import text

    for line in text(found, given).splitlines():
        terminal.paragraph(line, 4)
    return FINE


def facts(words: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE words as a table. Raises Failure; whether a name is a fact is not known here."""
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise Failure(f"{word!a} is not FACT=VALUE", EXAMPLE, USAGE)
        if not word.isprintable():
            raise Failure(f"{word!a}: a character in it cannot be printed", EXAMPLE, USAGE)
        if name in given:
            raise Failure(f"the fact {name} is given twice", code=USAGE)
        given[name] = value
    return given


def _by_daemon(socket: str | None, given: dict[str, str]) -> dict[str, Any]:
    from .running import Daemon

    try:
        with Daemon(socket) as daemon:
            return daemon.call("decide", {"facts": given})
    except Failure as failure:
        hint = failure.hint or ("or decide by a file: --rules FILE" if failure.code == FINDINGS else EXAMPLE)
        raise Failure(failure.text, hint, failure.code) from None


def _by_file(path: str, given: dict[str, str], terminal: Terminal) -> dict[str, Any]:
    from netpolicy.core.evaluate import NOTHING_KNOWN
    from netpolicy.core.value import ValueProblem
    from netpolicy.service.dry_run import document, local_moment, moment, question, supposed

    from .files import read

    try:
        connection, state = question(given)
        at = moment(given, local_moment(time.localtime()))
    except ValueProblem as problem:
        raise Failure(problem.text, problem.hint or EXAMPLE, USAGE) from None
    ruleset = read(path, terminal)
    try:
        world = supposed(given, ruleset, NOTHING_KNOWN)
    except ValueProblem as problem:
        raise Failure(problem.text, problem.hint, USAGE) from None
    return document(ruleset, connection, state, world, at)
