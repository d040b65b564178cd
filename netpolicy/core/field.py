"""The match fields of a rule: what each accepts and whether a fact satisfies it.

Obviously right before fast: this is the oracle for the compiled index and for the
kernel. Never reads a clock or the network; a fact that is None satisfies nothing.
The semantics are those of docs/rules.md ("Meaning" and "Match fields").
"""

from netpolicy.core.address import BITS, V4, V6, format_address, format_range, parse_range
from netpolicy.core.domain import DomainSet, parse_domain
from netpolicy.core.named_list import NO_LISTS, Lists
from netpolicy.core.packet import (
    PORTS_HINT,
    format_dscp,
    format_protocol,
    is_number,
    parse_device,
    parse_dscp,
    parse_family,
    parse_mac,
    parse_port,
    parse_port_range,
    parse_protocol,
    split_sign,
)
from netpolicy.core.range_table import compact
from netpolicy.core.ranges import contains, merge, remaining, subtract, united
from netpolicy.core.share import format_share, parse_share
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

    from netpolicy.core.domain import DomainPattern
    from netpolicy.core.facts import Facts
    from netpolicy.core.named_list import NamedList
    from netpolicy.core.ranges import Ranges

COMPARATOR_LIMIT = 4294967295  # v1 compares unsigned 32-bit numbers; more can never match

EVERY_ADDRESS = {family: ((0, (1 << BITS[family]) - 1),) for family in (V4, V6)}

MAX_VALUES = 4096  # per field; longer lists belong into a named list
MAX_TEXT = 256  # per value


class Field:
    """One field of a match: its name, its values in canonical form, and what they mean."""

    __slots__ = ("name",)

    if TYPE_CHECKING:
        values: tuple[str, ...]

    def __init__(self, name: str) -> None:
        self.name = name

    def matches(self, fact: object) -> bool:
        """Whether a known fact satisfies the field; None (unknown) never does."""
        raise NotImplementedError

    @property
    def told(self) -> object:
        """What it says, as the key of a table: equal for fields of one name and class that say the same."""
        return self.values

    def __repr__(self) -> str:
        return "{}={}".format(self.name, ",".join(self.values))


class Written(Field):
    """A field that keeps its values as they are written."""

    __slots__ = ("values",)

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        super().__init__(name)
        self.values = values


class Numbers(Written):
    """Ports, protocol numbers or DSCP code points: a set of integers."""

    __slots__ = ("ranges",)

    def __init__(
        self, name: str, values: tuple[str, ...], parsed: list[tuple[bool, tuple[int, int]]], limit: int
    ) -> None:
        super().__init__(name, values)
        wanted: list[tuple[int, int]] = []
        unwanted: list[tuple[int, int]] = []
        for negated, pair in parsed:
            (unwanted if negated else wanted).append(pair)
        start = merge(wanted) if wanted else ((0, limit),)
        self.ranges = subtract(start, merge(unwanted))

    def matches(self, fact: object) -> bool:
        return isinstance(fact, int) and contains(self.ranges, fact)


class ByFamily:
    """The disjoint ranges of both families, read as `found[4]` and `found[6]`: a fifth of the memory of a dict."""

    __slots__ = ("_four", "_six")

    def __init__(self, four: "Ranges", six: "Ranges") -> None:
        self._four = four
        self._six = six

    def __getitem__(self, family: int) -> "Ranges":
        return self._four if family == V4 else self._six

    def values(self) -> "tuple[Ranges, Ranges]":
        """Those of IPv4, those of IPv6."""
        return self._four, self._six

    def items(self) -> "tuple[tuple[int, Ranges], ...]":
        """The same with their families."""
        return (V4, self._four), (V6, self._six)


class Addresses(Field):
    """Addresses of both families: `ranges` has disjoint ranges for 4 and for 6."""

    __slots__ = ()

    if TYPE_CHECKING:
        ranges: ByFamily

    def matches(self, fact: object) -> bool:
        return isinstance(fact, tuple) and contains(self.ranges[fact[0]], fact[1])


