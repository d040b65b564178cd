"""The table of names: which rules' domains and sni patterns a name meets, label by label from its end.

Each name of a rule is a row, and so are its parents down to two labels: a look-up goes on to the
next label only while rows say that there is more below. Never normalises; who asks brings names in lower
case without a final dot. Domains and sni patterns share the table, because mostly one name is both.
"""

from netpolicy.core.domain import DomainSet
from netpolicy.core.field import Domains, Field, Names
from netpolicy.core.index_literal import gram_size, literal_of
from netpolicy.core.index_order import SLICE

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Generator

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


class Wanted:
    """What a field wants of a name, by the way it can be looked up; `is_complete`: there is a way for all of it."""

    __slots__ = ("is_complete", "literals", "words")

    def __init__(self) -> None:
        self.words: list[tuple[int, str]] = []  # (kind, name)
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
        unwanted = field.unwanted
        return not (field.wanted.others or unwanted.suffix or unwanted.exact or unwanted.under or unwanted.others)
    if isinstance(field, Names):
        wanted = wanted_of(field)
        return wanted is not None and not wanted.literals and not field.unwanted
    return True


def wanted_of(field: Field) -> "Wanted | None":
    """What a domain or sni field wants; None for one that only says what it does not want, and other fields."""
    if isinstance(field, Domains) and field.has_wanted:
        return _of_domains(field.wanted)
    if isinstance(field, Names) and field.wanted:
        return _of_patterns(field.wanted)
    return None


def _of_domains(names: DomainSet) -> Wanted:
    found = Wanted()
    for kind, words in ((DOMAIN_SUFFIX, names.suffix), (DOMAIN_EXACT, names.exact), (DOMAIN_UNDER, names.under)):
        for word in words:
            found.words.append((kind, word))
    for pattern in names.others:
        found.take_literal(literal_of(pattern))
    return found


def _of_patterns(patterns: "tuple[str, ...]") -> Wanted:
    found = Wanted()
    for pattern in patterns:
        bare = pattern[2:] if pattern.startswith("*.") else pattern
        if "*" in bare or not _is_plain(bare):
            # Without its dot, too: "*.x" is x itself as well, but "*.x*" needs it.
            found.take_literal(pattern.strip("*") if bare.endswith("*") else bare.strip("*"))
        else:
            found.words.append((SNI_EXACT if bare == pattern else SNI_SUFFIX, bare))
    return found


def _is_plain(name: str) -> bool:
    """Whether no label is empty: only such names can be walked label by label."""
    return name != "" and ".." not in name and name[0] != "." and name[-1] != "."


def name_steps(
    wanted: "list[tuple[int, list[tuple[int, str]]]]", groups: "Groups"
) -> "Generator[None, None, tuple[dict[str, Row], bool]]":
    """The rows by name, for the words of groups, and whether there are names of one label."""
    codes: dict[str, int | list[int]] = {}  # a list where there is more than one
    below: set[str] = set()
    done = 0
    tops = False
    for group, words in wanted:
        for kind, word in words:
            if done % SLICE == 0:
                yield
            done += 1
            code = group * KINDS + kind
            known = codes.get(word)
            if known is None:
                codes[word] = code
                dot = word.find(".")
                end = word.rfind(".")
                if dot < end:
                    _note_parents(word, dot, end, below)
                tops = tops or dot < 0
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
    made: dict[object, Row] = {}
    rows: dict[str, Row] = {}
    done = 0
    for word in codes:
        if done % SLICE == 0:
            yield
        done += 1
        found = codes[word]
        is_more = word in below
        key = (tuple(found), is_more) if isinstance(found, list) else 2 * found + is_more
        row = made.get(key)
        if row is None:
            row = made[key] = _row(found if isinstance(found, list) else [found], is_more, groups)
        rows[word] = row
    passing: Row = (None, None, None, None, True)
    for number, word in enumerate(below):
        if number % SLICE == 0:
            yield
        if word not in rows:
            rows[word] = passing
    return rows


def _row(codes: "list[int]", is_more_below: bool, groups: "Groups") -> "Row":
    lists: "list[Entry | None]" = []
    for kinds in LISTS:
        numbers = [code // KINDS for code in codes if code % KINDS in kinds]
        if len(numbers) > 1:
            numbers = sorted(set(numbers))
        lists.append(groups.list_of(numbers) if numbers else None)
    return (lists[0], lists[1], lists[2], lists[3], is_more_below)
