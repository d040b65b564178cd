"""The steps that lead from what is loaded to what should be: stage, one small swap, clear away.

What is staged is new and nobody refers to it; the swap changes references only, so no packet sees
half a rule set. Never reads the kernel. Why in this order: docs/dataplane.md ("Apply").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netpolicy.dataplane.names import SCHEMA
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_messages import AddElements, Change, DeleteElements
from netpolicy.dataplane.packed import ElementChange
from netpolicy.dataplane.script import TABLE, declare, fill
from netpolicy.dataplane.table import Table


@dataclass(frozen=True, slots=True)
class Difference:
    """What of the loaded table is missing, different or too much."""

    rebuild: bool = False  # absent, or of a shape that cannot be changed in place
    missing_sets: tuple[str, ...] = ()
    stale_sets: tuple[str, ...] = ()
    missing_chains: tuple[str, ...] = ()
    changed_chains: tuple[str, ...] = ()
    stale_chains: tuple[str, ...] = ()
    stale_hooks: tuple[str, ...] = ()  # those of them that are base chains
    elements: Mapping[str, ElementChange] = field(default_factory=dict)  # of sets that are and stay
    empty_lists: tuple[str, ...] = ()  # sets that are and stay, and hold nothing yet

    @property
    def is_empty(self) -> bool:
        """Whether the kernel already does what it should."""
        return not self.rebuild and not self.changes

    @property
    def is_absent(self) -> bool:
        """Whether there is no table."""
        return SCHEMA in self.missing_chains

    @property
    def changes(self) -> tuple[str, ...]:
        """One line per difference, in the words of nft."""
        if self.rebuild:
            return (f"+ table {TABLE}",)
        signs = (
            ("+ chain", self.missing_chains), ("~ chain", self.changed_chains), ("- chain", self.stale_chains),
            ("+ set", self.missing_sets), ("- set", self.stale_sets),
        )  # fmt: skip
        lines = [f"{sign} {name}" for sign, found in signs for name in found]
        for name, change in self.elements.items():
            parts = ((len(change.add), "+"), (change.replaced, "~"), (len(change.delete), "-"))
            lines += [f"{sign} {count} in {name}" for count, sign in parts if count]
        lines += [f"+ all in {name}" for name in self.empty_lists]
        return tuple(lines)


def stage_text(table: Table, difference: Difference) -> str:
    """Declares what is new under names that nothing refers to yet, its sets still empty; "" when there is nothing."""
    regular = [name for name in difference.missing_chains if not table.chains[name].header]
    lines = [declare(name, table.chains[name]) for name in regular]
    lines += [f"add {one.declaration}\n" for one in table.sets if one.name in difference.missing_sets]
    lines += [fill(name, table.chains[name]) for name in regular if table.chains[name].rules]
    if SCHEMA in difference.missing_chains:  # else it is there; made anew by us, it would be a stranger's without it
        lines.insert(0, f"add table {TABLE}\n")
    return "".join(lines)


def hook_text(table: Table, difference: Difference) -> str:
    """Hooks that are new: what they ask is loaded by now, and no packet is of a class that only they refuse."""
    hooked = [name for name in difference.missing_chains if table.chains[name].header]
    return "".join([declare(name, table.chains[name]) + fill(name, table.chains[name]) for name in hooked])


def swap_text(table: Table, difference: Difference) -> str:
    """One transaction that changes what is referred to; "" when nothing is."""
    lines = [fill(name, table.chains[name]) for name in difference.changed_chains]
    # A base chain that is not wanted any more stops working here, not later. Others go on until nobody leads to
    # them: an open connection of a class that goes would pass through an empty chain, by main.
    lines += [f"flush chain {TABLE} {name}\n" for name in difference.stale_hooks]
    return "".join(lines)


def empty_text(difference: Difference) -> str:
    """Empties the chains that nobody leads to any more; then nothing asks the sets that they asked."""
    return "".join([f"flush chain {TABLE} {name}\n" for name in difference.stale_chains])


def clear_text(difference: Difference) -> str:
    """Removes them; they are empty by now, so any order serves."""
    return "".join([f"delete chain {TABLE} {name}\n" for name in difference.stale_chains])


def additions(difference: Difference, counters: Mapping[str, tuple[int, int]]) -> list[Change]:
    """Elements that nobody asks for before the swap; those that count, replaced ones too, begin where their rule is."""
    for change in difference.elements.values():
        for element in (*change.add, *change.replace):
            if element.counter is not None:
                element.counter = counters.get(element.comment, element.counter)
    return [AddElements(name, change.add) for name, change in difference.elements.items() if change.add]


def replacements(difference: Difference) -> list[Change]:
    """Elements that take the place of others, in one batch: each packet meets the old one or the new one."""
    return [
        change for name, found in difference.elements.items() for change in _exchange(name, found.before, found.replace)
    ]


def restorations(difference: Difference) -> list[Change]:
    """The way back from `replacements`, after a swap that was refused."""
    return [
        change for name, found in difference.elements.items() for change in _exchange(name, found.replace, found.before)
    ]


def _exchange(name: str, old: tuple[Element, ...], new: tuple[Element, ...]) -> list[Change]:
    changes: list[Change] = [DeleteElements(name, old)] if old else []
    return [*changes, AddElements(name, new)] if new else changes


def removals(difference: Difference) -> list[Change]:
    """Elements that nobody asks for after the swap."""
    return [DeleteElements(name, change.delete) for name, change in difference.elements.items() if change.delete]


def unstage_text(table: Table, difference: Difference) -> str:
    """Empties the chains that stage_text and hook_text declare, those too that are not there yet; hooks go."""
    lines = []
    for name in difference.missing_chains:
        chain = table.chains[name]
        lines += [declare(name, chain), f"flush chain {TABLE} {name}\n"]
        if chain.header:
            lines.append(f"delete chain {TABLE} {name}\n")
    return "".join(lines)


def unstage_chains_text(table: Table, difference: Difference) -> str:
    """Removes the rest of them, once no element of a set that was staged leads there."""
    regular = [name for name in difference.missing_chains if not table.chains[name].header]
    return "".join([f"delete chain {TABLE} {name}\n" for name in regular])
