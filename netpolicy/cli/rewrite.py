"""`netpolicy fmt`, `convert` and `migrate`: the same rules in canonical form or another spelling.

Decides what is shown and written; the text is made by config/convert.py. A file is replaced
whole or not at all, and never when anything in it is wrong.
"""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .exit_code import FINDINGS, FINE, USAGE, Failure
from .files import errors_of, place, read_text, show
from .terminal import Terminal, clean

if TYPE_CHECKING:
    from netpolicy.config.convert import Converted
    from netpolicy.config.diagnostic import Diagnostic


def fmt(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when a file has errors, or (--check, --diff) is not in canonical form."""
    code = FINE
    documents = []
    for path in options.files:
        found = _format(path, options, terminal)
        code = max(code, FINE if found["ok"] else FINDINGS)
        documents.append(found)
    if terminal.as_json:
        terminal.document({"ok": code == FINE, "files": documents})
    return code


def _format(path: str, options: argparse.Namespace, terminal: Terminal) -> dict[str, object]:
    from netpolicy.config.convert import convert_text
    from netpolicy.config.spelling import format_of

    format = format_of(path)
    text = read_text(path)
    made = convert_text(text, path, format, format)
    answer: dict[str, object] = {"path": path, "ok": False, "changed": False}
    if made.text is None:
        _refuse(terminal, path, made, "fmt failed")
        answer["error"] = errors_of(made.diagnostics)[0].message
        return answer
    only_looks = options.check or options.diff
    answer["changed"] = made.text != text
    answer["ok"] = not (only_looks and answer["changed"])
    if options.diff:
        answer["diff"] = list(_difference(path, text, made.text))
        for line in answer["diff"] if not terminal.as_json else ():
            terminal.line(clean(line))
    elif options.check:
        if answer["changed"]:
            _say(terminal, f"not in canonical form: {path}")
    elif not answer["changed"]:
        _say(terminal, f"unchanged: {path}")
    elif made.loses_comments and not options.drop_comments:
        text = f"{path}: its comments would be lost: only the DSL keeps them"
        raise Failure(text, "fmt --drop-comments FILE, or keep the rules in the DSL: netpolicy convert FILE --to dsl")
    else:
        write(path, made.text)
        _say(terminal, f"formatted: {path}")
    return answer


def _say(terminal: Terminal, text: str) -> None:
    if not terminal.as_json:
        terminal.line(clean(text))


def _difference(path: str, before: str, after: str) -> Iterator[str]:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), path, f"{path} (canonical)", lineterm="")
    yield from lines


def convert(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when the file has errors: then there is no text at all."""
    from netpolicy.config.spelling import format_of

    return _convert(options, terminal, options.source or format_of(options.file), options.to)


def migrate(options: argparse.Namespace, terminal: Terminal) -> int:
    """The predecessor's YAML in the DSL, with what remains to be done."""
    from netpolicy.config.spelling import DSL, YAML, format_of

    if format_of(options.file) != YAML:
        hint = "netpolicy convert FILE --to dsl takes the other formats"
        raise Failure(f"{options.file} is not the predecessor's YAML: its name ends in .yaml or .yml", hint, USAGE)
    code = _convert(options, terminal, YAML, DSL)
    if code == FINE and not terminal.as_json:
        for line in _remains(options.file):
            terminal.note(clean(line))
    return code


def _remains(path: str) -> Iterator[str]:
    """What the predecessor did not know, in words."""
    from netpolicy.config.load import load_alone

    ruleset = load_alone(path).ruleset
    known = {one.name for one in ruleset.outbounds} | {"direct", "block"}
    routes = {target for rule in ruleset.rules for target in rule.action.targets} - known
    if routes:
        yield f"note: define these outbounds before the rules can be applied: {', '.join(sorted(routes))}"
        yield f"  hint: for example: outbound {sorted(routes)[0]} interface wan"
    profiles = {rule.action.throttle for rule in ruleset.rules} - {"", *(one.name for one in ruleset.throttles)}
    if profiles:
        yield f"note: define these throttle profiles: {', '.join(sorted(profiles))}"
        yield f"  hint: for example: throttle {sorted(profiles)[0]} down=2mbit up=512kbit"


def _check_output(options: argparse.Namespace, target: str) -> None:
    """What is written must be found again as what it is. Raises Failure."""
    from netpolicy.config.spelling import UCI, format_of

    if not options.output:
        return
    told = format_of(options.output)
    if told != target and (told != UCI or target != UCI):
        raise Failure(
            f"{options.output} would be read as {told}, by its name, and is to hold {target}",
            "the DSL has the ending .np, YAML .yaml, UCI none of them", USAGE,
        )  # fmt: skip
    if os.path.lexists(options.output) and not options.force:
        raise Failure(f"{options.output} is there already", "name another file, or say --force to replace it", USAGE)


def _convert(options: argparse.Namespace, terminal: Terminal, source: str, target: str) -> int:
    from netpolicy.config.convert import convert_text

    _check_output(options, target)
    made = convert_text(read_text(options.file), options.file, source, target)
    if terminal.as_json:
        diagnostics = [item.as_dict() for item in made.diagnostics]
        terminal.document({"ok": made.text is not None, "text": made.text, "diagnostics": diagnostics})
        if made.text is not None and options.output:
            write(options.output, made.text)
        return FINE if made.text is not None else FINDINGS
    if made.text is None:
        _refuse(terminal, options.file, made, "convert failed")
        return FINDINGS
    for item in made.diagnostics:
        if item.severity != "info":
            show(terminal, item)
    if options.output:
        write(options.output, made.text)
        terminal.line(clean(f"written: {options.output}"))
    else:
        for line in made.text.rstrip("\n").split("\n"):
            terminal.line(line)
    return FINE


def _refuse(terminal: Terminal, path: str, made: Converted, what: str) -> None:
    errors: list[Diagnostic] = errors_of(made.diagnostics)
    if terminal.as_json:
        return
    for item in errors:
        show(terminal, item)
    terminal.note(clean(f"{what}: {place(errors[0])}: {errors[0].message}; {path} is as it was"))


def write(path: str, text: str) -> None:
    """The file holds the text afterwards, or what it held before. Raises Failure."""
    from netpolicy.service.files import replace

    target = os.path.realpath(path)  # a link stays a link
    mode, owner = 0o644, None
    try:
        found = os.stat(target)
        if not stat.S_ISREG(found.st_mode):
            raise Failure(f"{path} is not a plain file", "name a file, or leave --output out and redirect")
        mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(target)):
            raise Failure(f"{path} cannot be written: there is no such folder") from None
    except OSError as problem:
        raise Failure(f"{path} cannot be written: {problem.strerror or problem}") from None
    try:
        replace(target, text, mode, f".{os.getpid()}.tmp")  # of its own: two runs must not share it
        if owner is not None and (os.stat(target).st_uid, os.stat(target).st_gid) != owner:
            os.chown(target, *owner)
    except OSError as problem:
        raise Failure(f"{path} cannot be written: {problem.strerror or problem}") from None
