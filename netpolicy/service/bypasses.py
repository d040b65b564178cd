"""Which clients ask name servers elsewhere, hidden in TLS: rules for names see those by their handshakes alone.

Pure: time is an argument. Bounded; the latest stay. Told by connections that begin and names that are said; what is
such a server: `core.dns_guard`.
"""

from __future__ import annotations

from typing import NamedTuple

from netpolicy.core import dns_guard
from netpolicy.core.address import parse_address
from netpolicy.flows.model import TCP, UDP, Flow

MOST = 64
HTTPS_PORT = 443

TLS, HTTPS = "tls", "https"


class Bypass(NamedTuple):
    """A client, by what it asked (tls: port 853; https), whom (an address, or the name that it said), and when."""

    client: str
    by: str
    server: str
    when: float


class Bypasses:
    """What one inspector noticed."""

    def __init__(self) -> None:
        by_address, by_name, _ = dns_guard.rules()
        self._addresses = by_address.field("dest_addr")
        self._names = by_name.field("domain")
        self._seen: dict[tuple[str, str, str], float] = {}

    def began(self, flow: Flow, now: float) -> None:
        """A connection of a client began."""
        if flow.protocol not in (TCP, UDP):
            return
        if flow.destination_port == dns_guard.DNS_OVER_TLS_PORT:
            self._note(flow.source, TLS, flow.destination, now)
        elif flow.destination_port == HTTPS_PORT and self._is_known(flow.destination):
            self._note(flow.source, HTTPS, flow.destination, now)

    def named(self, client: str, name: str, now: float) -> None:
        """A client said in a handshake whom it talks to."""
        if self._names is not None and self._names.matches(name):
            self._note(client, HTTPS, name, now)

    def all(self) -> tuple[Bypass, ...]:
        """The latest last."""
        return tuple(Bypass(*key, when) for key, when in self._seen.items())

    def _is_known(self, address: str) -> bool:
        return self._addresses is not None and self._addresses.matches(parse_address(address))

    def _note(self, client: str, by: str, server: str, now: float) -> None:
        self._seen.pop((client, by, server), None)
        self._seen[client, by, server] = now
        if len(self._seen) > MOST:
            del self._seen[next(iter(self._seen))]
