"""Patterns on the names behind an address: `example.com`, `=…`, `*.…`, `keyword:…`, `regex:…`.

Texts in, matchers out. Never resolves a name. Unlike an sni pattern, a bare name means the name
and everything under it. Names: RFC 1035 labels, with the underscore that real names have.
"""

from netpolicy.core.name_table import NameTable
from netpolicy.core.pattern import compile_pattern
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Collection

    from netpolicy.core.pattern import Pattern

SUFFIX = "suffix"  # the name and everything under it
EXACT = "exact"
UNDER = "under"  # only what is under it
KEYWORD = "keyword"
REGEX = "regex"

MAX_NAME = 253
MAX_LABEL = 63
MAX_TEXT = 300  # no pattern is longer; more is not even shown
LABEL_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"


class DomainPattern:
    """One pattern; `text` is its canonical form, `word` the name, keyword or expression in it."""

    __slots__ = ("_compiled", "kind", "text", "word")

    def __init__(self, kind: str, text: str, word: str, compiled: "Pattern | None" = None) -> None:
        self.kind = kind
        self.text = text
        self.word = word
        self._compiled = compiled

    def matches(self, name: str) -> bool:
        """Whether a name in lower case without a final dot is meant."""
        word = self.word
        if self.kind == EXACT:
            return name == word
        if self.kind == KEYWORD:
            return word in name
        if self.kind == REGEX:
            return self._compiled is not None and self._compiled.search(name)
        is_under = len(name) > len(word) + 1 and name.endswith("." + word)
        return is_under or (self.kind == SUFFIX and name == word)


def parse_domain(text: str) -> DomainPattern:
    """The pattern of a value. Raises ValueProblem."""
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise ValueProblem("a domain of {} characters is too long".format(len(text)), "for example example.com")
    lowered = text.lower()
    if lowered.startswith("regex:"):
        return DomainPattern(REGEX, "regex:" + text[6:], text[6:], compile_pattern(text[6:]))
    if lowered.startswith("keyword:"):
        return _keyword(lowered[8:], text)
    if lowered.startswith("*."):
        name = _name(lowered[2:], text)
        return DomainPattern(UNDER, "*." + name, name)
    if lowered.startswith("="):
        name = _name(lowered[1:].strip(), text)
        return DomainPattern(EXACT, "=" + name, name)
    name = _name(lowered, text)
    return DomainPattern(SUFFIX, name, name)


def _keyword(word: str, text: str) -> DomainPattern:
    if not word or len(word) > MAX_LABEL or not all(c in LABEL_CHARACTERS or c == "." for c in word):
        raise ValueProblem("{!r} has no keyword".format(text), "letters, digits, - and . as in keyword:tracker")
    return DomainPattern(KEYWORD, "keyword:" + word, word)


def _name(name: str, text: str) -> str:
    """The name, checked; `text` is what was written."""
    if name.endswith("."):
        name = name[:-1]
    if any(c > "~" for c in name):
        raise ValueProblem("{!r}: names are seen in their ASCII form only".format(text), "write the xn-- form")
    if _looks_like_address(name):
        raise ValueProblem("{!r} is an address, not a domain".format(text), "write addresses as dest_addr")
    if "/" in name or ":" in name:
        raise ValueProblem(
            "{!r} is not a domain".format(text), "write only the name of the host, without http://, path and port"
        )
    if "*" in name:
        raise ValueProblem(
            "{!r}: a * stands only at the beginning, before a dot".format(text), "*.example.com, or keyword:…"
        )
    labels = name.split(".")
    if len(name) > MAX_NAME or not all(_is_label(label) for label in labels):
        raise ValueProblem("{!r} is not a domain".format(text), "for example example.com")
    return name


def _looks_like_address(name: str) -> bool:
    """Whether somebody meant an address or a network: a last label of digits, or colons between hexadecimal ones."""
    head = name.split("/")[0].split("%")[0].strip("[]")
    if head.count(":") > 1:
        return all(c in "0123456789abcdef:." for c in head)
    last = head.split(".")[-1]
    return last != "" and all("0" <= c <= "9" for c in last)


