"""The table of names: which rules' domains and sni patterns a name meets, label by label from its end.

Each name of a rule is a row, and so are its parents down to two labels: a look-up goes on to the
next label only while rows say that there is more below. Never normalises; who asks brings names in lower
case without a final dot. Domains and sni patterns share the table, because mostly one name is both.
"""

from netpolicy.core.domain import DomainSet
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import Field
from netpolicy.core.field_name import Domains, Names
from netpolicy.core.index_literal import gram_size, literal_of
from netpolicy.core.index_order import SLICE

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Collection, Generator
    from typing import Any

    from netpolicy.core.index_column import Entry, Groups

    # The lists for: a domain below the name, a domain that is the name, the same two for an sni; is there more below.
    Row = tuple[Entry | None, Entry | None, Entry | None, Entry | None, bool]

# What a group wants of a name; a row of the table is made of group * KINDS + kind.
KINDS = 5
DOMAIN_SUFFIX, DOMAIN_EXACT, DOMAIN_UNDER, SNI_SUFFIX, SNI_EXACT = range(KINDS)

# Which kinds are in which list of a row.
LISTS = (
    (DOMAIN_SUFFIX, DOMAIN_UNDER),
    (DOMAIN_SUFFIX, DOMAIN_EXACT),
    (SNI_SUFFIX,),
    (SNI_SUFFIX, SNI_EXACT),
)

# The same the other way round: which lists of a row each kind is in.
IN_LISTS = tuple([tuple([kind in kinds for kinds in LISTS]) for kind in range(KINDS)])


class Wanted:
    """What a field wants of a name, by the way it can be looked up; `is_complete`: there is a way for all of it."""

    __slots__ = ("is_complete", "literals", "words")

    def __init__(self) -> None:
        self.words: list[tuple[int, Collection[str]]] = []  # (kind, names)
        self.literals: list[str] = []  # one of them occurs in the name
        self.is_complete = True

    def take_literal(self, literal: str) -> None:
        """Note a text that has to occur; too short a one is no way."""
        if gram_size(literal):
            self.literals.append(literal)
        else:
            self.is_complete = False


def is_exact_key(field: Field) -> bool:
    """Whether facts that are found under the field's keys satisfy it; any field but one of names always is."""
    if isinstance(field, Domains):
        return field.unwanted.is_empty and not _has_others(field.wanted)
    if isinstance(field, Names):
        return not field.unwanted and has_only_words(field)
    return True


def is_whole_key(field: Field) -> bool:
    """Whether the field is an exact key. A quick answer: False may only mean that it takes longer to tell."""
    if isinstance(field, Domains):
        names = field.wanted
        return field.has_wanted and not (field.has_unwanted or names.lists or names.others)
    if isinstance(field, Names):
        return not field.unwanted and has_only_words(field)
    return isinstance(field, Addresses)


def has_only_words(field: "Domains | Names") -> bool:
    """Whether all that the field wants, and that is something, are names for the table."""
    if isinstance(field, Domains):
        return field.has_wanted and not _has_others(field.wanted)
    return field.wanted != () and all([_word_of(pattern) for pattern in field.wanted])


def _has_others(names: DomainSet) -> bool:
    return any([part.others for part in names.parts()]) if names.lists else bool(names.others)


def wanted_of(field: Field) -> "Wanted | None":
    """What a domain or sni field wants; None for one that only says what it does not want, and other fields."""
    if isinstance(field, Domains) and field.has_wanted:
        return _of_domains(field.wanted)
    if isinstance(field, Names) and field.wanted:
        return _of_patterns(field.wanted)
    return None


def one_kind_of(field: Domains) -> "tuple[int, Collection[str]] | None":
    """The names that a field wants where they are all of one kind, as those of nearly every rule; else None."""
    names = field.wanted
    if names.lists or names.others:
        return None
    if names.suffix:
        return None if names.exact or names.under else (DOMAIN_SUFFIX, names.suffix)
    if names.exact:
        return None if names.under else (DOMAIN_EXACT, names.exact)
    return (DOMAIN_UNDER, names.under) if names.under else None


def _of_domains(names: DomainSet) -> Wanted:
    found = Wanted()
    for part in names.parts():
        for kind, words in ((DOMAIN_SUFFIX, part.suffix), (DOMAIN_EXACT, part.exact), (DOMAIN_UNDER, part.under)):
            if words:
                found.words.append((kind, words))
        for pattern in part.others:
            found.take_literal(literal_of(pattern))
    return found


