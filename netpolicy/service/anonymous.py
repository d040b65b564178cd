"""What the doors and the log show of clients and names, as `option anonymize` has it.

Pure. Clients are cut to their network, /24 and /48; of names the part that somebody registered is left. What is cut
cannot be had back by asking: filters look at what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolicy.core.address import V4, format_address, parse_address
from netpolicy.core.value import ValueProblem
from netpolicy.flows.inside import PRIVATE, Subnet

CLIENTS, NAMES = "clients", "names"

KEPT_BITS = {4: 24, 6: 48}
ALL_BITS = {4: 32, 6: 128}

# Below two letters of a country most registries sell names under one of these; no list of suffixes is complete.
SECOND_LEVEL = frozenset(("ac", "co", "com", "edu", "gob", "gov", "gv", "ltd", "mil", "ne", "net", "nom", "or", "org"))


class Shade:
    """How to show things, for one configuration and the networks inside of this moment."""

    def __init__(self, wanted: Iterable[str] = (), inside: Iterable[Subnet] = ()) -> None:
        wanted = tuple(wanted)
        self._clients, self._names = CLIENTS in wanted, NAMES in wanted
        self._inside = tuple((one.family, one.low, one.high) for one in inside)

    def address(self, text: str) -> str:
        """An address: of a client its network, of anybody else as it is."""
        if not self._clients:
            return text
        try:
            family, number = parse_address(text)
        except ValueProblem:
            return text
        within = (*self._inside, *PRIVATE)
        if not any(family == one and low <= number <= high for one, low, high in within):
            return text
        rest = ALL_BITS[4 if family == V4 else 6] - KEPT_BITS[4 if family == V4 else 6]
        return f"{format_address(family, number >> rest << rest)}/{KEPT_BITS[4 if family == V4 else 6]}"

    def name(self, text: str) -> str:
        """A name, or what was registered of it."""
        return registered(text) if self._names and text else text

    def facts(self, texts: dict[str, str]) -> dict[str, str]:
        """The facts of a connection, as texts by name; a MAC address is somebody's in full or not at all."""
        found = {name: text for name, text in texts.items() if not (self._clients and name == "src_mac")}
        for name, show in (
            ("src_addr", self.address),
            ("dest_addr", self.address),
            ("domain", self.name),
            ("sni", self.name),
        ):
            if name in found:
                found[name] = show(found[name])
        return found


OPEN = Shade()  # everything as it is


def registered(name: str) -> str:
    """The last two labels, or three below suffixes such as co.uk."""
    labels = name.split(".")
    is_deep = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL
    return ".".join(labels[-3 if is_deep else -2 :])
