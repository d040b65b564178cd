"""Built tables as a test reads them: lines of chains, and what sets of labels hold."""

from __future__ import annotations

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.table import Table
from tests.router import rule

MARKS = Marks(0x77000000)
BLOCK = Entry(rule("stop", ("block", "drop"), dest_port="25"), MARKS.drop, blocks=True)
VIDEO = Entry(rule("video", dest_port="443"), 2)


def texts(built: Table) -> str:
    """Every line of every chain."""
    return "\n".join(text for chain in built.chains.values() for text in (chain.header, *chain.rules))


def held(built: Table, name: str) -> dict[int, str]:
    """What a set of labels says about each."""
    (found,) = (one for one in built.sets if one.name == name)
    return {key[0][0]: value or comment for key, value, comment in found.elements}


def lookups(built: Table, chain: str) -> list[str]:
    """The rules of a classifying chain from the first label to the last."""
    rules = built.chains[chain].rules
    first = rules.index("meta priority set 0xffffffff")
    last = next(place for place, text in enumerate(rules) if "vmap @verdicts" in text)
    return list(rules[first : last + 1])
