"""Which name patterns contain which others: sni patterns and domain patterns, exactly.

Patterns become a few plain kinds of text sets. Never resolves a name; a regular expression is
only compared with its own text, so that an answer "contains" is always right. Meaning of the
patterns: core's field.py and domain.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from netpolicy.core.domain import EXACT, KEYWORD, REGEX, SUFFIX, DomainPattern, parse_domain
from netpolicy.core.field_kind import Field
from netpolicy.core.field_name import Names
from netpolicy.core.named_list import NamedList
from netpolicy.core.ranges import merge

# Kinds of sets of names. An atom is (kind, text).
ONLY, ENDS, BEGINS, HOLDS, EXPRESSION, ALL = "only", "ends", "begins", "holds", "expression", "all"
Atom = tuple[str, str]

ANY_LETTER = "\x00"  # stands for letters that no pattern has


class Open(Exception):
    """The set depends on a file or address that is read again later: nothing lasting can be said of it."""


def sni_atoms(pattern: str) -> tuple[Atom, ...]:
    """The sets that a checked sni pattern is the union of."""
    if pattern == "*":
        return ((ALL, ""),)
    if pattern.startswith("*.") and not pattern.endswith("*"):
        return (ONLY, pattern[2:]), (ENDS, pattern[1:])
    if pattern.startswith("*") and pattern.endswith("*"):
        return ((HOLDS, pattern[1:-1]) if pattern != "**" else (ALL, ""),)
    if pattern.startswith("*"):
        return ((ENDS, pattern[1:]),)
    if pattern.endswith("*"):
        return ((BEGINS, pattern[:-1]),)
    return ((ONLY, pattern),)


def domain_atoms(pattern: DomainPattern) -> tuple[Atom, ...]:
    """The sets that a domain pattern is the union of."""
    if pattern.kind == EXACT:
        return ((ONLY, pattern.word),)
    if pattern.kind == KEYWORD:
        return ((HOLDS, pattern.word),)
    if pattern.kind == REGEX:
        return ((EXPRESSION, pattern.text),)
    under = (ENDS, "." + pattern.word)
    return ((ONLY, pattern.word), under) if pattern.kind == SUFFIX else (under,)


class NameSet:
    """The names that a field admits: the union of `wanted` without the union of `unwanted`."""

    def __init__(self, wanted: Iterable[Atom], unwanted: Iterable[Atom] = ()) -> None:
        self.wanted = tuple(dict.fromkeys(wanted))
        self.unwanted = tuple(dict.fromkeys(unwanted))
        self._wanted = _Union(self.wanted)
        self._unwanted = _Union(self.unwanted)
        # Which of the wanted sets the exclusions leave something of: ranges of their numbers.
        self.left = merge([(at, at) for at, atom in enumerate(self.wanted) if not self._unwanted.contains(atom)])

    def covers(self, atom: Atom, without: NameSet) -> bool:
        """Whether the names of `atom`, but for those that `without` excludes, are all in this set."""
        if not (self._wanted.contains(atom) or without._unwanted.contains(atom)):
            return False
        return all(without._unwanted.contains_both(atom, other) for other in self.unwanted)

    @property
    def is_empty(self) -> bool:
        """Whether the exclusions leave nothing at all."""
        return not self.left

    @property
    def cost(self) -> int:
        """How many comparisons one `covers` takes at most."""
        return 1 + self._wanted.cost + self._unwanted.cost


class _Union:
    """A union of atoms; names at the end of names are found by a table, O(labels)."""

    def __init__(self, atoms: tuple[Atom, ...]) -> None:
        self._atoms = set(atoms)
        self._others = tuple(
            (kind, text)
            for kind, text in atoms
            if kind not in (ONLY, EXPRESSION) and not (kind == ENDS and text.startswith("."))
        )
        self._expressions = tuple(text for kind, text in atoms if kind == EXPRESSION)
        self._has_all = (ALL, "") in self._atoms

    @property
    def cost(self) -> int:
        """How many atoms must be compared one by one."""
        return len(self._others) + len(self._expressions)

    def contains(self, atom: Atom) -> bool:
        """Whether one of the sets contains that one. For sets of more than one name that is the
        same as whether the union does: a name with letters that no pattern has is in one of them."""
        if self._has_all or atom in self._atoms:
            return True
        kind, text = atom
        if kind in (EXPRESSION, ALL):
            return False
        if kind in (ONLY, ENDS) and any((ENDS, end) in self._atoms for end in ends_of(text)):
            return True
        if any(contains(other, atom) for other in self._others):
            return True
        return kind == ONLY and self._expression_holds(text)

    def _expression_holds(self, name: str) -> bool:
        return any(_expression(text).matches(name) for text in self._expressions)

    def contains_both(self, left: Atom, right: Atom) -> bool:
        """Whether the names that are in both sets are in the union; in doubt not."""
        if left[0] == ONLY or right[0] == ONLY:
            one, other = (left, right) if left[0] == ONLY else (right, left)
            return not may_hold(other, one[1]) or self.contains(one)
        return self.contains(left) or self.contains(right) or are_apart(left, right)


@lru_cache(maxsize=1024)
def _expression(text: str) -> DomainPattern:
    return parse_domain(text)


def ends_of(text: str) -> list[str]:
    """Every end of the text that begins with a dot."""
    found = []
    dot = text.find(".")
    while dot >= 0:
        found.append(text[dot:])
        dot = text.find(".", dot + 1)
    return found


def contains(outer: Atom, inner: Atom) -> bool:
    """Whether the outer set has every name of the inner one."""
    if outer[0] == ALL or outer == inner:
        return True
    if outer[0] == EXPRESSION or inner[0] in (EXPRESSION, ALL):
        return False
    shown = _typical(inner)
    return _matches(outer, shown)


def may_hold(atom: Atom, name: str) -> bool:
    """Whether the name is in the set."""
    if atom[0] == EXPRESSION:
        return _expression(atom[1]).matches(name)
    return _matches(atom, name)


def are_apart(left: Atom, right: Atom) -> bool:
    """Whether no name is in both; in doubt not."""
    for one, other in ((left, right), (right, left)):
        if one[0] == ENDS and other[0] == ENDS and not one[1].endswith(other[1]) and not other[1].endswith(one[1]):
            return True
        if one[0] == BEGINS == other[0] and not one[1].startswith(other[1]) and not other[1].startswith(one[1]):
            return True
    return False


def _typical(atom: Atom) -> str:
    """A name of the set with letters that no pattern has: what matches it matches every name of the set."""
    kind, text = atom
    before = ANY_LETTER if kind in (ENDS, HOLDS) else ""
    return before + text + (ANY_LETTER if kind in (BEGINS, HOLDS) else "")


def _matches(atom: Atom, name: str) -> bool:
    kind, text = atom
    if kind == ONLY:
        return name == text
    if kind == ENDS:
        return name.endswith(text)
    if kind == BEGINS:
        return name.startswith(text)
    return kind == ALL or (kind == HOLDS and text in name)


def name_set(field: Field, lists: dict[str, NamedList]) -> NameSet:
    """The names of an sni or domain field. Raises Open where a list may change without the configuration."""
    wanted: list[Atom] = []
    unwanted: list[Atom] = []
    has_wanted = False
    for value in field.values:
        negated = value.startswith("!")
        has_wanted = has_wanted or not negated
        text = value[1:] if negated else value
        (unwanted if negated else wanted).extend(_atoms(field, text, lists))
    return NameSet(wanted if has_wanted else ((ALL, ""),), unwanted)


def _atoms(field: Field, text: str, lists: dict[str, NamedList]) -> tuple[Atom, ...]:
    if isinstance(field, Names):
        return sni_atoms(text)
    if not text.startswith("@"):
        return domain_atoms(parse_domain(text))
    named = lists[text[1:]]
    if named.is_open:
        raise Open(named.name)
    return tuple(atom for pattern in named.domains for atom in domain_atoms(pattern))
