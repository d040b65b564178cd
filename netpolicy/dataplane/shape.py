"""One rule as boxes: ranges of addresses, ports and protocols that a map can hold, and a guard for the rest.

Every field arrives as disjoint ranges or as words, so negation is already worked out; never guesses
where the engine and nft could differ. Syntax of guards and keys: nft(8), 1.0.6 and later.
"""

import binascii
import hashlib

from netpolicy.core.address import BITS, V4, V6, format_range
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import Numbers, Words
from netpolicy.core.model import ROUTER_ITSELF
from netpolicy.core.packet import PORT_PROTOCOLS
from netpolicy.core.range_table import compact
from netpolicy.core.ranges import intersect, merge, subtract
from netpolicy.dataplane import learned_sets, names
from netpolicy.dataplane.boxes import LONG, SHORT, packed, unpacked

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netpolicy.core.field_kind import Field
    from netpolicy.core.model import Rule
    from netpolicy.dataplane.policy import Entry, Policy

    Ranges = Sequence[tuple[int, int]]
    Box = tuple[tuple[int, int], ...]
    Signature = tuple[str, int, str, tuple[int, ...]]

FAMILY_WORD = {V4: "ip", V6: "ip6"}
WITH_PORTS = merge([(number, number) for number in PORT_PROTOCOLS])

# Which chains ask: those for forwarded packets, for the router's own, for what a line brings in.
EVERY = "a"  # forwarded and own
FORWARDED = "f"
OWN = "o"
ARRIVING = "i"  # forwarded and arriving: blocks that name a device

# The parts of a key in their order: what tells most packets apart first (it is looked up first), and
# what nearly every rule shares last. nft 1.0.6 miscompiles keys of more than five parts, and one is the label.
MOST_PARTS = 4
DEST, SOURCE, MAC, DEST_PORT, SOURCE_PORT, PROTOCOL = range(6)
PART_NAMES = ("da", "sa", "mc", "dp", "sp", "pr")

# What aligned blocks can be made of, so that large maps become several: numbers that nft compares as ranges.
SPLIT_BY = (DEST, SOURCE, DEST_PORT, SOURCE_PORT)

# Longer lists stand in a set of their own, which the guard asks.
MOST_RANGES = 256
MOST_BOXES = 1024

EVERY_PROTOCOL = ((0, 255),)
# What most rules with ports say. In the key it would double the elements of their map.
TCP_AND_UDP = ((6, 6), (17, 17))
EVERY_PORT = ((0, 65535),)


class Shape:
    """What one rule asks of one kind of packets.

    Rules with the same `signature` (scope, family, guard and parts) share a map. `held` are its boxes, packed; with
    no parts there is one box, which is empty. `large` are the sets that the guard names.
    """

    __slots__ = ("held", "large", "signature")

    def __init__(self, signature: "Signature", held: bytes, large: "tuple[LargeSet | LearnedSet, ...]" = ()) -> None:
        self.signature = signature
        self.held = held
        self.large = large

    @property
    def boxes(self) -> "tuple[Box, ...]":
        """For each part (low, high). Made when they are asked for."""
        width = len(self.signature[3])
        pairs = unpacked(self.held, self.number_size)
        return tuple([pairs[at : at + width] for at in range(0, len(pairs), width)]) if width else ((),)

    @property
    def number_size(self) -> int:
        """Bytes of each number of a box."""
        return number_size(self.signature)

    @property
    def count(self) -> int:
        """How many boxes."""
        width = 2 * len(self.signature[3]) * self.number_size
        return len(self.held) // width if width else 1

    @property
    def scope(self) -> str:
        """Which chains ask."""
        return self.signature[0]

    @property
    def family(self) -> int:
        """4, 6, or 0 where both are meant."""
        return self.signature[1]

    @property
    def guard(self) -> str:
        """What is asked before the map is, "" for nothing."""
        return self.signature[2]

    @property
    def parts(self) -> "tuple[int, ...]":
        """What stands in the key."""
        return self.signature[3]


