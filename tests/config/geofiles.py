"""Makes geosite.dat and geoip.dat, as their publishers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

KINDS = {"keyword": 0, "regexp": 1, "domain": 2, "full": 3}


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return found + bytes((number,))


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def geosite(categories: Mapping[str, Sequence[str]]) -> bytes:
    """Of `kind:value@attribute@…` by code."""
    return b"".join(
        [field(1, field(1, code.encode()) + b"".join([field(2, domain(one)) for one in items]))
         for code, items in categories.items()]
    )  # fmt: skip


def domain(text: str) -> bytes:
    kind, _, rest = text.partition(":")
    value, *attributes = rest.split("@")
    found = field(1, KINDS[kind]) if KINDS[kind] else b""
    found += field(2, value.encode())
    return found + b"".join([field(3, field(1, one.encode()) + field(2, 1)) for one in attributes])


def geoip(categories: Mapping[str, Sequence[str]]) -> bytes:
    """Of networks by code."""
    return b"".join(
        [field(1, field(1, code.encode()) + b"".join([field(2, network(one)) for one in items]))
         for code, items in categories.items()]
    )  # fmt: skip


def network(text: str) -> bytes:
    net = ip_network(text)
    return field(1, net.network_address.packed) + (field(2, net.prefixlen) if net.prefixlen else b"")
