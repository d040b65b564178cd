"""Among many name patterns: which one is covered by which other, and what an exclusion can touch.

Patterns arrive as sets of atoms (analysis_name.py); nothing is reported here. Names at the end of
names are found by a table; of keywords and the like only a few are compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netpolicy.config.analysis_name import ENDS, ONLY, Atom, are_apart, contains, ends_of, may_hold

MOST_OTHERS = 50  # patterns that only comparing one by one can judge


class NameCovers:
    """The patterns of one option."""

    def __init__(self, patterns: Sequence[tuple[Atom, ...]]) -> None:
        self._patterns = patterns
        self._at: dict[Atom, list[int]] = {}
        self._others: list[int] = []
        for at, atoms in enumerate(patterns):
            for atom in atoms:
                self._at.setdefault(atom, []).append(at)
            if any(kind not in (ONLY, ENDS) or (kind == ENDS and text[:1] != ".") for kind, text in atoms):
                self._others.append(at)

    def pairs(self) -> list[tuple[int, int]]:
        """(pattern, the first other that covers all of it)."""
        found = []
        for at, atoms in enumerate(self._patterns):
            outer = next((other for other in self._candidates(atoms) if self._covers(other, at)), None)
            if outer is not None:
                found.append((at, outer))
        return found

    def _candidates(self, atoms: tuple[Atom, ...]) -> Iterator[int]:
        if not atoms:
            return
        kind, text = atoms[-1]  # what is under the name, where a pattern has two atoms
        keys = [atoms[-1]]
        if kind in (ONLY, ENDS):
            keys += [(ENDS, end) for end in ends_of(text)]
        for key in keys:
            yield from self._at.get(key, [])[:MOST_OTHERS]
        if len(self._others) <= MOST_OTHERS:
            yield from self._others

    def _covers(self, outer: int, inner: int) -> bool:
        if outer == inner or not self._is_within(inner, outer):
            return False
        return outer < inner or not self._is_within(outer, inner)  # of two equal ones the later is too many

    def _is_within(self, inner: int, outer: int) -> bool:
        if len(self._patterns[inner]) > 2 or len(self._patterns[outer]) > MOST_OTHERS:
            return False  # a named list inside another one is nobody's mistake
        return all(any(contains(wide, atom) for wide in self._patterns[outer]) for atom in self._patterns[inner])

    def may_touch(self, atom: Atom) -> bool:
        """Whether a name of the atom may be among the patterns; in doubt yes."""
        if atom in self._at or len(self._at) > MOST_OTHERS:
            return True
        return any(self._may_share(atom, other) for other in self._at)

    @staticmethod
    def _may_share(left: Atom, right: Atom) -> bool:
        for one, other in ((left, right), (right, left)):
            if one[0] == ONLY:
                return may_hold(other, one[1])
        return not are_apart(left, right)
