"""The match fields of a rule: what each accepts and whether a fact satisfies it.

Obviously right before fast: this is the oracle for the compiled index and for the
kernel. Never reads a clock or the network; a fact that is None satisfies nothing.
The semantics are those of docs/rules.md ("Meaning" and "Match fields").
"""

from netpolicy.core.address import BITS, V4, V6, format_address, parse_range
from netpolicy.core.ranges import contains, merge, subtract
from netpolicy.core.value import Unsupported, ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

# IANA protocol numbers under the names that /etc/protocols and nft use.
PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
    "icmpv6": 58, "ospf": 89, "ipip": 4, "pim": 103, "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136,
}  # fmt: skip
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

# The protocols whose headers begin with source and destination port.
PORT_PROTOCOLS = (6, 17, 33, 132, 136)

COMPARATOR_LIMIT = 4294967295  # v1 compares unsigned 32-bit numbers; more can never match

EVERY_ADDRESS = {family: ((0, (1 << BITS[family]) - 1),) for family in (V4, V6)}

MAX_VALUES = 4096  # per field; longer lists belong into a named list
MAX_TEXT = 256  # per value


def split_sign(text: str) -> tuple[bool, str]:
    """(is_negated, rest) of a value that may begin with "!"."""
    text = text.strip()
    if text.startswith("!"):
        return True, text[1:].strip()
    return False, text


class Field:
    """One field of a match: its name, the values as written, and what they mean."""

    __slots__ = ("name", "values")

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        self.name = name
        self.values = values

    def matches(self, fact: object) -> bool:
        """Whether a known fact satisfies the field; None (unknown) never does."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return "{}={}".format(self.name, ",".join(self.values))


class Numbers(Field):
    """Ports or protocol numbers: a set of integers."""

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


class Addresses(Field):
    """Addresses of both families: `ranges` maps 4 and 6 to disjoint ranges."""

    __slots__ = ("ranges",)

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        super().__init__(name, values)
        wanted: dict[int, list[tuple[int, int]]] = {V4: [], V6: []}
        unwanted: dict[int, list[tuple[int, int]]] = {V4: [], V6: []}
        for value in values:
            negated, text = split_sign(value)
            if text.startswith("@"):
                raise Unsupported("named lists are not supported yet: {!r}".format(text), "write the addresses here")
            family, low, high = parse_range(text)
            (unwanted if negated else wanted)[family].append((low, high))
        everything = not wanted[V4] and not wanted[V6]
        self.ranges: dict[int, tuple[tuple[int, int], ...]] = {}
        for family in (V4, V6):
            start = EVERY_ADDRESS[family] if everything else merge(wanted[family])
            self.ranges[family] = subtract(start, merge(unwanted[family]))

    def matches(self, fact: object) -> bool:
        return isinstance(fact, tuple) and contains(self.ranges[fact[0]], fact[1])


class Words(Field):
    """Device names, MAC addresses, families: texts that are equal or not."""

    __slots__ = ("unwanted", "wanted")

    def __init__(self, name: str, values: tuple[str, ...], normalise: "Callable[[str], object]") -> None:
        super().__init__(name, values)
        wanted: list[object] = []
        unwanted: list[object] = []
        for value in values:
            negated, text = split_sign(value)
            (unwanted if negated else wanted).append(normalise(text))
        self.wanted = tuple(wanted)
        self.unwanted = tuple(unwanted)

    def matches(self, fact: object) -> bool:
        if fact is None or fact in self.unwanted:
            return False
        return not self.wanted or fact in self.wanted


class Names(Field):
    """Patterns on the server name seen in TLS, QUIC or HTTP."""

    __slots__ = ("unwanted", "wanted")

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        super().__init__(name, values)
        wanted: list[str] = []
        unwanted: list[str] = []
        for value in values:
            negated, text = split_sign(value)
            (unwanted if negated else wanted).append(_check_pattern(text))
        self.wanted = tuple(wanted)
        self.unwanted = tuple(unwanted)

    def matches(self, fact: object) -> bool:
        if not isinstance(fact, str):
            return False
        seen = normalise_name(fact)
        if any(name_matches(pattern, seen) for pattern in self.unwanted):
            return False
        return not self.wanted or any(name_matches(pattern, seen) for pattern in self.wanted)


class Comparator(Field):
    """A measured number against a bound: ">120", "<=50", "==5"."""

    __slots__ = ("bound", "operator")

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        super().__init__(name, values)
        if len(values) != 1:
            raise ValueProblem("{} takes one comparator".format(name), 'for example ">120"')
        self.operator, self.bound = _parse_comparator(name, values[0].strip())

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


def _parse_comparator(name: str, text: str) -> tuple[str, int]:
    for operator in (">=", "<=", "==", ">", "<", "="):
        if text.startswith(operator):
            number = text[len(operator) :].strip()
            if number.startswith("+"):  # the predecessor took it
                number = number[1:]
            if not _is_number(number) or int(number) > COMPARATOR_LIMIT:
                break
            return ("==" if operator == "=" else operator), int(number)
    raise ValueProblem(
        "{}: {!r} is not a comparator and could never match".format(name, text),
        "an operator (> >= < <= ==) and a whole number, for example >120",
    )


def _is_number(text: str) -> bool:
    return 0 < len(text) <= 10 and all("0" <= c <= "9" for c in text)


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
    inner = pattern[1:-1] if len(pattern) > 1 else ""
    if "*" in inner:
        raise ValueProblem(
            "{!r}: a * inside a name never matches".format(text), "use * only as the first or last character"
        )
    if any(c > "~" for c in pattern):
        raise ValueProblem(
            "{!r}: names are seen in their ASCII form only".format(text), "write the xn-- form of the name"
        )
    if any(c <= " " or c in ",;\"'" for c in pattern):
        raise ValueProblem("{!r} is not a name pattern".format(text))
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


def parse_port(text: str) -> int:
    """A port number 0-65535; the predecessor's leading + and zeros are tolerated. Raises ValueProblem."""
    digits = text[1:] if text.startswith("+") else text
    if not _is_number(digits) or int(digits) > 65535:
        raise ValueProblem("invalid port value: {}".format(text))
    return int(digits)


