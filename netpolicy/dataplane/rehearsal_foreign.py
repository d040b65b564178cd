"""Other people's nft tables, as nft lists them, made into a text that loads into an empty kernel.

Pure: text in, text out. Never makes up a rule; what cannot be loaded back, or would do harm there, is left out and
said in a note. Syntax: nft(8); which statements a listing shows that no text can say: libnftables, xt compat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Of these families packets that are routed know nothing (bridge members and raw devices are not rehearsed).
LEFT_OUT_FAMILIES = ("arp", "bridge", "netdev")

# (what to look for, what it is called in the note)
HARMFUL = (
    (re.compile(r"\bxt (match|target)\b|# ?xt_"), "a match of iptables that nft cannot say"),
    (re.compile(r"\bflow (add|offload) @"), "flow offloading"),
    (re.compile(r"\bqueue\b"), "a queue to a program"),
)
DEVICE_HOOK = re.compile(r"\bhook (ingress|egress)\b")
OWNER = re.compile(r"\b(flags|,) *(owner|persist)( *, *(owner|persist))*;?")
QUOTED = re.compile(r'"[^"]*"')
INDEXED = re.compile(r'\b(?:iif|oif) (?:!= )?(\{[^}]*\}|"[^"]*")')


def loadable(listing: str) -> tuple[str, list[str]]:
    """The text of one listed table that loads, and what was left out of it. "" where nothing is left."""
    lines = [line for line in listing.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return "", []
    family, _, name = lines[0].removeprefix("table ").split(" {")[0].partition(" ")
    if family in LEFT_OUT_FAMILIES:
        return "", []
    notes: list[str] = []
    kept: list[str] = []
    for block in _blocks(lines[1:-1]):
        kept += _block(block, f"table {family} {name}", notes)
    return "\n".join([lines[0], *kept, lines[-1]]) + "\n", notes


def by_index(text: str) -> set[str]:
    """The devices that a text names by `iif` and `oif`: nft refuses it where one of them is missing."""
    return {name for found in INDEXED.findall(text) for name in re.findall(r'"([^"]*)"', found)}


def _block(block: list[str], table: str, notes: list[str]) -> list[str]:
    """A chain, set or object without what cannot be loaded; [] where all of it goes."""
    head = block[0].strip()
    if head.startswith("flowtable "):
        notes.append(f"{table}: flow offloading is left out")
        return []
    if not head.startswith("chain "):
        return [OWNER.sub("", line) for line in block] if len(block) == 1 else block
    if any(DEVICE_HOOK.search(line) for line in block):
        notes.append(f"{table}: {head.rstrip(' {')} is left out, it hangs on a device")
        return []
    kept = [block[0]]
    for rule in _blocks(block[1:-1]):
        bare = QUOTED.sub('""', " ".join(rule))
        found = [what for pattern, what in HARMFUL if pattern.search(bare)]
        if found:
            notes.append(f"{table}: a rule of {head.rstrip(' {')} is left out, it is {found[0]}")
        else:
            kept += rule
    return [*kept, block[-1]]


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Lines in groups: each opens no more braces than it closes."""
    block: list[str] = []
    depth = 0
    for line in lines:
        bare = QUOTED.sub("", line)
        depth += bare.count("{") - bare.count("}")
        block.append(line)
        if depth <= 0:
            yield block
            block, depth = [], 0
    if block:
        yield block
