"""A share link taken apart: scheme, user information, server, options, label.

Strict where two readers could understand a link differently, silent about its content: what
is wrong is said without quoting. Links have no standard; the form is that of RFC 3986 as the
clients of Xray write it, with names that are not percent-encoded allowed in the label.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from . import address
from .node import BadLink

BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """`user` and `server` are as written, `options` and `label` percent-decoded. No `repr`: it has secrets."""

    scheme: str  # lower case
    body: str  # user@server/path as written
    options: dict[str, str]  # keys in lower case; empty values are left out
    label: str

    @property
    def user(self) -> str:
        """What stands before the last @, as written; "" without one."""
        return self.body.rpartition("@")[0]

    @property
    def path(self) -> str:
        """What follows the server, with its /."""
        _, slash, path = self.body.rpartition("@")[2].partition("/")
        return slash + path

    def server(self, default_port: int = 0) -> tuple[str, int]:
        """Address and port. Raises BadLink, also for a missing port unless there is a default."""
        text = self.body.rpartition("@")[2].partition("/")[0]
        name, colon, number = text.rpartition(":")
        if not colon or "]" in number:
            if not default_port:
                raise BadLink(f"{self.scheme} missing port")
            return address.host(decoded(text)), default_port
        return address.host(decoded(name)), address.port(number)


def take_apart(text: str) -> Link:
    """The parts of a link with a scheme. Raises BadLink."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        raise BadLink("not a share link: it has no scheme such as vless://")
    rest, _, label = rest.partition("#")
    body, _, query = rest.partition("?")
    # A label in an old character set is no reason to lose the node.
    return Link(scheme.lower(), body, _options(query), unquote_to_bytes(label).decode(errors="replace"))


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        name, value = decoded(key).lower(), decoded(value).strip()
        if options.get(name, value) != value:
            raise BadLink("an option is given twice, with different values")
        if name and value:
            options[name] = value
    return options


def decoded(text: str) -> str:
    """Percent-decoded; a + stays a +. Raises BadLink when that is not text."""
    return _text(unquote_to_bytes(text), "")


def from_base64(text: str) -> str:
    """The text in base64 of either alphabet, padded or not. Raises BadLink."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    if not plain or not BASE64.issuperset(plain):
        raise BadLink("not base64")
    try:
        return _text(base64.b64decode(plain + "=" * (-len(plain) % 4)), "\t\r\n").strip()
    except binascii.Error:
        raise BadLink("not base64") from None


def _text(data: bytes, allowed: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadLink("an encoded part is not UTF-8 text") from None
    if any((one < " " and one not in allowed) or one == "\x7f" for one in text):
        raise BadLink("an encoded part has control characters")
    return text