def number_size(signature: "Signature") -> int:
    """Bytes of each number in the boxes of that signature."""
    return LONG if signature[1] == V6 or MAC in signature[3] else SHORT


def made_of(
    scope: str,
    family: int,
    guard: str,
    parts: "tuple[int, ...]",
    boxes: "Sequence[Box]",
    large: "tuple[LargeSet | LearnedSet, ...]" = (),
) -> Shape:
    """The shape that has these boxes."""
    signature = _shared((scope, family, guard, parts))
    return Shape(signature, packed(boxes, number_size(signature)), large)


# Thousands of rules have a few signatures between them. When so many different ones came it starts anew.
_signatures: "dict[Signature, Signature]" = {}
MOST_SIGNATURES = 256


def _shared(signature: "Signature") -> "Signature":
    found = _signatures.get(signature)
    if found is None:
        if len(_signatures) >= MOST_SIGNATURES:
            _signatures.clear()
        found = _signatures[signature] = signature
    return found


class LearnedSet:
    """The addresses of one family that the names of a field were told for. It has no content of its own."""

    __slots__ = ("family", "name")

    def __init__(self, family: int, base: str) -> None:
        self.family = family
        self.name = learned_sets.set_name(base, family)


class LargeSet:
    """A long list of addresses of one family, named after what it holds."""

    __slots__ = ("family", "name", "ranges")

    def __init__(self, family: int, ranges: "Ranges") -> None:
        self.family = family
        self.ranges = compact(family, ranges)
        self.name = names.content_name(f"l{family}", _digest(ranges))


def _digest(ranges: "Ranges") -> str:
    found = hashlib.sha256()
    for low, high in ranges:
        found.update(f"{low:x}-{high:x},".encode())
    return binascii.hexlify(found.digest()).decode()


def shapes(entry: "Entry", policy: "Policy") -> "tuple[Shape, ...]":
    """The shapes of a rule that stands. Empty: no packet can match it."""
    rule = entry.rule
    devices = rule.field("src_iface")
    bodies = _bodies(rule)
    if not bodies:
        return ()
    is_own = _is_own(entry)
    if devices is None and rule.field("src_mac") is None:
        return _with_scope(bodies, EVERY if is_own else FORWARDED, "")
    found: tuple[Shape, ...] = ()
    head = "" if devices is None else _devices(devices, policy)
    if head is not None:
        found = _with_scope(bodies, ARRIVING if entry.blocks and devices is not None else FORWARDED, head)
    return found + _with_scope(bodies, OWN, "") if is_own else found


def _is_own(entry: "Entry") -> bool:
    """Whether the rule decides packets of the router itself, whose only known interface is `lo`.

    A block cuts them only when it names the router as source.
    """
    devices = entry.rule.field("src_iface")
    if (devices is not None and not devices.matches(ROUTER_ITSELF)) or entry.rule.field("src_mac") is not None:
        return False
    return not entry.blocks or entry.rule.blocks_router_itself


class _Body:
    """Ranges by part, for one family."""

    __slots__ = ("family", "guard", "learned", "ranges")

    def __init__(
        self, family: int, guard: "list[str]", ranges: "dict[int, Ranges]", learned: "tuple[LearnedSet, ...]" = ()
    ) -> None:
        self.family = family
        self.guard = guard
        self.ranges = ranges
        self.learned = learned  # the sets that the guard asks


