"""Which bits of the packet mark a foreign nft rule may overwrite, and which hooks foreign chains stand at.

Reads the JSON of `nft -j list ruleset`; never trusts its form. Schema: libnftables-json(5).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

ALL = 0xFFFFFFFF
MARKS = ({"meta": {"key": "mark"}}, {"ct": {"key": "mark"}})
DEEPEST = 12


class Hooked(NamedTuple):
    """A base chain: where it stands."""

    table: str  # "inet fw4"
    chain: str
    kind: str  # filter, nat, route
    hook: str
    priority: int


def objects(text: str) -> list[Mapping[str, Any]]:
    """What a listing holds, each as {"rule": {…}}; nothing where it cannot be read."""
    try:
        said = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []


def hooked(listing: Iterable[Mapping[str, Any]]) -> list[Hooked]:
    """The base chains."""
    found = []
    for one in listing:
        chain = one.get("chain")
        if isinstance(chain, dict) and isinstance(chain.get("prio"), int):
            table = f"{chain.get('family')} {chain.get('table')}"
            found.append(Hooked(
                table, str(chain.get("name")), str(chain.get("type")), str(chain.get("hook")), chain["prio"]
            ))  # fmt: skip
    return found


def writers(listing: Iterable[Mapping[str, Any]], mask: int, own: str) -> list[str]:
    """Rules of other tables than `own` that overwrite bits of the mask, as "inet other chain pre"."""
    found = []
    for one in listing:
        rule = one.get("rule")
        if not isinstance(rule, dict) or f"{rule.get('family')} {rule.get('table')}" == own:
            continue
        if any(bits & mask for bits in _written(rule.get("expr"))):
            found.append(f"{rule.get('family')} {rule.get('table')} chain {rule.get('chain')}")
    return list(dict.fromkeys(found))


def _written(statements: Any) -> Iterator[int]:
    for statement in statements if isinstance(statements, list) else ():
        mangle = statement.get("mangle") if isinstance(statement, dict) else None
        if isinstance(mangle, dict) and mangle.get("key") in MARKS:
            yield changed_bits(mangle.get("value"))


def changed_bits(value: Any, depth: int = 0) -> int:
    """The bits that differ, or may, from those of the mark that the value is made of."""
    if depth > DEEPEST:
        return ALL
    if value in MARKS:  # a mark restored from the other one: what was ours there is ours here
        return 0
    if not isinstance(value, dict) or len(value) != 1:
        return ALL
    (operator, parts), *_ = value.items()
    if not isinstance(parts, list) or not parts:
        return ALL
    first = changed_bits(parts[0], depth + 1)
    masks = [part for part in parts[1:] if type(part) is int]
    if len(masks) != len(parts) - 1:
        # Of two marks, each under its mask, every bit is somebody's.
        return _of_both(parts, depth) if operator == "|" else ALL
    for mask in masks:
        first |= ~mask & ALL if operator == "&" else mask if operator in ("|", "^") else ALL
    return first


def _of_both(parts: list[Any], depth: int) -> int:
    found = ALL
    for part in parts:
        found &= changed_bits(part, depth + 1)
    return found
