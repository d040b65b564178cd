"""The address of a page, taken apart: `https://user:password@host:port/path?query`.

Never shows what may be a secret in it: that is user, password and query. Reads no network and resolves no
name. Source: RFC 3986, of which only what names a page of HTTP or HTTPS is taken.
"""

from netpolicy.core.address import V6, parse_address
from netpolicy.core.domain import LABEL_CHARACTERS, MAX_LABEL, MAX_NAME
from netpolicy.core.value import ValueProblem

PORTS = {"http": 80, "https": 443}
MAX_TEXT = 2000
HINT = "for example https://lists.example.net/video.txt"
DIGITS = "0123456789"


class WebAddress:
    """Where a page is. `host` is a name in lower case or an address without brackets, `target` path and query."""

    __slots__ = ("host", "password", "port", "scheme", "target", "user")

    def __init__(self, scheme: str, user: str, password: str, host: str, port: int, target: str) -> None:
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.target = target

    @property
    def authority(self) -> str:
        """The host and, where it is not the usual one, the port: what HTTP calls Host."""
        host = "[" + self.host + "]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else "{}:{}".format(host, self.port)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom a password belongs to: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def shown(self) -> str:
        """For people and logs: without user, password and query."""
        path, mark, _ = self.target.partition("?")
        return "{}://{}{}{}".format(self.scheme, self.authority, path, "?…" if mark else "")


def parse_web_address(text: str) -> WebAddress:
    """The parts of an address. Raises ValueProblem, which quotes nothing of it: a secret may stand in it."""
    text = text.strip()
    scheme, mark, rest = text.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in PORTS:
        raise ValueProblem("this is no address of a page: it begins with neither http:// nor https://", HINT)
    if len(text) > MAX_TEXT or any([not " " < c <= "~" or c in '"<>\\^`{|}' for c in text]):
        raise ValueProblem(
            "the address of a page has a character that none may have, or more than {}".format(MAX_TEXT),
            "write blanks and letters beyond ASCII as % and two hexadecimal digits",
        )
    rest = rest.split("#")[0]
    cut = min([at for at in (rest.find("/"), rest.find("?")) if at >= 0] + [len(rest)])
    target = rest[cut:]
    login, at, place = rest[:cut].rpartition("@")
    user, _, password = login.partition(":")
    if at and not user:
        raise ValueProblem("the address of a page has an @ without a user before it", HINT)
    host, port = _host_and_port(place, PORTS[scheme])
    return WebAddress(scheme, user, password, host, port, target if target[:1] == "/" else "/" + target)


def joined(base: WebAddress, location: str) -> WebAddress:
    """Where a redirection of a page leads: to another page, or to another path beside it. Raises ValueProblem."""
    if "://" in location.split("?")[0].split("#")[0]:
        return parse_web_address(location)
    if location[:2] == "//":
        return parse_web_address(base.scheme + ":" + location)
    if location[:1] != "/":
        location = base.target.split("?")[0].rpartition("/")[0] + "/" + location
    found = parse_web_address("{}://{}{}".format(base.scheme, base.authority, location))
    found.user, found.password = base.user, base.password
    return found


def _host_and_port(place: str, usual: int) -> tuple[str, int]:
    host, port = place, ""
    if ":" in place.rpartition("]")[2]:
        host, _, port = place.rpartition(":")
        if not 0 < len(port) <= 5 or not all([c in DIGITS for c in port]) or not 0 < int(port) < 65536:
            raise ValueProblem("the port of the address is no number from 1 to 65535", HINT)
    return _host(host), int(port) if port else usual


def _host(text: str) -> str:
    if text[:1] == "[" and text[-1:] == "]":
        if parse_address(text[1:-1])[0] == V6:
            return text[1:-1].lower()
        raise ValueProblem("what stands in brackets is no IPv6 address", HINT)
    name = text.lower()
    labels = (name[:-1] if name[-1:] == "." else name).split(".")
    if all([c in DIGITS for c in labels[-1]]) and labels[-1]:
        parse_address(name)  # what ends in a number is an address, or nothing
        return name
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL or not all([c in LABEL_CHARACTERS for c in label]):
            raise ValueProblem("the address of a page names no host", HINT)
    if len(name) > MAX_NAME:
        raise ValueProblem("the address of a page names no host", HINT)
    return name
