"""The nft text that leads from what is loaded to what should be: stage, then one small swap.

Staged objects are new and nobody refers to them; the swap changes references only, so no
packet sees half a rule set. Never reads the kernel. Why two steps: docs/dataplane.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netpolicy.dataplane.script import TABLE, declare, fill, is_staged, restore_map, spelled
from netpolicy.dataplane.table import Chain, Table


@dataclass(frozen=True, slots=True)
class Difference:
    """What of the loaded table is missing, different or too much; names as in Table (no generation)."""

    rebuild: bool = False  # absent, or of a shape that cannot be changed in place
    missing_counters: tuple[str, ...] = ()
    stale_counters: tuple[str, ...] = ()
    missing_elements: tuple[str, ...] = ()
    stale_elements: tuple[str, ...] = ()
    missing_chains: tuple[str, ...] = ()
    changed_chains: tuple[str, ...] = ()
    stale_chains: tuple[str, ...] = ()  # with generation: as loaded
    no_map: bool = False
    generations: dict[str, int] = field(default_factory=dict)  # staged chain → generation in force

    @property
    def is_empty(self) -> bool:
        """Whether the kernel already does what it should."""
        return not self.rebuild and not self.changes

    @property
    def changes(self) -> tuple[str, ...]:
        """One line per difference, in the words of nft."""
        if self.rebuild:
            return (f"+ table {TABLE}",)
        signs = (
            ("+ counter", self.missing_counters), ("- counter", self.stale_counters),
            ("+ class", self.missing_elements), ("- class", self.stale_elements),
            ("+ chain", self.missing_chains), ("~ chain", self.changed_chains), ("- chain", self.stale_chains),
        )  # fmt: skip
        lines = [f"{sign} {name}" for sign, found in signs for name in found]
        return (*lines, "+ map restore") if self.no_map else tuple(lines)


def unhooked(table: Table) -> Table:
    """The same table with its base chains off their hooks: it can be loaded beside the real one to be read back."""
    chains = [(name, Chain(table.chains[name].rules)) for name in table.order]
    return Table(table.counters, table.restore, chains)


def stage_text(table: Table, difference: Difference, generation: int) -> str:
    """Loads what is new under names that nothing refers to yet; "" when there is nothing."""
    generations = after(table, difference, generation)
    fresh = [name for name in table.order if name in difference.missing_chains or _restaged(name, difference)]
    regular = [name for name in fresh if not table.chains[name].header]
    lines = [f"add counter {TABLE} {name}" for name in difference.missing_counters]
    for name in regular:
        lines += declare(spelled(name, generation), table.chains[name])
    if difference.no_map:
        lines += restore_map(table)
    for name in regular:
        if table.chains[name].rules:
            lines += fill(spelled(name, generation), table.chains[name], generations)
    elements = [f"{key} : {verdict}" for key, verdict in table.restore if key in difference.missing_elements]
    if elements and not difference.no_map:
        lines.append(f"add element {TABLE} restore {{ {', '.join(elements)} }}")
    return "\n".join(lines) + "\n" if lines else ""


def swap_text(table: Table, difference: Difference, generation: int) -> str:
    """One transaction that changes references and removes what nobody refers to any more."""
    generations = after(table, difference, generation)
    refill = [name for name in difference.changed_chains if not is_staged(name)]
    # The two fixed names in front of a restaged chain have to point at its new generation.
    refill += [name for name, staged in (("classify", "g_forwarded"), ("classify_own", "g_own"))
               if _restaged(staged, difference) and name not in refill]  # fmt: skip
    lines = []
    for name in difference.missing_chains:
        if table.chains[name].header:
            lines += declare(name, table.chains[name]) + fill(name, table.chains[name], generations)
    for name in refill:
        if name in table.chains:
            lines += fill(name, table.chains[name], generations)
    if difference.stale_elements:
        lines.append(f"delete element {TABLE} restore {{ {', '.join(difference.stale_elements)} }}")
    lines += _delete_chains(table, difference)
    lines += [f"delete counter {TABLE} {name}" for name in difference.stale_counters]
    return "\n".join(lines) + "\n" if lines else ""


def unstage_text(table: Table, difference: Difference, generation: int) -> str:
    """Removes what stage_text loaded, after a swap that failed."""
    fresh = [name for name in table.order if name in difference.missing_chains or _restaged(name, difference)]
    regular = [spelled(name, generation) for name in fresh if not table.chains[name].header]
    lines = [f"flush chain {TABLE} {name}" for name in regular]
    if difference.missing_elements and not difference.no_map:
        lines.append(f"delete element {TABLE} restore {{ {', '.join(difference.missing_elements)} }}")
    lines += [f"delete chain {TABLE} {name}" for name in regular]
    lines += [f"delete counter {TABLE} {name}" for name in difference.missing_counters]
    return "\n".join(lines) + "\n" if lines else ""


def _restaged(name: str, difference: Difference) -> bool:
    return is_staged(name) and (name in difference.changed_chains or name in difference.missing_chains)


def after(table: Table, difference: Difference, generation: int) -> dict[str, int]:
    """The generation of every staged chain once the swap is done."""
    after = dict(difference.generations)
    after.update({name: generation for name in table.order if _restaged(name, difference)})
    return after


def _delete_chains(table: Table, difference: Difference) -> list[str]:
    """Flush all first: chains that refer to each other can then go in any order."""
    lines = [f"flush chain {TABLE} {name}" for name in difference.stale_chains]
    # A base chain has to go before the chains its rules led to; flushed, any order serves.
    lines += [f"delete chain {TABLE} {name}" for name in difference.stale_chains]
    return lines