def _port_values(values: tuple[str, ...]) -> list[tuple[bool, tuple[int, int]]]:
    result = []
    for value in values:
        for part in value.split(","):
            negated, text = split_sign(part)
            if not text:
                raise ValueProblem("port pattern must not contain empty entries")
            if "-" not in text:
                port = parse_port(text)
                result.append((negated, (port, port)))
                continue
            result.append((negated, _port_range(text)))
    return result


def _port_range(text: str) -> tuple[int, int]:
    first, last = (part.strip() for part in text.split("-", 1))
    try:
        low = parse_port(first)
    except ValueProblem:
        raise ValueProblem("invalid port range start: {}".format(first))  # noqa: B904 - not in MicroPython
    try:
        high = parse_port(last)
    except ValueProblem:
        raise ValueProblem("invalid port range end: {}".format(last))  # noqa: B904 - not in MicroPython
    if low > high:
        raise ValueProblem("invalid port range (start > end): {}".format(text))
    return low, high


def parse_protocol(text: str) -> int:
    """The protocol number of a name or a number 0-255. Raises ValueProblem."""
    name = text.strip().lower()
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if _is_number(name) and int(name) < 256:
        return int(name)
    raise ValueProblem(
        "unknown protocol {!r}".format(text), "one of {} or a number".format(", ".join(sorted(PROTOCOLS)))
    )


def _protocol_values(values: tuple[str, ...]) -> list[tuple[bool, tuple[int, int]]]:
    result = []
    for value in values:
        negated, text = split_sign(value)
        number = parse_protocol(text)
        result.append((negated, (number, number)))
    return result


def parse_mac(text: str) -> str:
    """A MAC address in lower case with colons. Raises ValueProblem."""
    parts = text.lower().replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(p) == 2 and all(c in "0123456789abcdef" for c in p) for p in parts):
        raise ValueProblem("invalid MAC address {!r}".format(text), "six pairs of hex digits: 02:00:00:00:00:0a")
    return ":".join(parts)


def parse_device(text: str) -> str:
    """A netifd interface or device name. Raises ValueProblem."""
    # IFNAMSIZ allows 15 bytes; the kernel refuses "/", blanks and ":" in device names (dev_valid_name).
    if not 0 < len(text) <= 15 or text in (".", "..") or any(not _device_character(c) for c in text):
        raise ValueProblem("invalid interface name {!r}".format(text), "1 to 15 letters, digits, . _ - @")
    return text


def _device_character(c: str) -> bool:
    return "a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "._-@+"


def parse_family(text: str) -> int:
    """4 or 6 of "ipv4" or "ipv6". Raises ValueProblem."""
    name = text.strip().lower()
    if name in ("ipv4", "ipv6"):
        return 4 if name == "ipv4" else 6
    raise ValueProblem("unknown family {!r}".format(text), "ipv4 or ipv6")


# How each field is read. The keys are the names of the UCI spelling.
FIELDS = {
    "src_addr": Addresses,
    "dest_addr": Addresses,
    "src_mac": lambda name, values: Words(name, values, parse_mac),
    "src_iface": lambda name, values: Words(name, values, parse_device),
    "src_port": lambda name, values: Numbers(name, values, _port_values(values), 65535),
    "dest_port": lambda name, values: Numbers(name, values, _port_values(values), 65535),
    "proto": lambda name, values: Numbers(name, values, _protocol_values(values), 255),
    "family": lambda name, values: Words(name, values, parse_family),
    "sni": Names,
    "latency_ms": Comparator,
    "rtt_ms": Comparator,
}

# In the order in which canonical text lists them.
FIELD_ORDER = (
    "src_iface", "src_mac", "src_addr", "src_port", "dest_addr", "dest_port",
    "proto", "family", "sni", "latency_ms", "rtt_ms",
)  # fmt: skip

FIELD_RANK = {name: rank for rank, name in enumerate(FIELD_ORDER)}

# Known from the first packet, so the kernel can decide by them.
PACKET_FIELDS = ("src_iface", "src_mac", "src_addr", "src_port", "dest_addr", "dest_port", "proto", "family")


def parse_field(name: str, values: tuple[str, ...]) -> Field:
    """The field of that name with those values. Raises ValueProblem; KeyError for an unknown name."""
    if not values:
        raise ValueProblem("{} needs a value".format(name), "an empty list would match everything")
    if len(values) > MAX_VALUES:
        raise ValueProblem("{} has more than {} values".format(name, MAX_VALUES))
    for value in values:
        if len(value) > MAX_TEXT and not name.endswith("_port"):
            raise ValueProblem("a value of {} is longer than {} characters".format(name, MAX_TEXT))
    return FIELDS[name](name, values)


def format_fact(name: str, fact: object) -> str:
    """A fact as text, for explanations."""
    if isinstance(fact, tuple):
        return format_address(fact[0], fact[1])
    if name == "proto" and isinstance(fact, int):
        return PROTOCOL_NAMES.get(fact, str(fact))
    if name == "family":
        return "ipv{}".format(fact)
    return str(fact)
