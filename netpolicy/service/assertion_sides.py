"""Who and whom an assertion means: its words as devices and addresses that a probe can have.

Pure: from the network as it was looked at. Never invents a network; who cannot be found is said in words. An end is a
network of netifd, a device, an address or network, or a list (docs/rules.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from netpolicy.core.address import BITS, V4, V6, format_address, parse_address, parse_range
from netpolicy.core.list_entry import looks_like_address
from netpolicy.core.named_list import NamedList
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.rehearsal_probe import ROUTER_ITSELF
from netpolicy.dataplane.state import LEADING, MAIN_TABLE, Neighbour, Route
from netpolicy.flows.inside import Subnet, somebody_in
from netpolicy.outbounds.lines import LineState, View

# A network that is larger than any provider has: by such routes (the default, its halves) a device leads out.
LEADS_OUT = 3

# In the place of "somebody on the internet": documentation prefixes (RFC 5737, RFC 3849), the first that is not near.
SOMEBODY = {
    V4: ("198.51.100.77", "203.0.113.77", "192.0.2.77", "198.18.0.77"),
    V6: ("2001:db8:77::77", "3fff:77::77"),
}
MOST_ENDS = 8  # of one end of an assertion: a list may have thousands


class End(NamedTuple):
    """One who speaks, or is spoken to. `device` "": whichever leads there."""

    device: str
    family: int
    address: str


@dataclass(frozen=True, slots=True)
class Side:
    """One end of an assertion. `devices`: where it must be met; none: anywhere. `problem`: why there is nobody."""

    ends: tuple[End, ...] = ()
    devices: frozenset[str] = frozenset()
    problem: str = ""


class Ground:
    """The network as it is, for finding people in it. `states` are the lines of the candidate."""

    def __init__(
        self,
        view: View,
        states: Sequence[LineState] = (),
        neighbours: Sequence[Neighbour] = (),
        lists: Iterable[NamedList] = (),
    ) -> None:
        self._view = view
        self._states = states
        self._neighbours = neighbours
        self._lists = {one.name: one for one in lists}
        self.own = {address.address for address in view.addresses}
        self._main = [one for one in view.routes if one.table == MAIN_TABLE and one.kind in LEADING]

    def who(self, word: str) -> Side:
        """The side that opens connections."""
        side = self._side(word)
        if side.problem or side.devices:
            return side
        ends = [self._placed(end) for end in side.ends]
        placed = tuple(end for end in ends if end.device)
        return Side(placed) if placed else Side(problem=f"no route says by which device {word} comes in")

    def whom(self, word: str) -> Side:
        """The side that they lead to."""
        return self._side(word)

    def towards(self, address: str) -> str:
        """The device that main reaches the address by, "" for none."""
        found = [(length, -route.metric, route.device) for route, length in self._covering(address) if route.device]
        return max(found)[2] if found else ""

    def own_address(self, device: str, family: int) -> str:
        """An address of the router on that device, "" for none."""
        found = [one for one in self._view.addresses if one.device == device and one.family == family]
        return next((one.address for one in sorted(found, key=lambda one: one.scope != "global")), "")

    def _side(self, word: str) -> Side:
        if word.startswith("@"):
            return self._of_list(word)
        if looks_like_address(word):
            return Side(tuple(self._within(*parse_range(word))))
        if word == ROUTER_ITSELF:
            return Side((End(ROUTER_ITSELF, V4, ""), End(ROUTER_ITSELF, V6, "")), frozenset({ROUTER_ITSELF}))
        device = self._view.device_of(word)
        if device not in self._view.links:
            named = f"its device {device} is not there" if device != word else "no network or device has that name"
            return Side(problem=f"{word}: {named}")
        ends = tuple(end for family in (V4, V6) for end in self._on(device, family))
        return Side(ends, frozenset({device}), "" if ends else f"{word}: {device} has no address")

    def _of_list(self, word: str) -> Side:
        known = self._lists.get(word[1:])
        ranges = (
            [(family, *one) for family in (V4, V6) for one in islice(known.ranges[family], MOST_ENDS)] if known else []
        )
        ends = [end for one in ranges for end in self._within(*one)]
        return Side(tuple(ends[:MOST_ENDS]), problem="" if ends else f"{word} has no addresses")

    def _on(self, device: str, family: int) -> list[End]:
        """Who is met on a device: somebody on the internet where it leads out, else one in each of its networks."""
        if self.leads_out(device, family):
            return [End(device, family, self._somebody(family))]
        found = [
            (family, *_span(one.address, one.prefixlen))
            for one in self._view.addresses
            if one.device == device
            and one.family == family
            and one.scope == "global"
            and one.prefixlen < BITS[family] - 1
        ]
        if not found:  # a tunnel: its networks are those that are routed there
            routes = [one for one in self._main if device in one.devices and one.family == family]
            found = [(family, *_span(*_prefix(one))) for one in routes if not one.destination.startswith("fe80:")]
        names = [self._in(device, *one) for one in found[:MOST_ENDS]]
        return [End(device, family, name) for name in names if name]

    def leads_out(self, device: str, family: int) -> bool:
        """Whether the internet is reached by the device in that family."""
        if any(state.device == device and any(hop.family == family for hop in state.hops) for state in self._states):
            return True
        routes = [one for one in self._view.routes if device in one.devices and one.family == family]
        return any(one.kind in LEADING and _prefix(one)[1] <= LEADS_OUT for one in routes)

    def _somebody(self, family: int) -> str:
        """Somebody whom no network near by has."""
        for address in SOMEBODY[family]:
            if all(length <= LEADS_OUT for _, length in self._covering(address)):
                return address
        return SOMEBODY[family][0]

    def _within(self, family: int, low: int, high: int) -> list[End]:
        """Who is met in a range: itself where it is one address, else somebody in each network near that it meets."""
        if low == high:
            return [End("", family, format_address(family, low))]
        found = []
        for one in self._view.addresses:
            if one.family == family and one.prefixlen < BITS[family] - 1 and one.device != ROUTER_ITSELF:
                first, last = _span(one.address, one.prefixlen)
                if first <= high and low <= last:
                    found.append((one.device, max(low, first), min(high, last)))
        names = [(device, self._in(device, family, first, last)) for device, first, last in found[:MOST_ENDS]]
        ends = [End(device, family, name) for device, name in names if name]
        return ends or [End("", family, format_address(family, min(low + 1, high)))]

    def _in(self, device: str, family: int, low: int, high: int) -> str:
        if low == high:
            return format_address(family, low)
        return somebody_in(Subnet(family, low, high, "", device), self._neighbours, self.own)

    def _placed(self, end: End) -> End:
        if end.address in self.own:
            return End(ROUTER_ITSELF, end.family, end.address)
        return End(end.device or self.towards(end.address), end.family, end.address)

    def _covering(self, address: str) -> list[tuple[Route, int]]:
        """The routes of main that hold the address, with the lengths of their prefixes."""
        family, number = parse_address(address)
        found = []
        for route in self._main:
            if route.family == family:
                network, length = _prefix(route)
                try:
                    low, high = _span(network, length)
                except ValueProblem:
                    continue
                if low <= number <= high:
                    found.append((route, length))
        return found


def _prefix(route: Route) -> tuple[str, int]:
    if route.destination == "default":
        return ("0.0.0.0", 0) if route.family == V4 else ("::", 0)  # noqa: S104 (compared, not bound)
    network, _, length = route.destination.partition("/")
    return network, int(length) if length else BITS[route.family]


def _span(address: str, length: int) -> tuple[int, int]:
    """The first and the last address of the network that an address is in."""
    family, number = parse_address(address)
    host = (1 << (BITS[family] - length)) - 1
    return number & ~host, number | host
