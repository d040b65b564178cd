"""Replaces hardware addresses and public addresses by numbers, the same address always by the same one.

Private networks stay, or nobody could follow what is told. Decides by looks; what is no address stays as it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

MAC = re.compile(r"(?<![0-9A-Fa-f:.-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Fa-f:-])")
V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")

# Of everybody: RFC 1918, 6598, 3927, 1122, 5771, and what none is.
NEAR = tuple(map(ipaddress.ip_network, (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/4",
    "0.0.0.0/8", "255.0.0.0/8", "fc00::/7", "fe80::/10", "ff00::/8", "::/127", "2000::/128",
)))  # fmt: skip


class Numbers:
    """One bundle's names for addresses."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def applied(self, text: str) -> str:
        """The text with numbers in place of addresses."""
        text = MAC.sub(lambda found: self._name("mac", found[0].lower().replace("-", ":")), text)
        text = V6.sub(self._address, text)
        return V4.sub(self._address, text)

    def _address(self, found: re.Match[str]) -> str:
        if found[0].count(":") < 2 and "." not in found[0]:
            return found[0]
        try:
            address = ipaddress.ip_address(found[0])
        except ValueError:
            return found[0]
        has_mac = address.version == 6 and address.packed[11:13] == b"\xff\xfe"
        if any(address in network for network in NEAR if network.version == address.version) and not has_mac:
            return found[0]
        return self._name(f"ipv{address.version}", str(address))

    def _name(self, kind: str, address: str) -> str:
        if address not in self._known:
            number = sum(1 for name in self._known.values() if name.startswith(f"[{kind}-")) + 1
            self._known[address] = f"[{kind}-{number}]"
        return self._known[address]


def cleaner(is_anonymous: bool) -> Callable[[str], str]:
    """What is done to every text of a bundle at last."""
    return Numbers().applied if is_anonymous else str
