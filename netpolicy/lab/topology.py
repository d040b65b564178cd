"""Decide which machines the lab has, how they are wired and which addresses they carry.

Data only: nothing here runs a command. Every public address is from the documentation
prefixes (RFC 5737, RFC 3849), every private one from RFC 1918 and RFC 4193.
"""

from __future__ import annotations

from dataclasses import dataclass

ROUTER = "router"
INTERNET = "internet"


@dataclass(frozen=True, slots=True)
class Client:
    """A machine behind the router. `home` is the router's bridge it hangs on."""

    name: str
    home: str
    address4: str
    address6: str
    mac: str


@dataclass(frozen=True, slots=True)
class Home:
    """One network behind the router: the bridge device, its prefixes and the router's addresses in them."""

    device: str
    address4: str
    prefix4: str
    address6: str
    prefix6: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A way out: `device` is the router's end, `node` the provider's machine, `rtt_ms` what the line costs."""

    letter: str
    outbound: str
    device: str
    node: str
    router4: str
    gateway4: str
    prefix4: str
    router6: str
    gateway6: str
    prefix6: str
    metric: int
    rtt_ms: float

    @property
    def far_device(self) -> str:
        """The name of this provider's line on the internet node."""
        return f"line_{self.letter}"


@dataclass(frozen=True, slots=True)
class Server:
    """A name of the lab's internet with its addresses."""

    name: str
    address4: str
    address6: str


HOMES = (
    Home("br-lan", "192.168.1.1", "192.168.1.0/24", "fd00:c0de:1::1", "fd00:c0de:1::/64"),
    Home("br-guest", "192.168.3.1", "192.168.3.0/24", "fd00:c0de:3::1", "fd00:c0de:3::/64"),
)

CLIENTS = (
    Client("desk", "br-lan", "192.168.1.11", "fd00:c0de:1::11", "02:00:00:00:01:11"),
    Client("laptop", "br-lan", "192.168.1.12", "fd00:c0de:1::12", "02:00:00:00:01:12"),
    Client("guest", "br-guest", "192.168.3.13", "fd00:c0de:3::13", "02:00:00:00:03:13"),
)

PROVIDERS = (
    Provider(
        "a",
        "wan_a",
        "wana",
        "isp_a",
        "203.0.113.2",
        "203.0.113.1",
        "203.0.113.0/24",
        "2001:db8:a::2",
        "2001:db8:a::1",
        "2001:db8:a::/64",
        10,
        8.0,
    ),
    Provider(
        "b",
        "wan_b",
        "wanb",
        "isp_b",
        "198.51.100.2",
        "198.51.100.1",
        "198.51.100.0/24",
        "2001:db8:b::2",
        "2001:db8:b::1",
        "2001:db8:b::/64",
        20,
        25.0,
    ),
)

# Every address of these two prefixes is answered by the internet node, so a test may ask for any of them.
INTERNET4 = "192.0.2.0/24"
INTERNET6 = "2001:db8:1::/64"

ECHO = Server("echo.example.net", "192.0.2.7", "2001:db8:1::7")
DNS = Server("dns.example.net", "192.0.2.53", "2001:db8:1::53")
SERVERS = (
    Server("www.example.net", "192.0.2.10", "2001:db8:1::10"),
    Server("news.example.net", "192.0.2.11", "2001:db8:1::11"),
    Server("video.example.net", "192.0.2.20", "2001:db8:1::20"),
    Server("mail.example.org", "192.0.2.25", "2001:db8:1::25"),
    Server("calls.example.net", "192.0.2.30", "2001:db8:1::30"),
    ECHO,
    DNS,
)

NODES = (*(c.name for c in CLIENTS), ROUTER, *(p.node for p in PROVIDERS), INTERNET)


def provider(name: str) -> Provider:
    """The provider called by letter, outbound, device or node name; KeyError when there is none."""
    for line in PROVIDERS:
        if name.lower() in (line.letter, line.outbound, line.device, line.node):
            return line
    raise KeyError(f"no provider {name!r}: use a or b")


def home(device: str) -> Home:
    """The home network on this bridge."""
    return next(h for h in HOMES if h.device == device)


def server(name: str) -> Server | None:
    """The server with this name, or None."""
    return next((s for s in SERVERS if s.name == name.rstrip(".").lower()), None)


def line_of(address: str) -> str:
    """The letter of the provider a public address belongs to, or '' for any other address."""
    for line in PROVIDERS:
        if address in (line.router4, line.router6):
            return line.letter.upper()
    return ""
