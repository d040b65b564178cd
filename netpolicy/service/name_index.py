"""Which learned sets want a name: the patterns of all rules that ask for names, looked up label by label.

Pure. Few names stand in one table for all rules; a long list is asked by itself, which takes no more memory than the
list has. Never decides what a name is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netpolicy.core.domain import EXACT, SUFFIX, UNDER, DomainPattern
from netpolicy.core.field_kind import Field
from netpolicy.core.field_name import Domains, Names, normalise_name
from netpolicy.dataplane.learned_sets import FIELDS, base_name

# Patterns of one field that the common table takes; a longer one has a table of its own already.
MOST_OWN = 64


def fields_of(rules: Iterable[object]) -> dict[str, Field]:
    """What the rules ask of names, by the name of the learned set."""
    found: dict[str, Field] = {}
    for rule in rules:
        for field in rule.fields:  # type: ignore[attr-defined]
            if field.name in FIELDS:
                found.setdefault(base_name(field), field)
    return found


def heirs(before: Mapping[str, Field], after: Mapping[str, Field]) -> dict[str, list[str]]:
    """By the sets of before the new ones that want whatever those held: the question is asked for more names now."""
    found: dict[str, list[str]] = {}
    for base, field in after.items():
        wanted, unwanted = _signs(field)
        for known, old in before.items() if base not in before else ():
            had, had_not = _signs(old)
            if old.name == field.name and had and had <= wanted and unwanted <= had_not:
                found.setdefault(known, []).append(base)
    return found


def _signs(field: Field) -> tuple[set[str], set[str]]:
    """What the field wants and what it does not, as it is written."""
    unwanted = {value for value in field.values if value.startswith("!")}  # type: ignore[attr-defined]
    return set(field.values) - unwanted, unwanted  # type: ignore[attr-defined]


class NameIndex:
    """Made anew when the rules change; O(labels) for each look-up, and one more for each long list."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = dict(fields)
        self._words: dict[tuple[str, str], list[str]] = {}  # (kind, name): sets
        self._asked: list[tuple[str, Field]] = []
        for base, field in fields.items():
            patterns = few_patterns(field)
            if patterns is None:
                self._asked.append((base, field))
            for pattern in patterns or ():
                self._words.setdefault((pattern.kind, pattern.word), []).append(base)

    def bases(self, name: str) -> tuple[str, ...]:
        """The learned sets that want the addresses of this name."""
        seen = normalise_name(name)
        found: dict[str, None] = {}
        if self._words:
            found.update(dict.fromkeys(self._words.get((EXACT, seen), ())))
            found.update(dict.fromkeys(self._words.get((SUFFIX, seen), ())))
            dot = seen.find(".", 1)
            while dot >= 0:
                parent = seen[dot + 1 :]
                found.update(dict.fromkeys(self._words.get((SUFFIX, parent), ())))
                found.update(dict.fromkeys(self._words.get((UNDER, parent), ())))
                dot = seen.find(".", dot + 1)
        for base, field in self._asked:
            if field.matches(seen):
                found[base] = None
        return tuple(found)


def few_patterns(field: Field) -> list[DomainPattern] | None:
    """The field as some patterns of names, None where it is more than that: long, negated, or with expressions."""
    if isinstance(field, Names):
        words = [_pattern(one) for one in field.wanted] if not field.unwanted else [None]
        return [one for one in words if one is not None] if None not in words else None
    if not isinstance(field, Domains) or not field.unwanted.is_empty or not field.has_wanted:
        return None
    parts = field.wanted.parts()
    if any(part.others for part in parts):
        return None
    if sum(len(words) for part in parts for words in (part.suffix, part.exact, part.under)) > MOST_OWN:
        return None
    return [
        DomainPattern(kind, word, word)
        for part in parts
        for kind, words in ((SUFFIX, part.suffix), (EXACT, part.exact), (UNDER, part.under))
        for word in words
    ]


def _pattern(text: str) -> DomainPattern | None:
    """An sni pattern as one of a domain: `*.x` means x itself as well. None for one with other wildcards."""
    word = text[2:] if text.startswith("*.") else text
    if "*" in word or ".." in word or word[:1] == "." or word[-1:] == ".":
        return None
    return DomainPattern(SUFFIX if word != text else EXACT, word, word)
