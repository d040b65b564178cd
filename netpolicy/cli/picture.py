"""How the daemon's documents look on a terminal.

Documents in, lines out; asks nobody and decides nothing. Keys as in docs/cli.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .table import Column, amount, show
from .terminal import Terminal, clean

Document = Mapping[str, Any]

ENFORCED = "kernel"
LABEL_CELLS = 11
MOST_LEFT_OUT = 5

OUTBOUND_COLUMNS = (
    Column("OUTBOUND", least=8),
    Column("TYPE", least=6),
    Column("UP", colour=lambda text: "green" if text == "up" else "red"),
    Column("HEALTH", least=8, colour=lambda text: "green" if text == "NORMAL" else "yellow"),
    Column("RTT", is_number=True),
    Column("DEVICE", least=6),
    Column("GATEWAY", least=10),
    Column("CLASS", is_number=True),
    Column("TABLE", is_number=True),
)

RULE_COLUMNS = (
    Column("PRIO", is_number=True),
    Column("RULE", least=8),
    Column("MATCH", least=14),
    Column("ACTION", least=10),
    Column("GOES TO", least=7),
    Column("HITS", is_number=True),
    Column("BYTES", is_number=True),
    Column("LAST", is_number=True),
    Column("IN FORCE", least=6, colour=lambda text: "green" if text == "yes" else "yellow"),
)


def rows(found: Document, key: str) -> list[dict[str, Any]]:
    """The tables in a list of the reply, whatever else it may hold."""
    value = found.get(key)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def shown(value: object) -> str:
    """A value of a reply; what is not there shows as "-"."""
    return "-" if value is None or value == "" else str(value)


def status(terminal: Terminal, found: Document) -> None:
    """The whole picture."""
    counted = _part(found, "rules")
    skipped = rows(counted, "skipped")
    terminal.line(terminal.paint(_title(found), "bold"))
    _labelled(terminal, "config", _config(_part(found, "config")))
    _labelled(terminal, "kernel", _kernel(_part(found, "kernel")))
    _labelled(terminal, "rules", _rules(counted, len(skipped)))
    _labelled(terminal, "inspector", _inspector(_part(found, "inspector")))
    if _part(found, "lists").get("total"):
        _labelled(terminal, "lists", _lists(_part(found, "lists")))
    if found.get("confirmed"):
        _labelled(terminal, "confirmed", f"generation {found['confirmed']} (netpolicy history)")
    if found.get("pending"):
        _labelled(terminal, "pending", _pending(_part(found, "pending")))
    if rows(found, "outbounds"):
        terminal.line()
        outbounds(terminal, rows(found, "outbounds"))
    if skipped or rows(found, "warnings"):
        terminal.line()
    for rule in skipped:
        place = f" ({rule['place']})" if rule.get("place") else ""
        terminal.paragraph(f"skipped rule {shown(rule.get('name'))}{place}: {shown(rule.get('error'))}", 2)
    for warning in rows(found, "warnings"):
        _warning(terminal, warning)


def _part(found: Document, key: str) -> Document:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _title(found: Document) -> str:
    switched = "enabled" if found.get("enabled", True) else "switched off"
    version, mode, state = (shown(found.get(key)) for key in ("version", "mode", "state"))
    return clean(f"NetPolicy {version}, {switched}, mode {mode}, state {state}")


def _labelled(terminal: Terminal, label: str, text: str) -> None:
    terminal.paragraph(label.ljust(LABEL_CELLS) + text, LABEL_CELLS)


def _config(part: Document) -> str:
    error = part.get("error")
    return shown(part.get("file")) + (f" is not in force: {error}" if error else "")


def _kernel(part: Document) -> str:
    text = "does what the rules say" if part.get("in_sync") else "differs from the rules"
    if part.get("waiting"):
        text += f", {part['waiting']} changes not made (netpolicy plan)"
    if part.get("revision") is not None:
        count = part["revision"]
        text += f", changed {count} time{'' if count == 1 else 's'} since the daemon started"
    return text + (f", last error: {part['error']}" if part.get("error") else "")


def _rules(part: Document, skipped: int) -> str:
    text = f"{shown(part.get('active'))} in force of {shown(part.get('total'))}"
    return text + (f", {skipped} skipped because of errors" if skipped else "")


def left_out(found: Document) -> str:
    """What a reload left out: how many rules, the first of them with place and reason; "" when all are used."""
    skipped = rows(found, "skipped")
    if not skipped:
        return ""
    told, count = found.get("left_out"), len(skipped)
    count = told if isinstance(told, int) and told > count else count
    named = "; ".join([_left_out(rule) for rule in skipped[:MOST_LEFT_OUT]])
    return f"{count} rule{'' if count == 1 else 's'} left out: {named}" + ("; …" if count > MOST_LEFT_OUT else "")


def _left_out(rule: Document) -> str:
    told = [str(rule[key]) for key in ("place", "error") if rule.get(key)]
    return shown(rule.get("name")) + (f" ({', '.join(told)})" if told else "")


def _lists(part: Document) -> str:
    failing = part.get("failing")
    text = f"{shown(part.get('total'))}, {shown(part.get('fetched'))} of them fetched"
    names = ", ".join([str(name) for name in failing]) if isinstance(failing, list) else ""
    return text + (f", not fetched: {names} (netpolicy lists)" if names else "")


def _inspector(part: Document) -> str:
    return shown(part.get("tier")) + (f" ({part['reason']})" if part.get("reason") else "")


def _warning(terminal: Terminal, warning: Document) -> None:
    terminal.paragraph(f"{shown(warning.get('code'))}: {shown(warning.get('message')).strip()}", 2)
    if warning.get("hint"):
        terminal.paragraph(f"  hint: {warning['hint']}", 4)


def outbounds(terminal: Terminal, found: Sequence[Document]) -> None:
    """A table, one outbound each; below it why some are down, or not well."""
    if not found:
        terminal.line("there are no outbounds")
        return
    show(terminal, OUTBOUND_COLUMNS, [_outbound(outbound) for outbound in found])
    told = [_remark(one) for one in found if not one.get("up") or _is_ailing(one) or _by_hand(one)]
    if told:
        terminal.line()
    for text in told:
        terminal.paragraph(text, 2)


def _remark(found: Document) -> str:
    name, health = shown(found.get("name")), _part(found, "health")
    if not found.get("up"):
        return f"{name} is down: {shown(found.get('reason'))}"
    return f"{name} is {shown(health.get('state'))}: {shown(health.get('because'))}{_by_hand(found)}"


def _by_hand(found: Document) -> str:
    word = _part(found, "health").get("by_hand")
    return f" (set to {word} by hand)" if word not in (None, "auto") else ""


def _health(part: Document) -> tuple[str, str]:
    latency = part.get("latency_ms")
    return (
        shown(part.get("state")),
        f"{latency:.0f} ms" if isinstance(latency, (int, float)) else shown(None),
    )


def _is_ailing(found: Document) -> bool:
    """It carries, and yet is not as it should be."""
    return bool(found.get("up")) and _part(found, "health").get("state") not in (None, "NORMAL")


def _outbound(found: Document) -> tuple[str, ...]:
    return (
        shown(found.get("name")),
        shown(found.get("type")),
        "up" if found.get("up") else "down",
        *_health(_part(found, "health")),
        shown(found.get("device")),
        shown(found.get("gateway") or found.get("gateway6")),
        shown(found.get("class") or None),
        shown(found.get("table") or None),
    )


def rules(
    terminal: Terminal, found: Sequence[Document], days: int = 30, is_unused: bool = False, now: float | None = None
) -> None:
    """A table, one rule each; below it why some are not in the kernel, and which took no connection for so many days.

    `is_unused`: it is only the latter that are shown.
    """
    if not found:
        terminal.line(f"no rule is unused for {days} days" if is_unused else "there are no rules")
        return
    now = time.time() if now is None else now
    show(terminal, RULE_COLUMNS, [_rule(rule, now) for rule in found])
    idle = [rule for rule in found if shown(rule.get("enforced")) not in (ENFORCED, "-")]
    unused = [rule for rule in found if rule.get("unused")]
    if idle or unused:
        terminal.line()
    for rule in idle:
        terminal.paragraph(f"{shown(rule.get('name'))}: {rule['enforced']}", 2)
    for rule in unused:
        terminal.paragraph(f"{shown(rule.get('name'))}: {_since(rule, days)}", 2)


HELD = {"shaped": "queued", "policed": "dropped"}


def throttles(terminal: Terminal, found: Sequence[Document]) -> None:
    """A paragraph for each direction of each profile that holds something back: what came, and how it is held."""
    for profile in found:
        for one in rows(profile, "directions"):
            ways = [way for way in rows(one, "devices") if way.get("how") in HELD]
            if ways:
                each = " for each client" if profile.get("per") == "client" else ""
                label = f"throttle {shown(profile.get('name'))} {shown(one.get('direction'))}{each}"
                came = f"{amount(one.get('packets'))} packets, {amount(one.get('bytes'))} bytes"
                held = "; ".join([_held(way) for way in ways])
                terminal.paragraph(f"{label}: {came}, {amount(one.get('dropped'))} packets dropped; {held}", 2)


def _held(way: Document) -> str:
    why = f" ({way['why']})" if way.get("why") else ""
    return f"{HELD[way['how']]} on {shown(way.get('device'))}{why}"


def _since(found: Document, days: int) -> str:
    last, since = found.get("last_hit"), found.get("in_force_since")
    if last is not None:
        return f"took no connection for {days} days, the last one on {day(last)}"
    if found.get("hits"):
        return f"took no connection for {days} days, nobody knows when the last one was"
    return f"never took a connection, in force since {day(since)}"


def day(seconds: object) -> str:
    """A day in local time; "-" where there is none."""
    if not isinstance(seconds, (int, float)):
        return "-"
    try:
        return time.strftime("%Y-%m-%d", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "-"


def ago(seconds: object, now: float) -> str:
    """How long ago that was, in at most four characters: 12s, 5m, 3h, 40d; 0s for what is to come."""
    if not isinstance(seconds, (int, float)):
        return "-"
    age = max(now - seconds, 0.0)
    for unit, length, most in (("s", 1, 60), ("m", 60, 3600), ("h", 3600, 86400)):
        if age < most:
            return f"{age / length:.0f}{unit}" if unit == "s" else f"{int(age // length)}{unit}"
    return f"{int(age // 86400)}d"


def _last(found: Document, now: float) -> str:
    if found.get("last_hit") is not None:
        return ago(found["last_hit"], now)
    return "never" if found.get("in_force_since") is not None and not found.get("hits") else "-"


def _rule(found: Document, now: float) -> tuple[str, ...]:
    return (
        shown(found.get("priority")),
        shown(found.get("name")),
        shown(found.get("match")),
        shown(found.get("action")) + (" +log" if found.get("log") else ""),
        shown(found.get("outbound")),
        amount(found.get("hits")),
        amount(found.get("bytes")),
        _last(found, now),
        _in_force(found),
    )


def _in_force(found: Document) -> str:
    if not found.get("enabled", True):
        return "off"
    return "yes" if found.get("enforced") == ENFORCED else "no"


def _pending(change: Document) -> str:
    left = change.get("seconds_left")
    told = [shown(change.get(key)) for key in ("cause", "id", "who", "state")]
    text = "{} {} by {}: {}".format(*told)
    return text if left is None else f"{text}, taken back in {left} s"


def changes(terminal: Terminal, found: Sequence[object]) -> None:
    """What a plan would do, one change each; a change may have several lines."""
    for change in found:
        for text in str(change).splitlines() or [""]:
            terminal.line(clean(text))
    count = len(found)
    terminal.line(f"{count} change{'' if count == 1 else 's'} pending" if found else "nothing to do")


def obstacles(terminal: Terminal, found: Document) -> None:
    """What keeps a plan from doing all that the rules say."""
    for conflict in rows(found, "conflicts"):
        terminal.paragraph(f"conflict: {shown(conflict.get('message'))}", 2)
        if conflict.get("hint"):
            terminal.paragraph(f"  hint: {conflict['hint']}", 4)
    reasons = found.get("not_enforced")
    for reason in reasons if isinstance(reasons, list) else []:
        terminal.paragraph(str(reason), 2)