class Network(Addresses):
    """One range of one family, which is what nearly every rule asks: text and ranges are made when they are wanted.

    Keeping them would take four times the memory.
    """

    __slots__ = ("beyond", "family", "low")

    def __init__(self, name: str, family: int, low: int, high: int) -> None:
        super().__init__(name)
        self.family = family
        self.low = low
        self.beyond = high - low  # of most networks a small number, which takes no memory of its own

    def has_source(self, facts: "Facts") -> bool:
        """Whether the source address lies in it. The path of decisions: no call, no number made for nothing."""
        fact = facts.src_addr
        if fact is None:
            return False
        low = self.low
        return low <= fact[1] <= low + self.beyond and fact[0] == self.family

    def has_destination(self, facts: "Facts") -> bool:
        """Whether the destination address lies in it."""
        fact = facts.dest_addr
        if fact is None:
            return False
        low = self.low
        return low <= fact[1] <= low + self.beyond and fact[0] == self.family

    @property
    def high(self) -> int:
        """The last address."""
        return self.low + self.beyond

    @property
    def values(self) -> tuple[str, ...]:  # type: ignore[override]
        """The canonical text."""
        return (format_range(self.family, self.low, self.low + self.beyond),)

    @property
    def ranges(self) -> ByFamily:  # type: ignore[override]
        """The one range, by its family."""
        held = ((self.low, self.low + self.beyond),)
        return ByFamily(held, ()) if self.family == V4 else ByFamily((), held)

    @property
    def told(self) -> int:
        """A number, at least 0."""
        if self.family == V4:
            return (self.beyond << 32 | self.low) << 1
        return (self.beyond << 128 | self.low) << 1 | 1


class Networks(Addresses):
    """Any number of ranges, written out or in lists. Those of a long list are kept once, however many name it."""

    __slots__ = ("ranges", "values")

    def __init__(self, name: str, values: tuple[str, ...], lists: Lists = NO_LISTS) -> None:
        wanted = _Chosen()
        unwanted = _Chosen()
        canonical = []
        everything = True
        for value in values:
            negated, text = split_sign(value)
            canonical.append(_signed(negated, (unwanted if negated else wanted).take(text, lists)))
            everything = everything and negated
        super().__init__(name)
        self.values = tuple(canonical)
        found = []
        for family in (V4, V6):
            start: Ranges = EVERY_ADDRESS[family] if everything else wanted.ranges(family)
            holes = unwanted.ranges(family)
            found.append(compact(family, remaining(start, holes)) if holes else start)
        self.ranges = ByFamily(found[0], found[1])


def _addresses(name: str, values: tuple[str, ...], lists: Lists) -> Addresses:
    negated, text = split_sign(values[0])
    if len(values) > 1 or negated or text.startswith("@"):
        return Networks(name, values, lists)
    family, low, high = parse_range(text)
    return Network(name, family, low, high)


class _Chosen:
    """The addresses of some values: ranges as they are written, and whole lists."""

    __slots__ = ("_lists", "_own")

    def __init__(self) -> None:
        self._own: dict[int, list[tuple[int, int]]] = {V4: [], V6: []}
        self._lists: list[NamedList] = []

    def take(self, text: str, lists: Lists) -> str:
        """Take a value; its canonical text. Raises ValueProblem."""
        if text.startswith("@"):
            named = lists.get(text[1:].strip(), "addresses")
            self._lists.append(named)
            return "@" + named.name
        family, low, high = parse_range(text)
        self._own[family].append((low, high))
        return format_range(family, low, high)

    def ranges(self, family: int) -> "Ranges":
        """All of them, merged."""
        found: Ranges = merge(self._own[family])
        for named in self._lists:
            more = named.ranges[family]
            found = compact(family, united(found, more)) if found and more else found or more
        return found


