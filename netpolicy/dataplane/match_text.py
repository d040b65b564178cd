"""One rule's match as nft expressions: text per address family.

Every field arrives as disjoint ranges or as words, so negation is already worked out;
never guesses where the engine and nft could differ. Syntax: nft(8), 1.0.6 and later.
"""

from netpolicy.core.address import BITS, V4, V6, format_range
from netpolicy.core.field import Addresses, Numbers, Words
from netpolicy.core.model import ROUTER_ITSELF
from netpolicy.core.packet import PORT_PROTOCOLS
from netpolicy.core.ranges import intersect, merge

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.field import Field
    from netpolicy.core.model import Rule
    from netpolicy.dataplane.policy import Policy

    Ranges = tuple[tuple[int, int], ...]
    Matches = tuple[str, ...]

FAMILY_WORD = {V4: "ip", V6: "ip6"}
WITH_PORTS = merge([(number, number) for number in PORT_PROTOCOLS])


def forwarded_matches(rule: "Rule", policy: "Policy") -> "Matches":
    """The expressions, one per nft rule, for packets that come in by a device. Empty: it can match none."""
    devices = rule.field("src_iface")
    if devices is None:
        return _by_family(rule, policy, "")
    head = _words("iifname", devices, policy, quoted=True)
    return () if head is None else _by_family(rule, policy, head)


def own_matches(rule: "Rule", policy: "Policy") -> "Matches":
    """The same for packets of the router itself, whose only known interface is `lo`."""
    devices = rule.field("src_iface")
    if (devices and not devices.matches(ROUTER_ITSELF)) or rule.field("src_mac"):
        return ()
    return _by_family(rule, policy, "")


def _by_family(rule: "Rule", policy: "Policy", head: str) -> "Matches":
    tail = _tail(rule)
    if tail is None:
        return ()
    mac = rule.field("src_mac")
    link = _words("ether saddr", mac, policy, quoted=False) if mac else ""
    if link is None:
        return ()
    wanted = rule.field("family")
    families = [family for family in (V4, V6) if wanted is None or wanted.matches(family)]
    addressed = rule.field("src_addr") is not None or rule.field("dest_addr") is not None
    if not addressed and len(families) == 2:
        return (_join(head, link, tail),)
    result = []
    for family in families:
        addresses = _addresses(rule, family)
        if addresses is not None:
            guard = addresses or f"meta nfproto {'ipv4' if family == V4 else 'ipv6'}"
            result.append(_join(head, guard, link, tail))
    return tuple(result)


def _addresses(rule: "Rule", family: int) -> str | None:
    """The address expressions of one family; "" when any address does, None when none can."""
    parts = []
    for name, direction in (("dest_addr", "daddr"), ("src_addr", "saddr")):
        field = rule.field(name)
        if field is None:
            continue
        assert isinstance(field, Addresses)
        ranges = field.ranges[family]
        if not ranges:
            return None
        if ranges != ((0, (1 << BITS[family]) - 1),):
            texts = [format_range(family, low, high) for low, high in ranges]
            parts.append(f"{FAMILY_WORD[family]} {direction} {_set(texts)}")
    return " ".join(parts)


def _tail(rule: "Rule") -> str | None:
    """Protocol and ports; None when no packet can satisfy them."""
    protocols = _numbers(rule.field("proto"))
    ports = [(_numbers(rule.field(name)), word) for name, word in (("src_port", "sport"), ("dest_port", "dport"))]
    if any(found is not None for found, _ in ports):
        # Only these protocols begin with ports; `th dport` of another would read other bytes.
        protocols = WITH_PORTS if protocols is None else intersect(protocols, WITH_PORTS)
    parts = []
    if protocols is not None:
        if not protocols:
            return None
        if protocols != ((0, 255),):
            parts.append(f"meta l4proto {_set(_spans(protocols))}")
    for found, word in ports:
        if found is None:
            continue
        if not found:
            return None
        # Also where every port does, so that the expression stays the rule's own words.
        parts.append(f"th {word} {_set(_spans(found))}")
    return " ".join(parts)


def _numbers(field: "Field | None") -> "Ranges | None":
    if field is None:
        return None
    assert isinstance(field, Numbers)
    return field.ranges


def _spans(ranges: "Ranges") -> list[str]:
    return [str(low) if low == high else f"{low}-{high}" for low, high in ranges]


def _words(expression: str, field: "Field", policy: "Policy", quoted: bool) -> str | None:
    """Equality with one of the words; None when no word can be met by an incoming packet."""
    assert isinstance(field, Words)

    def spell(found: tuple[object, ...]) -> list[str]:
        words = [str(word) for word in found]
        if not quoted:
            return sorted(words)
        devices = {policy.devices(word) for word in words if word != ROUTER_ITSELF}
        return sorted(f'"{device}"' for device in devices)

    unwanted = spell(field.unwanted)
    if field.wanted:
        wanted = [word for word in spell(field.wanted) if word not in unwanted]
        return f"{expression} {_set(wanted)}" if wanted else None
    return f"{expression} != {_set(unwanted)}" if unwanted else ""


def _set(values: list[str]) -> str:
    return values[0] if len(values) == 1 else "{ " + ", ".join(values) + " }"


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
