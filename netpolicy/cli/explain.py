"""`netpolicy explain`: why one open connection is where it is.

Hands the words to the daemon and shows its document; never matches a rule itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from .exit_code import FINDINGS, FINE
from .picture import Document, rows, shown
from .running import Daemon
from .table import amount
from .terminal import Terminal

LABEL_CELLS = 11
WHY_SHOWN = 20


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """1 where the kernel did something else than the rules say now."""
    with Daemon(options.socket) as daemon:
        found = daemon.call("explain", {"flow": " ".join(options.flow)})
    if terminal.as_json:
        terminal.document(found)
    else:
        picture(terminal, found)
    return FINDINGS if found.get("agrees") is False else FINE


def picture(terminal: Terminal, found: Document) -> None:
    """The document for people; a part that is not there is a dash."""
    connection, kernel, decision = (_part(found, key) for key in ("connection", "kernel", "decision"))
    facts = " ".join(f"{name}={value}" for name, value in _part(found, "facts").items()) or "nothing is known"
    hidden = _texts(found, "hidden")
    _labelled(terminal, "connection", _connection(connection, found.get("matches")))
    _labelled(terminal, "facts", facts + (f" (not known: {', '.join(hidden)})" if hidden else ""))
    _labelled(terminal, "rules say", _decision(decision))
    _labelled(terminal, "kernel did", _kernel(kernel))
    verdict = shown(found.get("verdict")) + (f": {found['reason']}" if found.get("reason") else "")
    terminal.paragraph("verdict".ljust(LABEL_CELLS) + verdict, LABEL_CELLS, _colour(found.get("agrees")))
    _labelled(terminal, "looked at", _judged(_part(found, "judged")))
    _reasons(terminal, decision)


def _part(found: Document, key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _texts(found: Document, key: str) -> list[str]:
    value = found.get(key)
    return [str(one) for one in value] if isinstance(value, list) else []


def _labelled(terminal: Terminal, label: str, text: str) -> None:
    terminal.paragraph(label.ljust(LABEL_CELLS) + text, LABEL_CELLS)


def _colour(agrees: object) -> str:
    if agrees is None:
        return "yellow"
    return "green" if agrees else "red"


def _connection(found: Document, matches: object) -> str:
    source, destination = (_end(found, side) for side in ("src", "dest"))
    text = f"{shown(found.get('protocol'))} {source} → {destination}"
    text += f", {found['state']}" if found.get("state") else ""
    text += f", {amount(found.get('bytes'))} bytes, id {shown(found.get('id'))}"
    others = matches - 1 if isinstance(matches, int) else 0
    return text + (f" (the newest; {others} more fit)" if others > 0 else "")


def _end(found: Document, side: str) -> str:
    address, port = shown(found.get(side)), found.get(f"{side}_port")
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _decision(found: Document) -> str:
    rule = found.get("rule")
    by = f"rule {rule}, {shown(found.get('action'))}" if rule else "no rule matches"
    return f"{by}: {shown(found.get('outbound'))} (state {shown(found.get('state'))})"


def _kernel(found: Document) -> str:
    if not found.get("classified", True):
        return f"it was never classified, mark {shown(found.get('mark'))}"
    text = f"{shown(found.get('outbound'))} (class {shown(found.get('class'))}, mark {shown(found.get('mark'))})"
    if found.get("offloaded"):
        text += ", offloaded: its packets pass by the rules"
    if found.get("hits") is not None:
        hits, size = amount(found["hits"]), amount(found.get("bytes"))
        text += f"; rule {shown(found.get('rule'))} took {hits} connections, {size} bytes of first packets"
    return text


def _judged(found: Document) -> str:
    if not found:
        return "now for the first time"
    rule = found.get("rule")
    said = f"rule {rule}" if rule else "no rule"
    agreed = "whether the kernel agreed could not be told"
    if found.get("agrees") is not None:
        agreed = "and the kernel agreed" if found["agrees"] else "and the kernel did not agree"
    return f"{shown(found.get('age'))} s ago: {said}, {agreed}"


def _reasons(terminal: Terminal, decision: Document) -> None:
    why = _texts(decision, "why")
    if why:
        terminal.line("why:")
    if len(why) > WHY_SHOWN:
        terminal.line(f"  ({len(why) - WHY_SHOWN} more before these, all with --json)")
    for reason in why[-WHY_SHOWN:]:
        terminal.paragraph(f"  {reason}", 4)
    also = [
        one for one in rows(decision, "runners_up") if one.get("failed") is None and "too" in str(one.get("reason"))
    ]
    if also:
        terminal.line("also matching, without effect:")
    for one in also[:WHY_SHOWN]:
        terminal.paragraph(f"  {shown(one.get('rule'))}: {shown(one.get('reason'))}", 4)
