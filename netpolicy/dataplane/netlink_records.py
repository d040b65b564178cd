"""Between the kernel's numbers and our records: the tables of words and the corner cases.

Never sees bytes or pyroute2 messages: both adapters hand in plain numbers, so they cannot differ here.
Numbers: <linux/rtnetlink.h>, <linux/fib_rules.h>, <linux/if.h>, <linux/neighbour.h>.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Mapping

from netpolicy.dataplane.record import replace
from netpolicy.dataplane.state import IPV4, IPV6, Link, NetlinkError, Route, RoutingRule

FAMILIES = {IPV4: socket.AF_INET.value, IPV6: socket.AF_INET6.value}
OUR_FAMILY = {number: family for family, number in FAMILIES.items()}
BITS = {IPV4: 32, IPV6: 128}

KINDS = {
    1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast",
    6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw",
}  # fmt: skip
MULTIPATH = "multipath"  # ours: the kernel calls it unicast with RTA_MULTIPATH
# 0 is the wildcard of a delete: a multipath route is read and deleted, never written
KIND_NUMBERS = {word: number for number, word in KINDS.items()} | {MULTIPATH: 0}
# Routes that refuse. IPv6 shows them on "lo", which means nothing.
REFUSING = ("blackhole", "unreachable", "prohibit", "throw")

SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
SCOPE_NUMBERS = {word: number for number, word in SCOPES.items()}

ACTIONS = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
ACTION_NUMBERS = {word: number for number, word in ACTIONS.items()}
RULE_INVERT = 0x2  # FIB_RULE_INVERT: "not"

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
IFA_TENTATIVE = 0x40
# INCOMPLETE, FAILED, NOARP (multicast mappings): no answered link-layer address
NEIGHBOUR_UNKNOWN = 0x01 | 0x20 | 0x40
ROUTE_CLONED = 0x200  # RTM_F_CLONED: a cache entry, not a route

# What the kernel stores when an IPv6 route is added with metric 0 (IP6_RT_PRIO_USER).
IPV6_METRIC = 1024

Hop = tuple[str, int]  # gateway, device index


def device_name(index: int, names: Mapping[int, str]) -> str:
    """The device's name; "index:7" where it is gone: no device may have a colon in its name."""
    if not index:
        return ""
    return names.get(index) or f"index:{index}"


def link(index: int, name: str, flags: int, mac: str, kind: str, master: int = 0) -> Link:
    """A device; tunnels' addresses and all zeros are no MAC."""
    is_mac = len(mac) == 17 and mac != "00:00:00:00:00:00"
    return Link(index, name, bool(flags & IFF_UP), bool(flags & IFF_LOWER_UP), mac if is_mac else "", kind, master)


def prefix(address: str, length: int) -> str:
    """A destination in words: CIDR, or "default" for everything."""
    return f"{address}/{length}" if length else "default"


def scope(number: int) -> str:
    """The word for a scope number."""
    return SCOPES.get(number, str(number))


def route(
    family: int,
    table: int,
    destination: str,
    kind: int,
    scope_number: int,
    protocol: int,
    metric: int,
    source: str,
    hops: list[Hop],
    names: Mapping[int, str],
) -> Route:
    """A route as read; of several next hops the first stands where a route has one, behind it the others."""
    word = KINDS.get(kind, str(kind))
    gateway, index = hops[0] if hops else ("", 0)
    if len(hops) > 1:
        word = MULTIPATH
    device = "" if word in REFUSING else device_name(index, names)
    others = tuple([(gateway, device_name(index, names)) for gateway, index in hops[1:]])
    return Route(
        family, table, destination, word, gateway, device, metric, protocol, scope(scope_number), source, others
    )


def selectors(
    *,
    inverted: bool,
    source: str,
    target: str,
    tos: int,
    iif: str,
    suppress_prefixlength: int | None,
    suppress_group: int | None,
    l3mdev: bool,
    others: list[int],
) -> str:
    """What a rule tests or does beyond our fields, in the words of `ip rule`."""
    words = ["not"] if inverted else []
    words += [f"from {source}"] if source else []
    words += [f"to {target}"] if target else []
    words += [f"tos {tos:#04x}"] if tos else []
    words += [f"iif {iif}"] if iif else []
    words += ["l3mdev"] if l3mdev else []
    words += [f"suppress_prefixlength {suppress_prefixlength}"] if suppress_prefixlength is not None else []
    words += [f"suppress_ifgroup {suppress_group}"] if suppress_group is not None else []
    words += [f"attribute {number}" for number in others]
    return " ".join(words)


def describe_route(route: Route) -> str:
    """A route in the words of `ip route`, for messages."""
    parts = [route.destination if route.kind == "unicast" else f"{route.kind} {route.destination}"]
    parts += [f"via {route.gateway}"] if route.gateway else []
    parts += [f"dev {route.device}"] if route.device else []
    parts += [f"nexthop {f'via {gateway} ' if gateway else ''}dev {device}" for gateway, device in route.others]
    parts += [f"table {route.table}"]
    parts += [f"metric {route.metric}"] if route.metric else []
    return " ".join(parts) + (" (IPv6)" if route.family == IPV6 else "")


