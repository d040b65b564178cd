"""Fetches a page over HTTP or HTTPS, piece by piece, within limits: for lists, in a process of its own.

Blocks; never call it in the loop. TLS is always checked, by the certificates of the system. Follows a redirection
only to a page that is no less safe: never from HTTPS to HTTP, never from the Internet to an address of this network.
Sources: RFC 9110 (conditional requests, redirections), RFC 1952 (gzip).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netpolicy.config.packed_text import Damaged, unpacked
from netpolicy.core.value import ValueProblem
from netpolicy.core.web_address import WebAddress, joined

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

MIB = 1 << 20
PIECE = 1 << 16
REDIRECTIONS = 5
OK, NOT_MODIFIED = 200, 304
REDIRECTED = (301, 302, 303, 307, 308)

# Blocks that nobody on the Internet has: this router, its networks, and what leads to either.
PRIVATE_V4 = ((0x00000000, 8), (0x0A000000, 8), (0x64400000, 10), (0x7F000000, 8), (0xA9FE0000, 16), (0xAC100000, 12),
              (0xC0A80000, 16), (0xE0000000, 3))  # fmt: skip
# What stands before an IPv4 address in the IPv6 addresses that mean it: RFC 4291, RFC 6052.
MAPPED, NAT64 = bytes(10) + b"\xff\xff", b"\x00\x64\xff\x9b" + bytes(8)


class CannotFetch(Exception):
    """The page was not delivered whole; the text says why, without anything secret."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`wire`: bytes that are sent, `content`: bytes after unpacking; `silence`: seconds without any."""

    wire: int = 32 * MIB
    content: int = 64 * MIB
    silence: float = 30.0


@dataclass(slots=True)
class Page:
    """An answer: `pieces` is empty where it is what the asker has already (`is_same`). To be read once."""

    is_same: bool
    etag: str
    modified: str
    pieces: Iterator[bytes]


def fetch(page: WebAddress, etag: str = "", modified: str = "", limits: Limits | None = None) -> Page:
    """The page, or that it is still the one with that `etag` or date. Raises CannotFetch, also while it is read."""
    bounds = limits or Limits()
    asked = page
    is_inside = False
    for hop in range(REDIRECTIONS + 1):
        opened, was_inside = _open(page, bounds, may_be_inside=hop == 0 or is_inside)
        is_inside = was_inside if hop == 0 else is_inside
        # A password belongs to the server that it was given for, and to no other.
        login = _login(asked) if asked.user and page.origin == asked.origin else ""
        answer = _ask(opened, page, login, etag, modified)
        if answer.status not in REDIRECTED:
            return _page(answer, page, bounds, has_asked_for_news=bool(etag or modified))
        page = _next(page, answer)
        opened.close()
    raise CannotFetch(f"it is redirected more than {REDIRECTIONS} times, last to {page.shown}")


