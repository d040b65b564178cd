"""What a decision needs to know of a flow, from the flow and the network around it.

Conntrack keeps addresses and ports; the incoming device comes from the routes, the MAC
from the neighbour table. What cannot be known stays None; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.core.address import BITS, parse_address
from netpolicy.core.facts import Facts
from netpolicy.core.model import ROUTER_ITSELF
from netpolicy.core.packet import PORT_PROTOCOLS
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.state import MAIN_TABLE, Neighbour
from netpolicy.flows.model import TCP, UDP, Flow
from netpolicy.outbounds.lines import View

Learned = Callable[["tuple[int, int] | None"], "frozenset[str] | None"]


class Surroundings:
    """The subnets, own addresses and neighbours of one moment, prepared for many look-ups."""

    __slots__ = ("_learned", "_macs", "_own", "_subnets")

    def __init__(self, view: View, neighbours: tuple[Neighbour, ...], learned: Learned | None = None) -> None:
        """`learned` says which learned sets hold an address, None where that is not known."""
        self._learned = learned
        self._own = {parse_address(address.address): address.device for address in view.addresses}
        self._macs = {(neighbour.device, neighbour.address): neighbour.mac for neighbour in neighbours}
        # Longest prefix first: the first that holds the address is where it lives.
        self._subnets = sorted(_subnets(view), key=lambda subnet: -subnet[1])

    def facts(self, flow: Flow) -> Facts:
        """The facts of the flow's first packet."""
        facts = Facts()
        facts.family = flow.family
        facts.proto = flow.protocol
        facts.src_addr = parse_address(flow.source)
        facts.dest_addr = parse_address(flow.destination)
        if _has_ports(flow):
            facts.src_port = flow.source_port
            facts.dest_port = flow.destination_port
        facts.src_iface = self._came_by(facts)
        if facts.src_iface and facts.src_iface != ROUTER_ITSELF:
            facts.src_mac = self._macs.get((facts.src_iface, flow.source))
        if self._learned is not None:  # for a rule as packets meet it, both are the same
            facts.domain = facts.sni = self._learned(facts.dest_addr)  # type: ignore[assignment]
        return facts

    def _came_by(self, facts: Facts) -> str | None:
        if facts.src_addr is None or facts.dest_addr is None:
            return None
        if facts.src_addr in self._own:
            return ROUTER_ITSELF
        device = self._device_towards(facts.src_addr)
        # From beyond the subnets: then it came by the line whose address it asked for.
        return device or self._own.get(facts.dest_addr)

    def _device_towards(self, address: tuple[int, int]) -> str | None:
        family, number = address
        for subnet_family, length, network, device in self._subnets:
            if family == subnet_family and number >> (BITS[family] - length) == network:
                return device
        return None


def _has_ports(flow: Flow) -> bool:
    """Of GRE conntrack keeps keys where others have their ports, and of a protocol that it does not know nothing."""
    if flow.protocol in (TCP, UDP):
        return True  # 0 as well
    return flow.protocol in PORT_PROTOCOLS and bool(flow.source_port or flow.destination_port)


def _subnets(view: View) -> list[tuple[int, int, int, str]]:
    found = []
    for route in view.routes:
        if route.table != MAIN_TABLE or route.kind != "unicast" or route.destination == "default" or not route.device:
            continue
        text, _, length_text = route.destination.partition("/")
        try:
            family, number = parse_address(text)
        except ValueProblem:
            continue
        length = int(length_text) if length_text.isdigit() else BITS[family]
        if length:
            found.append((family, length, number >> (BITS[family] - length), route.device))
    return found
