"""Put together what one picture shows: lines, rules, and each client's latest connections.

Values in, values out: no terminal, no bus, no clock. Joins what a client measured with what the
daemon says about the same connection (origin address and port).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netpolicy.lab.control import Lines
from netpolicy.lab.topology import CLIENTS, line_of
from netpolicy.lab.traffic import PLANS, Step
from netpolicy.lab.watch import Answers

NOTHING = "-"
# A daemon that has not answered by then has a problem, and the reason is shown.
STARTING_SECONDS = 10.0
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """The latest attempt of one step of one client, and what the daemon says about it."""

    client: str
    step: Step
    result: dict[str, Any]
    rule: str
    outbound: str


def key_of(told: dict[str, Any]) -> tuple[str, int]:
    """Which row a traffic report belongs to."""
    return str(told["client"]), int(told["step"])


def tries(reports: dict[tuple[str, int], dict[str, Any]], answers: Answers) -> list[Try]:
    """One per step, in the order of the plans; steps not tried yet are left out."""
    found = []
    for client, plan in PLANS.items():
        for number, step in enumerate(plan):
            told = reports.get((client, number))
            if told is not None:
                found.append(_try(client, step, told, answers))
    return found


def _try(client: str, step: Step, told: dict[str, Any], answers: Answers) -> Try:
    source = source_of(client, step)
    entry = answers.connection(step.protocol, source, told.get("local_port"))
    if entry is None and not told.get("ok"):
        # A refused connection leaves no entry in the kernel; the daemon can still say whose doing it was.
        entry = answers.decisions.get((source, step.address, step.port))
    return Try(client, step, told, (entry or {}).get("rule") or NOTHING, (entry or {}).get("outbound") or NOTHING)


def unexplained(reports: dict[tuple[str, int], dict[str, Any]]) -> list[dict[str, Any]]:
    """The facts of failed attempts, to ask the daemon what it decides about them."""
    found = []
    for (client, number), told in reports.items():
        if not told.get("ok"):
            step = PLANS[client][number]
            found.append(
                {
                    "src_addr": source_of(client, step),
                    "dest_addr": step.address,
                    "proto": step.protocol,
                    "dest_port": step.port,
                }
            )
    return found


def source_of(client: str, step: Step) -> str:
    """The client's address in the family of the step."""
    machine = next(c for c in CLIENTS if c.name == client)
    return machine.address4 if step.family == 4 else machine.address6


def connection_row(item: Try) -> Row:
    """Who, what for, which rule, which way out, what the server saw and how long it took."""
    target = f"{item.step.kind} {item.step.name.partition('.')[0]} v{item.step.family}"
    return (item.client, target, item.rule, item.outbound, outcome(item.result))


def outcome(told: dict[str, Any]) -> str:
    """What came of a connection: `seen from B  26 ms`, or the error in a word."""
    if not told.get("ok"):
        return str(told.get("error") or "no answer")
    letter = line_of(str(told.get("seen") or ""))
    return f"{'from ' + letter if letter else 'answered'} {told.get('ms', 0):.0f} ms"


def outbound_rows(answers: Answers, lines: Lines) -> list[Row]:
    """Name, device, up or down, latency, and a remark."""
    rows: list[Row] = []
    for entry in answers.outbounds:
        latency = entry.get("latency_ms")
        rows.append(
            (
                str(entry.get("name")),
                str(entry.get("device") or NOTHING),
                "up" if entry.get("up") else "down",
                NOTHING if latency is None else f"{latency:.0f} ms",
                lines.word(str(entry.get("name"))) or str(entry.get("reason") or ""),
            )
        )
    return rows


def rule_rows(answers: Answers) -> list[Row]:
    """Name, match, action, hits, bytes of first packets, and whether it is in force."""
    return [
        (
            str(rule.get("name")),
            str(rule.get("match") or ""),
            str(rule.get("action") or ""),
            str(rule.get("hits", 0)),
            size(rule.get("bytes") or 0),
            "" if rule.get("active") else "off",
        )
        for rule in answers.rules.get("rules") or []
    ]


def is_starting(answers: Answers, now: float) -> bool:
    """Whether the daemon did not do its first work yet and nobody has to wonder; `now` counts from the lab's start."""
    if now >= STARTING_SECONDS:
        return False
    status = answers.status
    kernel, error = status.get("kernel") or {}, (status.get("config") or {}).get("error")
    is_first = (
        status.get("mode") == "enforce" and not error and not kernel.get("in_sync") and not kernel.get("generation")
    )
    return not status or is_first


def headline(answers: Answers, now: float = STARTING_SECONDS) -> str:
    """State, mode, and the first thing that is wrong, if any."""
    if is_starting(answers, now):
        return "starting …"
    status = answers.status
    words = [f"state {status.get('state', '?')}", f"mode {status.get('mode', '?')}"]
    kernel = status.get("kernel") or {}
    if kernel:
        words.append(f"kernel {'in step' if kernel.get('in_sync') else 'OUT OF STEP'} ({kernel.get('generation', 0)})")
    error = (status.get("config") or {}).get("error")
    if answers.silence:
        words.append(f"daemon silent: {answers.silence}")
    elif error:
        words.append(f"configuration refused: {error}")
    return "  ".join(words)


def log_lines(answers: Answers, count: int) -> list[str]:
    """The newest entries of the daemon's log, oldest first."""
    entries = (answers.logs.get("entries") or [])[-count:] if count > 0 else []
    return [f"{entry.get('level', '')} {entry.get('message', '')}".strip() for entry in entries]


def size(count: float) -> str:
    """Bytes in at most six characters."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return ""
