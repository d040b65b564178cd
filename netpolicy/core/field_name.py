"""The kinds of match fields whose values are names: as seen in a handshake, or told for an address.

Never looks anything up; a fact that is None satisfies nothing. The meaning of a pattern
is that of docs/rules.md, a label boundary included.
"""

from netpolicy.core.domain import DomainSet, parse_domain
from netpolicy.core.field_kind import Written, signed
from netpolicy.core.named_list import NO_LISTS, Lists
from netpolicy.core.packet import split_sign
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.domain import DomainPattern


class Names(Written):
    """Patterns on the server name seen in TLS, QUIC or HTTP."""

    __slots__ = ("unwanted", "wanted")

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        wanted: list[str] = []
        unwanted: list[str] = []
        canonical = []
        for value in values:
            negated, text = split_sign(value)
            pattern = _check_pattern(text)
            (unwanted if negated else wanted).append(pattern)
            canonical.append(signed(negated, pattern))
        super().__init__(name, tuple(canonical))
        self.wanted = tuple(wanted)
        self.unwanted = tuple(unwanted)

    def matches(self, fact: object) -> bool:
        if not isinstance(fact, str):
            return False
        seen = normalise_name(fact)
        if any(name_matches(pattern, seen) for pattern in self.unwanted):
            return False
        return not self.wanted or any(name_matches(pattern, seen) for pattern in self.wanted)


class Domains(Written):
    """Names behind an address, learned from DNS or seen in a handshake."""

    __slots__ = ("has_unwanted", "has_wanted", "unwanted", "wanted")

    def __init__(self, name: str, values: tuple[str, ...], lists: Lists = NO_LISTS) -> None:
        own: dict[bool, list[DomainPattern]] = {False: [], True: []}
        named: dict[bool, list[DomainSet]] = {False: [], True: []}
        canonical = []
        for value in values:
            negated, text = split_sign(value)
            if text.startswith("@"):
                found = lists.get(text[1:].strip(), "names")
                named[negated].append(found.names)
                canonical.append(signed(negated, "@" + found.name))
            else:
                pattern = parse_domain(text)
                own[negated].append(pattern)
                canonical.append(signed(negated, pattern.text))
        super().__init__(name, tuple(canonical))
        self.has_wanted = bool(own[False] or named[False])
        self.wanted = _one_set(own[False], named[False])
        self.unwanted = _one_set(own[True], named[True])
        self.has_unwanted = bool(own[True] or named[True])

    def matches(self, fact: object) -> bool:
        if not isinstance(fact, str):
            return False
        seen = normalise_name(fact)
        if self.has_unwanted and self.unwanted.matches(seen):
            return False
        return not self.has_wanted or self.wanted.matches(seen)


def _one_set(patterns: "list[DomainPattern]", lists: "list[DomainSet]") -> DomainSet:
    return lists[0] if len(lists) == 1 and not patterns else DomainSet(tuple(patterns), tuple(lists))


class Learned(Written):
    """A field of names as a packet meets it: whether its destination is among the addresses told for these names.

    The fact is the set of keys whose addresses hold it, None where that is not known.
    """

    __slots__ = ("key",)

    def __init__(self, name: str, values: tuple[str, ...], key: str) -> None:
        super().__init__(name, values)
        self.key = key

    def matches(self, fact: object) -> bool:
        return isinstance(fact, frozenset) and self.key in fact


def normalise_name(name: str) -> str:
    """Lower case, without the root dot of a fully qualified name."""
    name = name.lower()
    return name[:-1] if name.endswith(".") else name


def _check_pattern(text: str) -> str:
    pattern = normalise_name(text)
    if not pattern:
        raise ValueProblem("a name pattern must not be empty")
    if text.endswith("*."):  # without its dot it would match every name
        raise ValueProblem("{!r} is not a name pattern".format(text), "write * to match every name")
    if pattern.endswith("."):
        raise ValueProblem("{!r} is not a name pattern".format(text), "a name has one dot at its end at most")
    inner = pattern[1:-1] if len(pattern) > 1 else ""
    if "*" in inner:
        raise ValueProblem(
            "{!r}: a * inside a name never matches".format(text), "use * only as the first or last character"
        )
    if any(c > "~" for c in pattern):
        raise ValueProblem(
            "{!r}: names are seen in their ASCII form only".format(text), "write the xn-- form of the name"
        )
    if any(c <= " " or c in ",;\"'/" for c in pattern):
        raise ValueProblem(
            "{!r} is not a name pattern".format(text), "only the name of the host, without http://, path and port"
        )
    return pattern


def name_matches(pattern: str, name: str) -> bool:
    """Whether a checked pattern matches a normalised name (label boundary respected by `*.x`)."""
    if pattern == "*":
        return True
    if pattern.startswith("*.") and not pattern.endswith("*"):
        return name == pattern[2:] or name.endswith(pattern[1:])
    if pattern.startswith("*") and pattern.endswith("*"):
        return pattern[1:-1] in name
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern
