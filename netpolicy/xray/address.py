"""Where a node is: names, addresses and ports, checked so that Xray reads what we read.

Never resolves a name. Which addresses count as private is Xray's list without the ranges for
documentation: only there Xray lets vless and trojan go without encryption.
"""

from __future__ import annotations

from netpolicy.core.address import V6, format_address, parse_address, parse_range
from netpolicy.core.value import ValueProblem

from .node import BadLink

LONGEST_NAME = 253
LONGEST_LABEL = 63
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")  # names with _ exist, and resolve
TAKEN_BY_XRAY = "frommitm"  # as server name or ALPN it is an instruction to Xray, not a value

PRIVATE_RANGES = tuple(
    parse_range(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1",
        "fc00::/7",
        "fe80::/10",
    )
)
PRIVATE_DOMAINS = ("lan", "localdomain", "localhost", "local", "home.arpa", "internal", "test")


def host(text: str) -> str:
    """The address or name in the form that Xray takes. Raises BadLink."""
    if text.startswith("[") and text.endswith("]"):
        return _address(text[1:-1])
    if ":" in text:
        raise BadLink("an IPv6 address of a server stands in brackets")
    return name_or_address(text)


def name_or_address(text: str) -> str:
    """As `host`, for places where IPv6 needs no brackets, such as a server name of TLS."""
    last = text.rpartition(".")[2]
    if ":" in text or last.isdecimal():  # no name ends in a number: 10.1.2 is a typing error
        return _address(text)
    return _name(text)


def _address(text: str) -> str:
    try:
        family, number = parse_address(text)
    except ValueProblem:
        raise BadLink("the server address is not an IP address") from None
    return format_address(family, number) if family == V6 else text


def _name(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not name.isascii():
        raise BadLink("the server name has letters beyond ASCII: write it in its xn-- form")
    labels = name.split(".")
    if len(name) > LONGEST_NAME or not all(0 < len(one) <= LONGEST_LABEL for one in labels):
        raise BadLink("the server name is missing, or too long" if name else "the server name is missing")
    if not LETTERS.issuperset(name.replace(".", "")) or name == TAKEN_BY_XRAY:
        raise BadLink("the server name is not a host name")
    return name


def port(text: str) -> int:
    """The number of a port. Raises BadLink."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5) or int(text) > 65535:
        raise BadLink("invalid port: a number from 1 to 65535 is needed")
    if int(text) == 0:
        raise BadLink("port must be > 0")
    return int(text)


def is_private(server: str) -> bool:
    """Whether Xray lets vless and trojan go there without encryption; `server` is what `host` gave."""
    return is_private_address(server) or any(
        server == domain or server.endswith("." + domain) for domain in PRIVATE_DOMAINS
    )


def is_private_address(text: str) -> bool:
    """Whether it is an address, and one that the internet does not reach."""
    try:
        family, number = parse_address(text)
    except ValueProblem:
        return False
    return any(family == of and low <= number <= high for of, low, high in PRIVATE_RANGES)