def _is_label(label: str) -> bool:
    if not 0 < len(label) <= MAX_LABEL or label[0] == "-" or label[-1] == "-":
        return False
    return all(c in LABEL_CHARACTERS for c in label)


# Thousands of rules name one domain each: a tuple is a fifth of a set, and as fast up to here.
FEW = 4

# Up to here a set, which is twice as fast as a table and takes five times its memory.
MAX_SET = 2000


def _names_of(patterns: "tuple[DomainPattern, ...]", kind: str) -> "set[str] | tuple[str, ...]":
    found = {one.word for one in patterns if one.kind == kind}
    return tuple(sorted(found)) if len(found) <= FEW else found


def _table_of(names: "NameTable") -> "Collection[str]":
    if len(names) > MAX_SET:
        return names
    return tuple(sorted(names)) if len(names) <= FEW else set(names)


class DomainSet:
    """Many patterns at once: names by a table, O(labels), keywords and expressions one by one.

    `suffix`, `exact` and `under` hold names, `others` are the patterns that no table holds. `lists`: further
    sets that are part of it, shared with whoever else has them.
    """

    __slots__ = ("_least", "exact", "lists", "others", "suffix", "under")

    def __init__(self, patterns: "tuple[DomainPattern, ...]" = (), lists: "tuple[DomainSet, ...]" = ()) -> None:
        self.suffix: Collection[str] = _names_of(patterns, SUFFIX)
        self.exact: Collection[str] = _names_of(patterns, EXACT)
        self.under: Collection[str] = _names_of(patterns, UNDER)
        self.others = tuple([one for one in patterns if one.kind in (KEYWORD, REGEX)])
        self.lists = lists
        self._least = min([MAX_NAME] + [len(one) for names in (self.suffix, self.under) for one in names])

    def take_tables(self, suffix: "NameTable", exact: "NameTable", under: "NameTable") -> None:
        """Hold these names instead; small tables become what a set of few patterns has."""
        self.suffix, self.exact, self.under = [_table_of(one) for one in (suffix, exact, under)]
        self._least = min(suffix.least or MAX_NAME, under.least or MAX_NAME)

    @property
    def is_empty(self) -> bool:
        """Whether no name can be meant."""
        if not self.lists:  # as of nearly every rule
            return not (self.suffix or self.exact or self.under or self.others)
        return not any([len(one.suffix) + len(one.exact) + len(one.under) + len(one.others) for one in self.parts()])

    def parts(self) -> "list[DomainSet]":
        """The set itself and those that are part of it; of each only what it holds itself is meant."""
        found = [self]
        for one in self.lists:
            found.extend(one.parts())
        return found

    def matches(self, name: str) -> bool:
        """Whether one of the patterns means the name."""
        if name in self.exact or name in self.suffix or self.has_parent(name):
            return True
        for pattern in self.others:
            if pattern.matches(name):
                return True
        for one in self.lists:
            if one.matches(name):
                return True
        return False

    def holds_the_same(self, other: "DomainSet") -> bool:
        """Whether both were made of the same; where they were not, in another order too, they may mean the same."""
        if self is other:
            return True
        if len(self.lists) != len(other.lists) or [one.text for one in self.others] != [p.text for p in other.others]:
            return False
        tables = ((self.suffix, other.suffix), (self.exact, other.exact), (self.under, other.under))
        if not all([mine == theirs for mine, theirs in tables]):
            return False
        return all([mine.holds_the_same(theirs) for mine, theirs in zip(self.lists, other.lists)])  # noqa: B905

    def has_parent(self, name: str) -> bool:
        """Whether the name is under one of the names in the tables."""
        # Not the first character (no label before it), and not what is longer than any name of a table.
        first = max(1, len(name) - MAX_NAME - 1)
        dot = name.find(".", first) if self.suffix or self.under else -1
        if isinstance(self.suffix, NameTable) and not self.under:
            return self.suffix.has_parent(name, dot)
        last = len(name) - self._least
        while 0 <= dot < last:
            parent = name[dot + 1 :]
            if parent in self.suffix or parent in self.under:
                return True
            dot = name.find(".", dot + 1)
        return False
