"""How far a rule reaches: one machine or a whole network, one service or everything.

Pure, and rather too far than not far enough: what cannot be told counts as all. For people who ask how dangerous a
rule is; never decides a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netpolicy.core.address import BITS, V4, V6
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import Field, Numbers, Schedules, Words
from netpolicy.core.model import Rule

if TYPE_CHECKING:
    from netpolicy.core.ranges import Ranges

# From so many addresses on it is a network and not some machines: half a /24, a /64.
NETWORK = {V4: 128, V6: 1 << 64}
MACHINES = 8  # MAC addresses

PORTS = 1 << 16
PROTOCOLS = {6, 17}  # tcp and udp: without either the rest of the world is as it was
MOST_COMPARED = 1000  # ranges of two fields that are held against each other

LEARNED = ("domain", "sni", "dscp", "latency_ms", "rtt_ms", "error_rate", "loss")


def is_from_many(rule: Rule) -> bool:
    """Whether it may concern more than some machines; the way in (src_iface) is a whole network."""
    macs, addresses = rule.field("src_mac"), rule.field("src_addr")
    if isinstance(macs, Words) and 0 < len(macs.wanted) < MACHINES:
        return False
    if isinstance(addresses, Addresses):
        # Of all together: a network with its router taken out is two ranges.
        return any(_count(addresses.ranges[family]) >= NETWORK[family] for family in (V4, V6))
    return True


def is_to_anything(rule: Rule) -> bool:
    """Whether it is for more or less every service of more or less every destination."""
    if any(rule.field(name) is not None for name in LEARNED):
        return False
    addresses, ports, protocols = rule.field("dest_addr"), rule.field("dest_port"), rule.field("proto")
    if isinstance(addresses, Addresses) and not any(
        _count(addresses.ranges[family]) >= 1 << (BITS[family] - share) for family, share in ((V4, 1), (V6, 4))
    ):
        return False  # of IPv6 an eighth is in use
    if any(isinstance(one, Numbers) and _count(one.ranges) < PORTS // 2 for one in (ports, rule.field("src_port"))):
        return False
    return not isinstance(protocols, Numbers) or any(
        low <= number <= high for low, high in protocols.ranges for number in PROTOCOLS
    )


def comes_in_by(rule: Rule) -> tuple[str, ...]:
    """The networks and devices that it names as the way in; () for any."""
    field = rule.field("src_iface")
    return tuple([str(name) for name in field.wanted]) if isinstance(field, Words) else ()


def is_apart(rule: Rule, other: Rule) -> bool:
    """Whether no connection can be matched by both. False where it is not certain."""
    return any(_apart(field, other.field(field.name)) for field in rule.fields)


def is_wider(rule: Rule, other: Rule) -> bool:
    """Whether the rule surely matches all that the other one matched. False where it is not certain."""
    return all(_wider(field, other.field(field.name)) for field in rule.fields)


def _wider(field: Field, other: Field | None) -> bool:
    if other is None:
        return False
    if field.values == other.values:
        return True
    had, has = set(other.values), set(field.values)
    return had <= has and not any(value.startswith("!") for value in has - had)


def _apart(field: Field, other: Field | None) -> bool:
    if isinstance(field, Schedules):
        return False
    if isinstance(field, Words) and isinstance(other, Words):
        return bool(field.wanted and other.wanted) and not set(field.wanted) & set(other.wanted)
    if isinstance(field, Numbers) and isinstance(other, Numbers):
        return not _meet(field.ranges, other.ranges)
    if isinstance(field, Addresses) and isinstance(other, Addresses):
        return not any(_meet(field.ranges[family], other.ranges[family]) for family in (V4, V6))
    return False


def _meet(left: Ranges, right: Ranges) -> bool:
    if len(left) + len(right) > MOST_COMPARED:
        return True
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i][1] < right[j][0]:
            i += 1
        elif right[j][1] < left[i][0]:
            j += 1
        else:
            return True
    return False


def _count(ranges: Ranges) -> int:
    return sum([high - low + 1 for low, high in ranges])
