"""What dnsmasq is told: for which names it puts the addresses that it answers with into which of our sets.

Pure. dnsmasq follows the longest name alone, and each of its names means all that is under it: a name gets the sets of
those above it too, and what cannot be said so is left to the daemon. Syntax: dnsmasq(8), `--nftset`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netpolicy.core.domain import SUFFIX, DomainSet
from netpolicy.core.field_kind import Field
from netpolicy.core.field_name import Domains
from netpolicy.dataplane import names
from netpolicy.dataplane.learned_sets import set_name
from netpolicy.service.name_index import few_patterns

HEAD = "# Written by netpolicy for the rules that ask for names; anew when they change.\n"

# dnsmasq reads lines of 1024 characters and drops what is longer.
LONGEST_LINE = 1000

# dnsmasq walks the whole list for each answer that it gets (measured, 2.90: 0.05 ms with 10 000 names, 1 ms with
# 50 000, 24 ms with 500 000). What is beyond is learned from the packets.
MOST_NAMES = 10000

# Sets of one name: more do not fit into a line with it.
MOST_SETS = 10


class Text:
    """The file, and which sets it fills `whole`: for those a name server tells everything that is to be known."""

    __slots__ = ("count", "text", "whole")

    def __init__(self, text: str, count: int, whole: frozenset[str]) -> None:
        self.text = text
        self.count = count
        self.whole = whole


def render(fields: Mapping[str, Field], extra: Iterable[str] = ()) -> Text:
    """The text for these fields, by the name of their set; the same for the same. "" where there is nothing to say.

    `extra` are further lines.
    """
    wanted: dict[str, tuple[str, ...]] = {}
    whole = []
    for base in sorted(fields):
        words, is_whole = _words(fields[base])
        if not words or len(wanted) + len(words) > MOST_NAMES:
            continue
        for word in words:
            wanted[word] = (*wanted.get(word, ()), base)
        if is_whole:
            whole.append(base)
    by_sets: dict[tuple[str, ...], list[str]] = {}
    for word in sorted(wanted):
        above = _above(word, wanted)
        sets = tuple(sorted({*wanted[word], *above}))
        if set(sets) != set(above):
            by_sets.setdefault(sets[:MOST_SETS], []).append(word)
    lines = [line for sets in sorted(by_sets) for line in _lines(by_sets[sets], sets)] + list(extra)
    return Text(HEAD + "".join([line + "\n" for line in lines]) if lines else "", len(wanted), frozenset(whole))


def _words(field: Field) -> tuple[list[str], bool]:
    """The names that stand for themselves and all under them, and whether the field wants nothing else."""
    if isinstance(field, Domains) and field.has_wanted:
        unwanted = field.unwanted
        if any(part.others for part in unwanted.parts()):
            return [], False  # what the expressions do not want cannot be taken out
        parts = field.wanted.parts()
        if sum(len(part.suffix) for part in parts) > MOST_NAMES:
            return [], False
        found = sorted({word for part in parts for word in part.suffix})
        kept = found if unwanted.is_empty else _apart(found, unwanted)
        is_all = all(not (part.exact or part.under or part.others) for part in parts)
        return kept, is_all and len(kept) == len(found) and unwanted.is_empty
    patterns = few_patterns(field)
    if patterns is None:
        return [], False
    found = sorted({one.word for one in patterns if one.kind == SUFFIX})
    return found, all(one.kind == SUFFIX for one in patterns)


def _apart(words: list[str], unwanted: DomainSet) -> list[str]:
    """Those with nothing under them that is not wanted."""
    tainted: set[str] = set()
    for part in unwanted.parts():
        for table in (part.suffix, part.exact, part.under):
            for word in table:
                tainted.update(_parents(word))
                tainted.add(word)
    return [word for word in words if word not in tainted and not unwanted.matches(word)]


def _above(word: str, wanted: Mapping[str, tuple[str, ...]]) -> set[str]:
    return {base for parent in _parents(word) for base in wanted.get(parent, ())}


def _parents(word: str) -> Iterator[str]:
    dot = word.find(".")
    while dot >= 0:
        word = word[dot + 1 :]
        yield word
        dot = word.find(".")


def _lines(words: list[str], sets: tuple[str, ...]) -> Iterator[str]:
    table = f"{names.FAMILY}#{names.TABLE}"
    into = ",".join([f"{family}#{table}#{set_name(base, family)}" for base in sets for family in (4, 6)])
    line = "nftset=/"
    for word in words:
        if line != "nftset=/" and len(line) + len(word) + 1 + len(into) > LONGEST_LINE:
            yield line + into
            line = "nftset=/"
        line += word + "/"
    yield line + into