def _of_patterns(patterns: "tuple[str, ...]") -> Wanted:
    found = Wanted()
    for pattern in patterns:
        word = _word_of(pattern)
        if word:
            found.words.append((SNI_EXACT if word == pattern else SNI_SUFFIX, (word,)))
        elif pattern.startswith("*.") and not pattern.endswith("*"):
            found.take_literal(pattern[2:])  # "*.x" is x itself as well
        else:
            found.take_literal(pattern.strip("*"))
    return found


def _word_of(pattern: str) -> str:
    """The name in an sni pattern, "" where it is none that can be walked label by label."""
    word = pattern[2:] if pattern.startswith("*.") else pattern
    return "" if "*" in word or ".." in word or word[:1] == "." or word[-1:] == "." else word


def name_steps(
    wanted: "list[tuple[int, Collection[str]]]", groups: "Groups"
) -> "Generator[None, None, tuple[dict[str, Row], bool]]":
    """The rows by name, and whether there are names of one label.

    `wanted` is (group * KINDS + kind, names), and empty afterwards.
    """
    codes: dict[str, int | list[int]] = {}  # a list where there is more than one
    find = codes.get
    below: set[str] = set()
    left = SLICE
    tops = False
    while wanted:  # emptied on the way, as below
        code, words = wanted.pop()
        for word in words:
            left -= 1
            if not left:
                left = SLICE
                yield
            known = find(word)
            if known is None:
                codes[word] = code
                dots = word.count(".")
                if dots > 1:
                    _note_parents(word, word.find("."), word.rfind("."), below)
                elif not dots:
                    tops = True
            elif isinstance(known, list):
                known.append(code)
            else:
                codes[word] = [known, code]
    rows = yield from _row_steps(codes, below, groups)
    return rows, tops


def _note_parents(word: str, dot: int, end: int, below: "set[str]") -> None:
    """Each parent of two labels or more has more below it. `dot` and `end`: the first and the last dot."""
    while dot < end:
        word = word[dot + 1 :]
        if word in below:
            return
        below.add(word)
        dot = word.find(".")
        end = word.rfind(".")


def _row_steps(
    codes: "dict[str, int | list[int]]", below: "set[str]", groups: "Groups"
) -> "Generator[None, None, dict[str, Row]]":
    made: dict[object, Row] = {}  # of names that several groups want
    last = -1
    of_last: list[Row | None] = [None, None]  # the names of a group come one after the other
    rows: dict[str, Any] = codes  # in place: a second dict of all names would be filled while this one is emptied
    left = SLICE
    for word, found in rows.items():
        left -= 1
        if not left:
            left = SLICE
            yield
        is_more = word in below
        if isinstance(found, list):
            key: object = (tuple(found), is_more)
            row = made.get(key)
            if row is None:
                row = made[key] = _row(found, is_more, groups)
        else:
            if found != last:
                last, of_last = found, [None, None]
            row = of_last[is_more]
            if row is None:
                row = of_last[is_more] = _row_of_one(found, is_more, groups)
        rows[word] = row
    passing: Row = (None, None, None, None, True)
    for number, word in enumerate(below):
        if number % SLICE == 0:
            yield
        if word not in rows:
            rows[word] = passing
    return rows


def _row_of_one(code: int, is_more_below: bool, groups: "Groups") -> "Row":
    entry = groups.list_of([code // KINDS])
    kind = code % KINDS
    if kind == DOMAIN_SUFFIX:  # mostly
        return (entry, entry, None, None, is_more_below)
    below, exact, sni_below, sni_exact = IN_LISTS[kind]
    return (
        entry if below else None,
        entry if exact else None,
        entry if sni_below else None,
        entry if sni_exact else None,
        is_more_below,
    )


def _row(codes: "list[int]", is_more_below: bool, groups: "Groups") -> "Row":
    lists: "list[Entry | None]" = []
    for kinds in LISTS:
        numbers = [code // KINDS for code in codes if code % KINDS in kinds]
        if len(numbers) > 1:
            numbers = sorted(set(numbers))
        lists.append(groups.list_of(numbers) if numbers else None)
    return (lists[0], lists[1], lists[2], lists[3], is_more_below)
