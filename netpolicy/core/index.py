"""The compiled rule set: the decision of `core/evaluate.py`, by a few look-ups instead of a walk over all rules.

Every rule hangs under one key, its rarest field; a decision visits what its facts meet and keeps the
lowest rank. Compiled once for a rule set, in slices; a view, one for each state of health and lines,
shares all tables. Never explains by itself: it asks `evaluate` about the few candidates.
"""

from netpolicy.core.evaluate import NOTHING_KNOWN, World
from netpolicy.core.health import NORMAL
from netpolicy.core.index_column import Groups, linked
from netpolicy.core.index_condition import Conditions
from netpolicy.core.index_key import Popularity, key_text
from netpolicy.core.index_name import is_exact_key
from netpolicy.core.index_order import SLICE, ranked_steps
from netpolicy.core.index_table import Filling
from netpolicy.core.index_view import View
from netpolicy.core.model import Rule, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Generator

    from netpolicy.core.index_column import Entry
    from netpolicy.core.index_table import Tables

# Rules between two steps of a compilation.
RULES_PER_STEP = SLICE // 4


class Index:
    """One compiled rule set. `rules` are by rank."""

    __slots__ = ("_tables", "rules", "ruleset")

    def __init__(self, ruleset: Ruleset, rules: "tuple[Rule, ...]", tables: "Tables") -> None:
        self.ruleset = ruleset
        self.rules = rules
        self._tables = tables

    def view(self, state: str = NORMAL, world: World = NOTHING_KNOWN) -> View:
        """What decides in that state of health and lines. The world must not change afterwards."""
        return View(self.ruleset, self.rules, self._tables, state, world)


class Building:
    """A compilation under way: `index` is None until `steps` have come to their end."""

    __slots__ = ("_ruleset", "index")

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self.index: Index | None = None

    def steps(self) -> "Generator[None, None, None]":
        """Compile; between two steps, a millisecond of CPython or so, the caller may do something else."""
        rules = yield from ranked_steps(self._ruleset)
        popularity = Popularity()
        for rank, rule in enumerate(rules):
            if rank % RULES_PER_STEP == 0:
                yield
            if len(rule.fields) > 1:  # the others leave no choice
                for field in rule.fields:
                    popularity.note(field)
        groups = Groups()
        unkeyed = yield from _hanging_steps(rules, popularity, groups)
        tables = yield from Filling(groups).steps()
        tables.rest = linked(unkeyed) if unkeyed else None
        yield
        ranked = tuple(rules)
        yield
        yield from groups.release_steps()
        self.index = Index(self._ruleset, ranked, tables)


def build(ruleset: Ruleset) -> Index:
    """The index of a rule set, in one go. O(rules and their values)."""
    building = Building(ruleset)
    for _ in building.steps():
        pass
    assert building.index is not None
    return building.index


def _hanging_steps(rules: "list[Rule]", popularity: Popularity, groups: Groups) -> "Generator[None, None, list[Entry]]":
    """Hang each rule under its key; the entries of those that have none, in rank order."""
    conditions = Conditions()
    unkeyed: list[Entry] = []
    for rank, rule in enumerate(rules):
        if rank % RULES_PER_STEP == 0:
            yield
        key = popularity.key_of(rule.fields)
        if key is None:
            unkeyed.append(conditions.entry(rank, rule.fields))
            continue
        if len(rule.fields) == 1 and is_exact_key(key):
            groups.add(key_text(key), key, (rank, None, None, None, None))
            continue
        asked = [field for field in rule.fields if field is not key or not is_exact_key(field)]
        groups.add(key_text(key), key, conditions.entry(rank, asked))
    return unkeyed