def describe_rule(rule: RoutingRule) -> str:
    """A rule in the words of `ip rule`, for messages."""
    parts = [f"priority {rule.priority}"]
    parts += [rule.selectors] if rule.selectors else []
    parts += [f"oif {rule.oif}"] if rule.oif else []
    parts += [f"fwmark {rule.mark:#010x}/{rule.mask:#010x}"] if rule.mark or rule.mask else []
    parts += [f"lookup {rule.table}" if rule.action == "lookup" else rule.action]
    return " ".join(parts) + (" (IPv6)" if rule.family == IPV6 else "")


def destination(operation: str, family: int, text: str) -> tuple[bytes, int]:
    """Address bytes and prefix length of a CIDR text, of one address, or of "default"."""
    if text == "default":
        return b"", 0
    address, _, length = text.partition("/")
    packed = packed_address(operation, family, address)
    if not length:
        return packed, BITS[family]
    if not (length.isascii() and length.isdigit() and int(length) <= BITS[family]):
        raise invalid(operation, f"{text!r} has no valid prefix length")
    return packed, int(length)


def packed_address(operation: str, family: int, text: str) -> bytes:
    """Address bytes; NetlinkError for text that is none of this family."""
    try:
        return socket.inet_pton(FAMILIES[family], text)
    except (OSError, KeyError, ValueError):
        raise invalid(operation, f"{text!r} is not an IPv{family} address") from None


def number_of(operation: str, word: str, numbers: Mapping[str, int]) -> int:
    """The kernel's number for one of our words."""
    if word not in numbers:
        raise invalid(operation, f"{word!r} is not one of {', '.join(numbers)}")
    return numbers[word]


def check_range(operation: str, **values: int) -> None:
    """Refuse what does not fit the kernel's 32 bits instead of failing while packing it."""
    for name, value in values.items():
        if not 0 <= value <= 0xFFFFFFFF:
            raise invalid(operation, f"{name} {value} does not fit 32 bits")


def check_device(operation: str, name: str) -> None:
    """Refuse a name that no device can have (IFNAMSIZ is 16 bytes with the final zero)."""
    if len(name.encode("utf-8", "surrogateescape")) > 15:
        raise invalid(operation, f"{name!r} is too long for a device name")


def invalid(operation: str, reason: str) -> NetlinkError:
    """Ours to refuse before the kernel has to."""
    return NetlinkError(operation, errno.EINVAL, reason)


def absent(operation: str, code: int) -> NetlinkError:
    """What was to be deleted is not there."""
    return NetlinkError(operation, code, f"no such entry ({os.strerror(code)})")


def stored(route: Route) -> Route:
    """The route as the kernel will show it."""
    return replace(route, metric=IPV6_METRIC) if route.family == IPV6 and not route.metric else route


def is_ambiguous(route: Route) -> bool:
    """Left-out fields, and for IPv6 the kind, are wildcards to the kernel's delete."""
    return not (route.kind == "unicast" and route.metric and route.gateway and route.device)


def require_writable(operation: str, route: Route) -> None:
    """Refuse what has no complete record: a route with several next hops."""
    if route.kind == MULTIPATH:
        raise invalid(operation, "routes with several next hops are not ours to write")


def writable_selectors(operation: str, rule: RoutingRule) -> tuple[bytes, int, int | None]:
    """Of what we write: the source, its prefix length, and the length up to which routes are passed over."""
    words = rule.selectors.split()
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    suppress = pairs.pop("suppress_prefixlength", None)
    source = pairs.pop("from", "")
    if pairs or len(words) % 2 or not (suppress is None or (suppress.isascii() and suppress.isdigit())):
        raise invalid(operation, "rules with other selectors are not ours to write")
    packed, length = destination(operation, rule.family, source or "default")
    return packed, length, None if suppress is None else int(suppress)


def require_exact_rule(operation: str, rule: RoutingRule, existing: Iterable[RoutingRule]) -> None:
    """Refuse a delete that the kernel would answer by deleting another rule (0 is its wildcard)."""
    for other in existing:
        if _kernel_would_delete(other, rule):
            if other == rule:
                return
            break
    raise absent(operation, errno.ENOENT)


def _kernel_would_delete(other: RoutingRule, wanted: RoutingRule) -> bool:
    pairs = ((wanted.table, other.table), (wanted.mark, other.mark), (wanted.mask, other.mask),
             (wanted.protocol, other.protocol))  # fmt: skip
    return (
        other.family == wanted.family
        and other.priority == wanted.priority
        and other.action == wanted.action
        and wanted.oif in ("", other.oif)
        and _source(wanted) in ("", _source(other))
        and all(asked in (0, is_) for asked, is_ in pairs)
    )


def _source(rule: RoutingRule) -> str:
    words = rule.selectors.split()
    return words[words.index("from") + 1] if "from" in words else ""
