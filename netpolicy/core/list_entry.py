"""What one entry of a list is: an address, network or range, or else a domain pattern.

Texts in, numbers and patterns out. Never reads a file and never resolves a name.
"""

from netpolicy.core.address import parse_range
from netpolicy.core.domain import parse_domain
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.domain import DomainPattern

HEX = "0123456789abcdef"


def parse_entry(text: str) -> "tuple[int, int, int] | DomainPattern":
    """A range (family, first, last), or a domain pattern. Raises ValueProblem."""
    text = text.strip()
    if not text or text[0] in "!@":
        raise ValueProblem("{!r} is not an entry of a list".format(text), "an address, a network or a name")
    if looks_like_address(text):
        return parse_range(text)
    return parse_domain(text)


def looks_like_address(text: str) -> bool:
    """Whether the text is meant as an address: what follows decides whether it is one.

    Hex digits and colons are IPv6; digits and dots IPv4, because the last label of no domain is a number.
    """
    head = text.lower().split("/")[0].split("-")[0]
    if ":" in head:
        return "." not in head.split(":")[0] and all(c in HEX or c in ":." for c in head)
    return "." in head and all("0" <= c <= "9" or c == "." for c in head)