def _page(answer: HTTPResponse, page: WebAddress, limits: Limits, has_asked_for_news: bool) -> Page:
    headers = answer.headers
    etag, modified = (_tag(headers.get(name)) for name in ("ETag", "Last-Modified"))
    if answer.status == NOT_MODIFIED and has_asked_for_news:
        return Page(True, etag, modified, iter(()))
    if answer.status != OK:
        raise CannotFetch(f"{page.shown}: the server refuses it ({answer.status} {_tag(answer.reason, 60)})".strip())
    encoding = (headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise CannotFetch(f"{page.shown}: the server packs it in a way that was not asked for ({_tag(encoding, 30)})")
    if answer.length is not None and answer.length > limits.wire:
        raise CannotFetch(f"{page.shown}: it is longer than {limits.wire // MIB} MiB")
    return Page(False, etag, modified, _told(page, _unpacked(_wire(answer, limits), limits)))


def _tag(text: str | None, longest: int = 500) -> str:
    """A word of a server, for a header or a message: of printable characters, or left out."""
    text = (text or "").strip()
    return text if len(text) <= longest and all(" " <= c <= "~" for c in text) else ""


def _told(page: WebAddress, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same, with errors in words."""
    try:
        yield from pieces
    except CannotFetch as problem:
        raise CannotFetch(f"{page.shown}: {problem}") from None
    except Exception as problem:  # noqa: BLE001 - of http.client, ssl and socket: ways in which a connection ends
        raise CannotFetch(f"{page.shown}: {_in_words(problem)}") from None


def _wire(answer: HTTPResponse, limits: Limits) -> Iterator[bytes]:
    """What is sent, whole."""
    size, promised = 0, answer.length  # which some versions of Python count down, and others do not
    while size != promised and (piece := answer.read1(PIECE)):
        size += len(piece)
        if size > limits.wire:
            raise CannotFetch(f"it is longer than {limits.wire // MIB} MiB")
        yield piece
    if promised is not None and size < promised:
        raise CannotFetch(f"the connection ended {promised - size} bytes too early")


def _unpacked(pieces: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """What was packed, by the server or by who made the file; never more at once than a piece."""
    size = 0
    for piece in unpacked(pieces):
        size += len(piece)
        if size > limits.content:
            raise CannotFetch(f"it is longer than {limits.content // MIB} MiB when unpacked")
        yield piece


def _next(page: WebAddress, answer: HTTPResponse) -> WebAddress:
    """Where a redirection leads."""
    location = (answer.headers.get("Location") or "").strip()
    try:
        found = joined(page, location or "://")
    except ValueProblem:
        raise CannotFetch(f"{page.shown}: it is redirected to what is no page of HTTP or HTTPS") from None
    if page.scheme == "https" and found.scheme != "https":
        raise CannotFetch(f"{page.shown}: it is redirected to {found.shown}, which is not encrypted")
    return found


def _ask(opened: HTTPConnection, page: WebAddress, login: str, etag: str, modified: str) -> HTTPResponse:
    headers = {"Host": page.authority, "User-Agent": "netpolicy", "Accept-Encoding": "gzip", "Connection": "close"}
    if etag:
        headers["If-None-Match"] = etag
    if modified:
        headers["If-Modified-Since"] = modified
    if login:
        headers["Authorization"] = "Basic " + login
    try:
        opened.request("GET", page.target, headers=headers)
        return opened.getresponse()
    except Exception as problem:  # noqa: BLE001 - of http.client, ssl and socket: ways in which a connection ends
        opened.close()
        raise CannotFetch(f"{page.shown}: {_in_words(problem)}") from None


def _login(page: WebAddress) -> str:
    from base64 import b64encode
    from urllib.parse import unquote

    return b64encode(f"{unquote(page.user)}:{unquote(page.password)}".encode()).decode("ascii")


def _open(page: WebAddress, limits: Limits, may_be_inside: bool) -> tuple[HTTPConnection, bool]:
    """A connection to the page's server, and whether that is in this network. Raises CannotFetch."""
    try:
        from http.client import HTTPConnection
    except ImportError:
        raise CannotFetch(
            "this Python cannot fetch pages; install python3-urllib, which brings python3-email"
        ) from None
    try:
        made, is_inside = _connected(page, limits.silence, may_be_inside)
    except OSError as problem:
        raise CannotFetch(f"{page.shown}: {_in_words(problem)}") from None
    opened = HTTPConnection(page.host, page.port, timeout=limits.silence)
    opened.sock = made
    try:
        if page.scheme == "https":
            opened.sock = _secured(made, page.host)
    except ImportError:
        raise CannotFetch("this Python has no TLS; install python3-openssl, or use http://") from None
    except OSError as problem:  # ssl.SSLError is one
        made.close()
        raise CannotFetch(f"{page.shown}: {_in_words(problem)}") from None
    return opened, is_inside


def _connected(page: WebAddress, silence: float, may_be_inside: bool) -> tuple[socket.socket, bool]:
    """To the first address that answers. The one that is looked at is the one that is connected to."""
    problem: OSError = OSError(0, "its name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(page.host, page.port, type=socket.SOCK_STREAM):
        is_inside = _is_inside(family, str(address[0]))
        if is_inside and not may_be_inside:
            raise CannotFetch(f"it is redirected to {page.shown}, which is an address of this network")
        made = socket.socket(family, kind, protocol)
        made.settimeout(silence)
        try:
            made.connect(address)
        except OSError as failure:
            made.close()
            problem = failure
        else:
            return made, is_inside
    raise problem


def _is_inside(family: int, address: str) -> bool:
    """Whether it is an address that only this router and its networks have."""
    data = socket.inet_pton(family, address.partition("%")[0])
    if family == socket.AF_INET6:
        if data[:12] not in (MAPPED, NAT64):
            return data[0] & 0xE0 != 0x20  # 2000::/3 is what the Internet has
        data = data[12:]
    number = int.from_bytes(data, "big")
    return any(number >> 32 - length == block >> 32 - length for block, length in PRIVATE_V4)


def _secured(made: socket.socket, host: str) -> socket.socket:
    import ssl

    return ssl.create_default_context().wrap_socket(made, server_hostname=host)


def _in_words(problem: Exception) -> str:
    """A sentence for a person."""
    if isinstance(problem, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(problem, TimeoutError):
        return "the server does not answer"
    if isinstance(problem, Damaged):
        return str(problem)
    verify = getattr(problem, "verify_message", "")
    if verify or type(problem).__module__ == "ssl":
        return f"TLS: {verify or getattr(problem, 'reason', '') or type(problem).__name__}"
    if isinstance(problem, OSError):
        return problem.strerror or "the connection failed"
    return f"what answers does not speak HTTP as it should ({type(problem).__name__})"
