"""What a person says of an outbound at run time: a line is taken out, members get other shares or another order.

Never written to the configuration: a restart forgets it. Noted where lines are watched (line_watch.py, by_hand.py); the
turn that follows has the kernel do it.
"""

from __future__ import annotations

from typing import Any

from netpolicy.core.model import Outbound
from netpolicy.service.engine import Engine
from netpolicy.service.line_watch import BY_HAND, LINES


class CannotSet(Exception):
    """What was said cannot be; the text says why and what to do."""


async def set_outbound(
    engine: Engine, outbound: Outbound, word: str, weight: int | None = None, members: list[Any] | None = None
) -> dict[str, Any]:
    """Notes it and makes a turn. Returns what counts now, with the error of that turn. Raises CannotSet."""
    if weight is None and members is None:
        return await _set_state(engine, outbound, word)
    if word:
        raise CannotSet("state: say it alone, without weight and member")
    error = await _make_turn(engine, outbound, f"by hand: {_note_shares(engine, outbound, weight, members)}")
    counts, order = engine.lines.by_hand.said(outbound)
    return {"ok": not error, "error": error or None, "name": outbound.name, "weight": counts, "members": list(order)}


async def _set_state(engine: Engine, outbound: Outbound, word: str) -> dict[str, Any]:
    name = outbound.name
    if word not in BY_HAND:
        raise CannotSet(f"state: {word[:32]!r} is not one of {', '.join(BY_HAND)}")
    if outbound.type not in LINES:
        raise CannotSet(f"{name} is of type {outbound.type}: only lines can be set (type {', '.join(LINES)})")
    if not engine.lines.set_by_hand(name, word):
        raise CannotSet(f"{name} was not looked at yet: say it again in a moment")
    error = await _make_turn(engine, outbound, f"to {word} by hand")
    return {"ok": not error, "error": error or None, "name": name, "state": word}


def _note_shares(engine: Engine, outbound: Outbound, weight: int | None, members: list[Any] | None) -> str:
    """What was said, in words."""
    by_hand, said = engine.lines.by_hand, []
    try:
        if weight is not None:
            by_hand.check(weight)  # before anything is noted
        if members is not None:
            by_hand.order(outbound, members)
            said.append(f"members {', '.join(map(str, members)) or 'as configured'}")
        if weight is not None:
            by_hand.weigh(outbound.name, weight)
            said.append(f"weight {weight or 'as configured'}")
    except ValueError as problem:
        raise CannotSet(str(problem)) from None
    return "; ".join(said)


async def _make_turn(engine: Engine, outbound: Outbound, how: str) -> str:
    words = f"outbound {outbound.name} is set {how}"
    engine.log.add("info", "state", words)
    return await engine.reconcile(words)