class Words(Written):
    """Device names, MAC addresses, families: texts that are equal or not."""

    __slots__ = ("unwanted", "wanted")

    def __init__(
        self,
        name: str,
        values: tuple[str, ...],
        normalise: "Callable[[str], object]",
        show: "Callable[[object], str]" = str,
    ) -> None:
        wanted: list[object] = []
        unwanted: list[object] = []
        canonical = []
        for value in values:
            negated, text = split_sign(value)
            word = normalise(text)
            (unwanted if negated else wanted).append(word)
            canonical.append(_signed(negated, show(word)))
        super().__init__(name, tuple(canonical))
        self.wanted = tuple(wanted)
        self.unwanted = tuple(unwanted)

    def matches(self, fact: object) -> bool:
        if fact is None or fact in self.unwanted:
            return False
        return not self.wanted or fact in self.wanted


class Schedules(Words):
    """Named schedules; the fact is the tuple of those that are active."""

    __slots__ = ()

    def matches(self, fact: object) -> bool:
        if not isinstance(fact, tuple) or any(name in fact for name in self.unwanted):
            return False
        return not self.wanted or any(name in fact for name in self.wanted)


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
            canonical.append(_signed(negated, pattern))
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
                canonical.append(_signed(negated, "@" + found.name))
            else:
                pattern = parse_domain(text)
                own[negated].append(pattern)
                canonical.append(_signed(negated, pattern.text))
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


class Comparator(Written):
    """A measured number against a bound: ">120", "<=50", "==5"; shares also as ">5%"."""

    __slots__ = ("bound", "operator")

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        if len(values) != 1:
            raise ValueProblem("{} takes one comparator".format(name), 'for example ">120"')
        is_share = name in SHARES
        self.operator, self.bound = _parse_comparator(values[0].strip(), is_share)
        shown = format_share(self.bound) if is_share else str(self.bound)
        super().__init__(name, (self.operator + shown,))

    def matches(self, fact: object) -> bool:
        if not isinstance(fact, (int, float)):
            return False
        operator = self.operator
        if operator == ">":
            return fact > self.bound
        if operator == "<":
            return fact < self.bound
        if operator == ">=":
            return fact >= self.bound
        if operator == "<=":
            return fact <= self.bound
        return fact == self.bound


# Measured as a share of all: 0 to 1, also written in percent.
SHARES = ("error_rate", "loss")


def _parse_comparator(text: str, is_share: bool) -> "tuple[str, float]":
    example = ">0.05 or >5%" if is_share else ">120"
    for operator in (">=", "<=", "==", ">", "<", "="):
        if text.startswith(operator):
            number = text[len(operator) :].strip()
            if number.startswith("+"):  # the predecessor took it
                number = number[1:]
            bound = parse_share(number) if is_share else _parse_bound(number)
            if bound is not None:
                return ("==" if operator == "=" else operator), bound
            break
    raise ValueProblem(
        "{!r} is not a comparator and could never match".format(text),
        "an operator (> >= < <= ==) and a {}, for example {}".format(
            "share from 0 to 1" if is_share else "whole number", example
        ),
    )


def _parse_bound(text: str) -> "int | None":
    return int(text) if is_number(text) and int(text) <= COMPARATOR_LIMIT else None


def _signed(negated: bool, text: str) -> str:
    return "!" + text if negated else text


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


def _ports(name: str, values: tuple[str, ...]) -> Numbers:
    parsed = []
    canonical = []
    for value in values:
        for part in value.split(","):
            negated, text = split_sign(part)
            if not text:
                raise ValueProblem("port pattern must not contain empty entries", PORTS_HINT)
            low, high = parse_port_range(text) if "-" in text else (parse_port(text),) * 2
            parsed.append((negated, (low, high)))
            canonical.append(_signed(negated, str(low) if low == high else "{}-{}".format(low, high)))
    return Numbers(name, tuple(canonical), parsed, 65535)


