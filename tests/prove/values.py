"""A small world of values per scene: addresses, ports and the rest, made so that rules collide.

Networks come nested, touching and partly overlapping around a few bases in each family; ports
around a few numbers. Never more than some tens of each: random rules and packets have to meet.
"""

from __future__ import annotations

import random

from netpolicy.core.address import BITS, V4, V6, format_range, parse_range

BASES = (
    "203.0.112.0/20", "198.18.0.0/15", "10.0.0.0/8", "192.168.0.0/16", "100.64.0.0/10", "9.9.0.0/16", "0.0.0.0/0",
    "224.0.0.0/3", "2001:db8::/32", "2620:fe::/48", "fd00::/8", "2000::/3", "::/0", "2a00:1450:4000::/37",
)  # fmt: skip

# What the kernel treats specially must now and then stand in a rule, and be hit.
SPECIAL = (
    "192.168.1.1", "192.168.1.255", "255.255.255.255", "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",
    "0.0.0.0/0", "::/0", "fe80::/10", "ff00::/8", "fd00:1::1", "192.168.1.0/24", "192.168.3.0/24", "fd00:1::/64",
    "fd00:3::/64", "0.0.0.0-127.255.255.255", "8000::/1", "::/1", "128.0.0.0/1",
)  # fmt: skip

MACS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c", "fe:ff:ff:ff:ff:ff")
DEVICES = ("lan", "guest", "wanb", "wanc")
INTERFACE_WORDS = ("lan", "guest", "wanb", "wanc", "lo", "office", "second", "elsewhere0")
PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "dccp", "udplite", "esp", "89", "253")
PORTS = (0, 1, 22, 25, 53, 67, 68, 80, 443, 546, 547, 1024, 3478, 5004, 8080, 32767, 32768, 65534, 65535)
NAME_IN_LISTS = "example.com"  # a list may hold both
NAMES = (NAME_IN_LISTS, "a.example.com", "b.a.example.com", "example.net", "video.example.net")
DOMAINS = (*NAMES, "=example.com", "*.example.com", "*.example.net", "keyword:video", "@small")
SNI = (*NAMES, "*.example.com", "*.a.example.com", "v*", "*")
LONG_LIST = 50
# Multicast and link-local begin here.
STEERED_BELOW = {V4: 0xE0000000, V6: 0xFE80 << 112}
DSCP = ("cs0", "le", "cs1", "af11", "af41", "ef", "cs7", "63", "5")


class World:
    """The values that rules and lists of one scene are made of."""

    def __init__(self, rng: random.Random) -> None:
        bases = [parse_range(text) for text in rng.sample(BASES, 4)]
        if not {V4, V6} <= {family for family, _, _ in bases}:
            bases += [parse_range("198.18.0.0/15"), parse_range("2001:db8::/32")]
        ranges = [parse_range(text) for text in rng.sample(SPECIAL, 4)] + bases
        while len(ranges) < 40:
            ranges.append(_around(rng, rng.choice(ranges)))
        self.ranges = ranges
        self.addresses = [format_range(*one) for one in ranges]
        self.ports = sorted(rng.sample(PORTS, 7) + [rng.randrange(65536) for _ in range(3)])
        self.protocols = [*rng.sample(PROTOCOLS, 3), "tcp", "udp"]

    def address(self, rng: random.Random) -> str:
        return rng.choice(self.addresses)

    def small(self, rng: random.Random) -> str:
        return format_range(*_small(rng, rng.choice(self.ranges)))

    def hosts(self, rng: random.Random) -> tuple[str, ...]:
        """Some single addresses at the borders of ranges, where packets are aimed."""
        found = [rng.choice(self.ranges) for _ in range(rng.randint(1, 6))]
        return tuple(dict.fromkeys(format_range(family, *[rng.choice(ends)] * 2) for family, *ends in found))

    def port(self, rng: random.Random) -> str:
        low = rng.choice(self.ports)
        shape = rng.random()
        if shape < 0.5:
            return str(low)
        if shape > 0.98:
            return "0-65535"
        high = rng.choice(self.ports) if shape < 0.9 else 65535
        return f"{min(low, high)}-{max(low, high)}"

    def entries(self, rng: random.Random, count: int) -> tuple[str, ...]:
        """Entries of a named list: many small ones in and around the world's, some of those, a name among them.

        Those of a long list end where packets are still steered: otherwise nobody could tell whether its last counts.
        """
        found = {_small(rng, rng.choice(self.ranges)) for _ in range(count)}
        if count > LONG_LIST:
            found = {one for one in found if one[2] < STEERED_BELOW[one[0]]}
        else:
            found.update(parse_range(text) for text in rng.sample(self.addresses, min(3, count)))
        return (*sorted(format_range(*one) for one in found), NAME_IN_LISTS)


def _around(rng: random.Random, one: tuple[int, int, int]) -> tuple[int, int, int]:
    """A range inside, beside or across the border of another one."""
    family, low, high = one
    size = high - low + 1
    limit = (1 << BITS[family]) - 1
    shape = rng.randrange(5)
    if shape == 0:  # a network within
        return _network(rng, family, low, size)
    if shape == 1:  # the neighbour of the same size
        start = high + 1 if high < limit else max(0, low - size)
        return family, start, min(limit, start + size - 1)
    if shape == 2:  # across the upper border
        return family, low + size // 2, min(limit, high + 1 + size // 4)
    if shape == 3:  # one address: first, last, or one of the middle
        at = rng.choice((low, high, low + size // 2, max(0, low - 1), min(limit, high + 1)))
        return family, at, at
    start = low + rng.randrange(size)
    return family, start, start + rng.randrange(high - start + 1)


def _network(rng: random.Random, family: int, low: int, size: int) -> tuple[int, int, int]:
    part = max(1, size >> rng.randrange(1, 9))
    start = low + part * rng.randrange(size // part)
    return family, start, start + part - 1


def _small(rng: random.Random, one: tuple[int, int, int]) -> tuple[int, int, int]:
    """Somewhere within, a network that is small for its family."""
    family, low, high = one
    size = high - low + 1
    part = min(size, 1 << rng.choice((0, 2, 5, 8)) + (rng.choice((0, 64)) if family == V6 else 0))
    start = low + part * rng.randrange(size // part)
    return family, start, start + part - 1
