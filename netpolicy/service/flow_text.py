"""A connection as a person names it: by its id, or by its ends as `netpolicy connections` prints them.

Pure. Understands what it prints itself and no more: no names, no networks, nothing is looked up.

    17                                                       the id of `connections --json`
    192.168.1.7:50000 198.51.100.4:443 tcp                   in any order of protocol and ends
    192.168.1.7 → 198.51.100.4                               what is left out may be anything
    tcp [2001:db8::7]:50000 [2001:db8:f::5]:443
    tcp 192.168.1.0/24:50000 198.51.100.4:443                where clients are shown as their network
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netpolicy.core.address import format_address, parse_address
from netpolicy.core.packet import parse_port, parse_protocol
from netpolicy.core.value import ValueProblem
from netpolicy.flows.model import Flow

LONGEST = 200
EXAMPLE = "for example: 192.168.1.7:50000 198.51.100.4:443 tcp, or an id of `netpolicy connections --json`"
ARROWS = ("→", "->", ">")
NETWORKS = ("24", "48")  # behind the address of a client that is not shown in full


class Wanted(NamedTuple):
    """What is asked for; None and 0: anything. `id` alone, or the rest."""

    id: int = 0
    protocol: int | None = None
    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0

    def matches(self, flow: Flow, show: Callable[[str], str] = str) -> bool:
        """Whether the flow is one of those. `show`: addresses are compared as they are shown.

        So nobody learns by asking for one address after the other which of them is meant.
        """
        if self.id:
            return flow.id == self.id
        return (
            self.protocol in (None, flow.protocol)
            and self.source_port in (0, flow.source_port)
            and self.destination_port in (0, flow.destination_port)
            and (self.source in ("", flow.source) or show(self.source) == show(flow.source))
            and (self.destination in ("", flow.destination) or show(self.destination) == show(flow.destination))
        )


def parse(text: str) -> Wanted:
    """What the text asks for. Raises ValueProblem."""
    if len(text) > LONGEST or not text.isprintable():
        raise ValueProblem(f"this names no connection: {text[:40]!a}", EXAMPLE)
    words = [word for word in text.split() if word not in ARROWS]
    if len(words) == 1 and words[0].isascii() and words[0].isdecimal():
        return _by_id(words[0])
    ends = [word for word in words if _has_address(word)]
    others = [word for word in words if word not in ends]
    if len(ends) != 2 or len(others) > 1:
        raise ValueProblem(f"{text!r} does not name two ends of a connection", EXAMPLE)
    source, destination = _end(ends[0]), _end(ends[1])
    if (":" in source[0]) != (":" in destination[0]):
        raise ValueProblem(f"{ends[0]} and {ends[1]} are of two address families", EXAMPLE)
    return Wanted(0, parse_protocol(others[0].lower()) if others else None, *source, *destination)


def _by_id(word: str) -> Wanted:
    number = int(word[:12])
    if not 0 < number < 1 << 32:
        raise ValueProblem(f"{word[:12]} is no id of a connection", EXAMPLE)
    return Wanted(number)


def _has_address(word: str) -> bool:
    """Protocols have letters and digits only."""
    return "." in word or ":" in word


def _end(word: str) -> tuple[str, int]:
    address, port = _taken_apart(word)
    whole, slash, network = address.partition("/")
    if slash and network in NETWORKS:
        address = whole
    return format_address(*parse_address(address)), parse_port(port) if port else 0


def _taken_apart(word: str) -> tuple[str, str]:
    if word.startswith("["):
        address, _, rest = word[1:].partition("]")
        if rest and not rest[1:]:
            raise ValueProblem(f"{word!r}: the port is missing", EXAMPLE)
        return address, rest[1:]
    if word.count(":") != 1:
        return word, ""  # an IPv6 address without a port
    address, _, port = word.partition(":")
    if not port:
        raise ValueProblem(f"{word!r}: the port is missing", EXAMPLE)
    return address, port