def _bodies(rule: "Rule") -> "list[_Body]":
    wanted = rule.field("family")
    families = [family for family in (V4, V6) if wanted is None or wanted.matches(family)]
    code_points = _numbers(rule.field("dscp"))
    addressed = rule.field("src_addr") is not None or rule.field("dest_addr") is not None
    tail = _tail(rule)
    if tail is None:
        return []
    ports, ranges = tail
    named = [learned_sets.base_name(field) for field in rule.fields if field.name in learned_sets.FIELDS]
    if not addressed and code_points is None and not named and len(families) == 2:
        return [_Body(0, ports, ranges)]
    found = []
    for family in families:
        addresses = _addresses(rule, family)
        if addresses is None:
            continue
        guard = [] if addresses or named else [f"meta nfproto {'ipv4' if family == V4 else 'ipv6'}"]
        learned = tuple([LearnedSet(family, base) for base in named])
        if code_points is not None:
            if not code_points:
                continue
            guard.append(f"{FAMILY_WORD[family]} dscp {_set(_code_points(code_points))}")
        both = dict(addresses)
        both.update(ranges)
        asked = [f"{FAMILY_WORD[family]} daddr @{one.name}" for one in learned]
        found.append(_Body(family, guard + asked + ports, both, learned))
    return found


def _addresses(rule: "Rule", family: int) -> "dict[int, Ranges] | None":
    """The ranges of one family; empty when any address does, None when none can."""
    found = {}
    for name, part in (("dest_addr", DEST), ("src_addr", SOURCE)):
        field = rule.field(name)
        if field is None:
            continue
        assert isinstance(field, Addresses)
        ranges = field.ranges[family]
        if not ranges:
            return None
        if ranges != ((0, (1 << BITS[family]) - 1),):
            found[part] = ranges
    return found


def _tail(rule: "Rule") -> "tuple[list[str], dict[int, Ranges]] | None":
    """MAC, ports and protocol, with what has to be asked before ports are; None when no packet can satisfy them."""
    protocols = _numbers(rule.field("proto"))
    found: dict[int, Ranges] = {}
    macs = rule.field("src_mac")
    if macs is not None:
        found[MAC] = _macs(macs)
    ports = [(_numbers(rule.field(name)), part) for name, part in (("dest_port", DEST_PORT), ("src_port", SOURCE_PORT))]
    guard = []
    if any(wanted is not None for wanted, _ in ports):
        # Only these protocols begin with ports; `th dport` of another would read other bytes.
        if protocols is None:
            guard.append(f"meta l4proto {_set(_spans(WITH_PORTS))}")
        else:
            protocols = intersect(protocols, WITH_PORTS)
    for wanted, part in ports:
        if wanted is not None and wanted != EVERY_PORT:
            found[part] = wanted
    if protocols == TCP_AND_UDP:
        guard.append(f"meta l4proto {_set(_spans(protocols))}")
    elif protocols is not None and protocols != EVERY_PROTOCOL:
        found[PROTOCOL] = protocols
    return None if any(not ranges for ranges in found.values()) else (guard, found)


def _macs(field: "Field") -> "Ranges":
    assert isinstance(field, Words)
    every = ((0, (1 << 48) - 1),)
    wanted = merge([_mac_range(word) for word in field.wanted]) if field.wanted else every
    unwanted = merge([_mac_range(word) for word in field.unwanted])
    return subtract(wanted, unwanted)


def _mac_range(word: object) -> "tuple[int, int]":
    number = int(str(word).replace(":", ""), 16)
    return number, number


def _with_scope(bodies: "list[_Body]", scope: str, head: str) -> "tuple[Shape, ...]":
    return tuple([_shape(body, scope, head) for body in bodies])


def _shape(body: _Body, scope: str, head: str) -> Shape:
    """Chooses what stands in the key; the rest, and what would be too many boxes, is asked by the guard."""
    parts = sorted(body.ranges)
    guard = [head] if head else []
    guard.extend(body.guard)
    large: list[LargeSet | LearnedSet] = list(body.learned)
    outside = [part for part in parts if len(body.ranges[part]) > MOST_RANGES]
    inside = [part for part in parts if part not in outside]
    while len(inside) > MOST_PARTS:
        outside.append(inside.pop())
    while _product(body, inside) > MOST_BOXES:
        longest = max(inside, key=lambda part: len(body.ranges[part]))
        inside.remove(longest)
        outside.append(longest)
    for part in sorted(outside, reverse=True):
        ranges = body.ranges[part]
        if part in (DEST, SOURCE) and len(ranges) > MOST_RANGES:
            listed = LargeSet(body.family, ranges)
            large.append(listed)
            guard.append(f"{_key_part(part, body.family)} @{listed.name}")
        else:
            guard.append(f"{_key_part(part, body.family)} {_set(_values(part, body.family, ranges))}")
    boxes = [()]  # type: list[Box]
    for part in inside:
        boxes = [box + (one,) for box in boxes for one in body.ranges[part]]  # noqa: RUF005 - not in MicroPython
    return made_of(scope, body.family, " ".join(guard), tuple(inside), boxes, tuple(large))


