"""The compiled rule set: the decision of `core/evaluate.py`, by a few look-ups instead of a walk over all rules.

Every rule hangs under one key, its rarest field; a decision visits what its facts meet and keeps the
lowest rank. Compiled once for a rule set, in slices; a view, one for each state of health and lines,
shares all tables. Never explains by itself: it asks `evaluate` about the few candidates.
"""

from netpolicy.core.evaluate import NOTHING_KNOWN, World
from netpolicy.core.field_address import Network
from netpolicy.core.field_kind import Comparator, Words
from netpolicy.core.health import NORMAL
from netpolicy.core.index_column import Groups, linked
from netpolicy.core.index_condition import Conditions
from netpolicy.core.index_key import Popularity, key_text
from netpolicy.core.index_name import is_exact_key, is_whole_key
from netpolicy.core.index_order import SLICE, ranked_steps
from netpolicy.core.index_table import Filling
from netpolicy.core.index_view import View
from netpolicy.core.model import Rule, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Generator

    from netpolicy.core.field_kind import Field
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

    def with_rules(self, ruleset: Ruleset, rules: "tuple[Rule, ...]") -> "Index":
        """For other rules that match alike, by rank; the tables are shared."""
        return Index(ruleset, rules, self._tables)

    def view(self, state: str = NORMAL, world: World = NOTHING_KNOWN) -> View:
        """What decides in that state of health and lines. The world must not change afterwards."""
        return View(self.ruleset, self.rules, self._tables, state, world)


class Building:
    """A compilation under way: `index` is None until `steps` have come to their end.

    Of rules that match as those of `before` do, one by one, only the actions are other ones: they share its tables.
    """

    __slots__ = ("_before", "_ruleset", "index")

    def __init__(self, ruleset: Ruleset, before: Index | None = None) -> None:
        self._ruleset = ruleset
        self._before = before
        self.index: Index | None = None

    def steps(self) -> "Generator[None, None, None]":
        """Compile; between two steps, a millisecond of CPython or so, the caller may do something else."""
        rules = yield from ranked_steps(self._ruleset)
        before, self._before = self._before, None
        if before is not None and (yield from _match_alike_steps(before.rules, rules)):
            self.index = before.with_rules(self._ruleset, tuple(rules))
            return
        popularity = Popularity()
        for rank, rule in enumerate(rules):
            if rank % RULES_PER_STEP == 0:
                yield
            if len(rule.fields) > 1:  # the others leave no choice
                for field in rule.fields:
                    popularity.note(field)
        groups = Groups()
        unkeyed = yield from _hanging_steps(rules, popularity, groups)
        yield from popularity.release_steps()  # before the tables are made: both at once are the highest point
        yield from groups.complete_steps()
        tables = yield from Filling(groups).steps()
        tables.rest = linked(unkeyed) if unkeyed else None
        yield
        ranked = tuple(rules)
        if ranked == self._ruleset.rules:  # the rules in force are: compared by identity
            ranked = self._ruleset.rules
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


def _match_alike_steps(before: "tuple[Rule, ...]", rules: "list[Rule]") -> "Generator[None, None, bool]":
    """Whether rules of the same rank ask the same fields."""
    if len(before) != len(rules):
        return False
    for rank, rule in enumerate(rules):
        if rank % SLICE == 0:
            yield
        known = before[rank]
        if rule is not known and not _match_alike(rule.fields, known.fields):
            return False
    return True


def _match_alike(fields: "tuple[Field, ...]", known: "tuple[Field, ...]") -> bool:
    if len(fields) != len(known):
        return False
    for place, field in enumerate(fields):
        if field is not known[place] and not _means_the_same(field, known[place]):
            return False
    return True


def _means_the_same(field: "Field", known: "Field") -> bool:
    """Certain only: the same name of a list may stand for another content, that of an interface for another device."""
    if type(field) is not type(known) or field.name != known.name or field.told != known.told:
        return False
    if isinstance(field, Comparator):
        return key_text(field) == key_text(known)  # the text is rounded
    if isinstance(field, Words) and isinstance(known, Words):
        return field.wanted == known.wanted and field.unwanted == known.unwanted
    return isinstance(field, Network) or not any(["@" in value[:2] for value in field.values])


def _hanging_steps(rules: "list[Rule]", popularity: Popularity, groups: Groups) -> "Generator[None, None, list[Entry]]":
    """Hang each rule under its key; the entries of those that have none, in rank order."""
    entry_of, key_of, add = Conditions().entry, popularity.key_of, groups.add
    unkeyed: list[Entry] = []
    for rank, rule in enumerate(rules):
        if rank % RULES_PER_STEP == 0:
            yield
        fields = rule.fields
        if len(fields) == 1 and is_whole_key(fields[0]):  # as of most of thousands
            add(key_text(fields[0]), fields[0], (rank, None, None, None, None))
            continue
        key = key_of(fields)
        if key is None:
            unkeyed.append(entry_of(rank, fields))
            continue
        if len(fields) == 1 and is_exact_key(key):
            add(key_text(key), key, (rank, None, None, None, None))
            continue
        asked = [field for field in fields if field is not key or not is_exact_key(field)]
        add(key_text(key), key, entry_of(rank, asked))
    return unkeyed
