"""Which networks lie behind the router, as opposed to those that it reaches the world by.

Pure. Never guesses from the name of a device. A device is inside when no outbound and no default route use it
and it has a private subnet; then all its subnets count, also the public IPv6 one that a provider delegated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from netpolicy.core.address import BITS, V4, format_address, parse_address, parse_range
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.state import Address, Neighbour, Route

# RFC 1918 and RFC 4193
PRIVATE = tuple(parse_range(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
LINK_LOCAL = parse_range("fe80::/10")


@dataclass(frozen=True, slots=True)
class Subnet:
    """A network that the router has an address in: `own`, on `device`."""

    family: int
    low: int
    high: int
    own: str
    device: str

    def holds(self, address: str) -> bool:
        """Whether the address lies in it; False for what is no address."""
        try:
            family, number = parse_address(address)
        except ValueProblem:
            return False
        return family == self.family and self.low <= number <= self.high


def subnets(addresses: Iterable[Address], routes: Iterable[Route], outside: Collection[str]) -> tuple[Subnet, ...]:
    """The networks inside. `routes` are those of main; `outside`: devices of outbounds."""
    leading_out = {*outside, "lo", *(name for one in routes if one.destination == "default" for name in one.devices)}
    found = [subnet for one in addresses if one.device not in leading_out and (subnet := _subnet(one)) is not None]
    private = {one.device for one in found if _is_within(one, PRIVATE)}
    return tuple(one for one in found if one.device in private and not _is_within(one, (LINK_LOCAL,)))


def connected(addresses: Iterable[Address]) -> tuple[Subnet, ...]:
    """All networks that the router has an address in, on whichever side."""
    return tuple([subnet for one in addresses if (subnet := _subnet(one)) is not None])


def somebody_in(subnet: Subnet, neighbours: Iterable[Neighbour], own: Collection[str]) -> str:
    """An address there that is not the router's: of a known neighbour, else the lowest that is free; "" for none."""
    for one in neighbours:
        if one.device == subnet.device and subnet.holds(one.address) and one.address not in own:
            return one.address
    last = subnet.high - 1 if subnet.family == V4 else subnet.high  # the highest of IPv4 is the broadcast
    for number in range(subnet.low + 1, min(subnet.low + 2 + len(own), last) + 1):
        text = format_address(subnet.family, number)
        if text not in own:
            return text
    return ""


def _subnet(address: Address) -> Subnet | None:
    try:
        family, number = parse_address(address.address)
    except ValueProblem:
        return None
    rest = (1 << (BITS[family] - address.prefixlen)) - 1
    if rest == 0:  # one address alone is no network
        return None
    return Subnet(family, number & ~rest, number | rest, address.address, address.device)


def _is_within(subnet: Subnet, wanted: Iterable[tuple[int, int, int]]) -> bool:
    return any(family == subnet.family and low <= subnet.low and subnet.high <= high for family, low, high in wanted)