def _numbers(
    name: str, values: tuple[str, ...], parse: "Callable[[str], int]", show: "Callable[[int], str]", limit: int
) -> Numbers:
    parsed = []
    canonical = []
    for value in values:
        negated, text = split_sign(value)
        number = parse(text)
        parsed.append((negated, (number, number)))
        canonical.append(_signed(negated, show(number)))
    return Numbers(name, tuple(canonical), parsed, limit)


def _family_name(family: object) -> str:
    return "ipv{}".format(family)


def _schedule_name(text: str) -> str:
    if not text:
        raise ValueProblem("the name of a schedule is missing")
    return text


# How each field is read. The keys are the names of the UCI spelling.
FIELDS: "dict[str, Callable[[str, tuple[str, ...], Lists], Field]]" = {
    "src_addr": _addresses,
    "dest_addr": _addresses,
    "src_mac": lambda name, values, lists: Words(name, values, parse_mac),
    "src_iface": lambda name, values, lists: Words(name, values, parse_device),
    "src_port": lambda name, values, lists: _ports(name, values),
    "dest_port": lambda name, values, lists: _ports(name, values),
    "proto": lambda name, values, lists: _numbers(name, values, parse_protocol, format_protocol, 255),
    "family": lambda name, values, lists: Words(name, values, parse_family, _family_name),
    "dscp": lambda name, values, lists: _numbers(name, values, parse_dscp, format_dscp, 63),
    "domain": Domains,
    "sni": lambda name, values, lists: Names(name, values),
    "latency_ms": lambda name, values, lists: Comparator(name, values),
    "rtt_ms": lambda name, values, lists: Comparator(name, values),
    "error_rate": lambda name, values, lists: Comparator(name, values),
    "loss": lambda name, values, lists: Comparator(name, values),
    "schedule": lambda name, values, lists: Schedules(name, values, _schedule_name),
}

# In the order in which canonical text lists them.
FIELD_ORDER = (
    "src_iface", "src_mac", "src_addr", "src_port", "dest_addr", "domain", "sni", "proto", "dest_port", "family",
    "dscp", "latency_ms", "rtt_ms", "error_rate", "loss", "schedule",
)  # fmt: skip

FIELD_RANK = {name: rank for rank, name in enumerate(FIELD_ORDER)}

# Known from the first packet, so the kernel can decide by them.
PACKET_FIELDS = ("src_iface", "src_mac", "src_addr", "src_port", "dest_addr", "dest_port", "proto", "family", "dscp")

# A name behind an address: known before the connection where DNS told it, otherwise for the next one.
LEARNED_FIELDS = ("domain", "sni")

# Measured on lines and connections: they change the plan, never the fate of one packet.
MEASURED_FIELDS = ("latency_ms", "rtt_ms", "error_rate", "loss")


def parse_field(name: str, values: tuple[str, ...], lists: Lists = NO_LISTS) -> Field:
    """The field of that name with those values. Raises ValueProblem; KeyError for an unknown name."""
    if not values:
        raise ValueProblem("{} needs a value".format(name), "an empty list would match everything")
    if len(values) > MAX_VALUES:
        raise ValueProblem("{} has more than {} values".format(name, MAX_VALUES), "put them into a named list")
    for value in values:
        if len(value) > MAX_TEXT and not name.endswith("_port"):
            raise ValueProblem("a value of {} is longer than {} characters".format(name, MAX_TEXT))
    return FIELDS[name](name, values, lists)


def format_fact(name: str, fact: object) -> str:
    """A fact as text, for explanations."""
    if name == "schedule" and isinstance(fact, tuple):
        return ",".join(fact) or "none"
    if isinstance(fact, tuple):
        return format_address(fact[0], fact[1])
    if name == "proto" and isinstance(fact, int):
        return format_protocol(fact)
    if name == "dscp" and isinstance(fact, int):
        return format_dscp(fact)
    if name == "family":
        return "ipv{}".format(fact)
    if isinstance(fact, frozenset):
        return "learned" if fact else "not learned"
    return str(fact)
