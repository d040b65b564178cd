"""`netpolicy xray-gen`: share links to a configuration of Xray, as the predecessor's generator did.

Decides where links come from and what is said; xray/ reads and writes them. The file has
passwords in it: only its owner may read it, it is replaced whole or not at all, and no message
quotes a link.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from typing import TYPE_CHECKING

from .exit_code import FINDINGS, FINE, Failure
from .files import read_text
from .terminal import Terminal, clean

if TYPE_CHECKING:
    from netpolicy.xray.node import Node, Problem

Links = list[tuple[str, str]]  # where it stands, and the link itself

STDIN = "-"
PRIVATE = 0o600
NO_LINKS = "no urls provided"


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 when no link is good; a bad one among good ones is a warning."""
    from netpolicy.xray.config import build_config, text_of
    from netpolicy.xray.links import parse_links

    links = _links(options)
    if not links:
        raise Failure(NO_LINKS, "netpolicy xray-gen --url-file FILE, with one link a line")
    nodes, problems = parse_links(link for _, link in links)
    if nodes:
        write_private(options.output, text_of(build_config(nodes)))
    _report(terminal, options.output, nodes, [(links[one.number - 1][0], one) for one in problems])
    return FINE if nodes else FINDINGS


def _links(options: argparse.Namespace) -> Links:
    from netpolicy.xray.links import lines

    found = [(f"--url {number}", link) for number, link in enumerate(options.url, 1)]
    for path in options.url_file:
        name, text = ("standard input", _standard_input()) if path == STDIN else (path, read_text(path))
        found += [(f"{name}:{line}", link) for line, link in lines(text)]
    return found


def _standard_input() -> str:
    from netpolicy.config.text_file import MAX_BYTES

    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Failure(f"standard input: more than {MAX_BYTES >> 20} MiB")
    # A link that is not UTF-8 fails alone, later.
    return data.decode(errors="surrogateescape")


def _report(terminal: Terminal, output: str, nodes: list[Node], problems: list[tuple[str, Problem]]) -> None:
    refused = "" if nodes else f"xray config not generated: none of {len(problems)} links can be used"
    severity = "warning" if nodes else "error"
    for place, problem in problems:
        terminal.note(clean(f"{place}: {severity}: link {problem.number} is left out: {problem.reason}"))
    if terminal.as_json:
        terminal.document(_document(output, nodes, problems, refused))
    elif nodes:
        terminal.line(clean(f"xray config generated: {output}"))
    if refused:
        terminal.note(clean(refused))


def _document(output: str, nodes: list[Node], problems: list[tuple[str, Problem]], refused: str) -> dict[str, object]:
    document: dict[str, object] = {
        "ok": bool(nodes),
        "output": output if nodes else None,
        "nodes": [{"tag": node.tag, "label": node.label, "protocol": node.protocol} for node in nodes],
        "problems": [{"number": one.number, "place": place, "reason": one.reason} for place, one in problems],
    }
    if refused:
        document["error"] = refused
    return document


def write_private(path: str, text: str) -> None:
    """The file holds the text, readable by its owner alone, or what it held before. Raises Failure."""
    from netpolicy.service.files import replace

    try:
        target = os.path.realpath(path)  # a link stays a link
        owner = _owner(target)
        replace(target, text, PRIVATE)
        if owner is not None and (os.stat(target).st_uid, os.stat(target).st_gid) != owner:
            os.chown(target, *owner)  # Xray may run as somebody else
    except (OSError, ValueError) as problem:  # ValueError: a NUL byte in the path
        raise Failure(f"{path} cannot be written: {getattr(problem, 'strerror', None) or problem}") from None


def _owner(target: str) -> tuple[int, int] | None:
    """User and group of the file that is there, or None. Raises Failure when it is none to be replaced."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):  # root could replace /dev/null
        raise Failure(f"{target} cannot be written: not a plain file", "--output FILE")
    return found.st_uid, found.st_gid