def _product(body: _Body, parts: "list[int]") -> int:
    count = 1
    for part in parts:
        count *= len(body.ranges[part])
    return count


def key(parts: "tuple[int, ...]", family: int) -> str:
    """The expression that a map with these parts is asked for, without the label."""
    return " . ".join([_key_part(part, family) for part in parts])


def key_types(parts: "tuple[int, ...]", family: int) -> "tuple[str, ...]":
    """The data types of such a key, nft's names."""
    address = "ipv4_addr" if family == V4 else "ipv6_addr"
    words = (address, address, "ether_addr", "inet_service", "inet_service", "inet_proto")
    return tuple([words[part] for part in parts])


def within_text(part: int, family: int, low: int, high: int) -> str:
    """Asks whether a part lies within a range, with a space behind; "" for a range that is not one (high < 0)."""
    return "" if high < 0 else f"{_key_part(part, family)} {part_text(key_types((part,), family)[0], low, high)} "


def _key_part(part: int, family: int) -> str:
    word = FAMILY_WORD.get(family, "")
    return (f"{word} daddr", f"{word} saddr", "ether saddr", "th dport", "th sport", "meta l4proto")[part]


def _values(part: int, family: int, ranges: "Ranges") -> "list[str]":
    return [part_text(key_types((part,), family)[0], low, high) for low, high in ranges]


def part_text(kind: str, low: int, high: int) -> str:
    """A range of a key's data type as nft reads it."""
    if kind == "ipv4_addr":
        return format_range(V4, low, high)
    if kind == "ipv6_addr":
        return format_range(V6, low, high)
    if kind == "ether_addr":
        return _mac_text(low) if low == high else f"{_mac_text(low)}-{_mac_text(high)}"
    return str(low) if low == high else f"{low}-{high}"


def _mac_text(number: int) -> str:
    return ":".join([f"{number >> shift & 255:02x}" for shift in (40, 32, 24, 16, 8, 0)])


def _numbers(field: "Field | None") -> "Ranges | None":
    if field is None:
        return None
    assert isinstance(field, Numbers)
    return field.ranges


def _spans(ranges: "Ranges") -> "list[str]":
    return [str(low) if low == high else f"{low}-{high}" for low, high in ranges]


def _code_points(ranges: "Ranges") -> "list[str]":
    """One range, or every value: in a set with ranges nft 1.1.3 and 1.1.7 look for other values of `ip6 dscp`."""
    if len(ranges) == 1:
        return _spans(ranges)
    return [str(value) for low, high in ranges for value in range(low, high + 1)]


def _devices(field: "Field", policy: "Policy") -> "str | None":
    """Equality with one of the devices, "" for any; None when no incoming packet can show one."""
    assert isinstance(field, Words)

    def spell(found: "tuple[object, ...]") -> "list[str]":
        devices = {policy.devices(str(word)) for word in found if word != ROUTER_ITSELF}
        return sorted([f'"{device}"' for device in devices])

    unwanted = spell(field.unwanted)
    if field.wanted:
        wanted = [word for word in spell(field.wanted) if word not in unwanted]
        return f"iifname {_set(wanted)}" if wanted else None
    return f"iifname != {_set(unwanted)}" if unwanted else ""


def _set(values: "list[str]") -> str:
    return values[0] if len(values) == 1 else "{ " + ", ".join(values) + " }"
