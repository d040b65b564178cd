"""Read which host the head of an HTTP/1 request is for.

Never believes a head that two readers could understand differently: a second Host, a folded one, a bare line feed.
Reads nothing but the request line and Host; HTTP/2 is only recognised.
Formats: RFC 9112 (3, 3.2, 5), RFC 9110 (7.2), RFC 3986 (3.2), RFC 9113 (3.4).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from netpolicy.flows.names import HTTP2, MALFORMED, NO_NAME, OTHER, Refused, host_name

HEAD_LIMIT = 8192  # bytes of a head that are looked at; servers refuse longer ones

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

METHOD = rb"[A-Z][A-Z_-]{0,31}"
REQUEST = re.compile(METHOD + rb" ([\x21-\x7e\x80-\xff]+) HTTP/1\.[0-9]").fullmatch
# The beginning of a request line that may still become one.
BEGINNING = re.compile(
    rb"(?:"
    + METHOD
    + rb"(?: (?:[\x21-\x7e\x80-\xff]+(?: (?:H|HT|HTT|HTTP|HTTP/|HTTP/1|HTTP/1\.|HTTP/1\.[0-9]\r?)?)?)?)?)?"
).fullmatch
HOST = re.compile(rb"\r\nhost([ \t]*):([^\r\n]*)(?=\r\n)", re.IGNORECASE).finditer
# Neither may stand in a head: what one reader takes for the end of a line another takes for a part of it.
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0").search
ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)").match
AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]@]*)(?::([0-9]{0,5}))?").fullmatch


class Request(NamedTuple):
    """Whom a request is for. `proxied`: it was sent to a proxy, so that the name is not that of the address."""

    host: str  # "" where it is not known
    reason: str = ""  # why, a word of `names`
    proxied: bool = False
    missing: int = 0  # above 0: the host may be in what comes next; at least so many bytes are needed


def from_stream(data: bytes) -> Request:
    """The request at the beginning of a TCP stream. Raises Refused: OTHER, HTTP2, MALFORMED."""
    if data[:4] == b"PRI " and PREFACE.startswith(data[: len(PREFACE)]):
        if len(data) < len(PREFACE):
            return Request("", HTTP2, missing=len(PREFACE) - len(data))
        raise Refused(HTTP2)
    data = data[:HEAD_LIMIT]
    end = data.find(b"\r\n")
    if end < 0:
        if len(data) >= HEAD_LIMIT or not BEGINNING(data):
            raise Refused(OTHER)
        return Request("", NO_NAME, missing=1)
    line = REQUEST(data, 0, end)
    if line is None:
        raise Refused(OTHER)
    target = line.group(1)
    if data.startswith(b"CONNECT "):
        return _named(_authority(target, needs_port=True), proxied=True)
    absolute = ABSOLUTE(target)
    if absolute:
        return _named(_authority(absolute.group(1), needs_port=False), proxied=True)
    if target[:1] != b"/" and target != b"*":
        raise Refused(MALFORMED)
    return _host(data, end)


def _host(data: bytes, begin: int) -> Request:
    """The Host header in what follows the request line, whose end is at `begin`."""
    stop = data.find(b"\r\n\r\n", begin)
    # A line is over when the next one has begun, and not as a continuation of it.
    end = stop + 2 if stop >= 0 else data.rfind(b"\r\n", begin, len(data) - 1) + 2
    head = data[begin:end]
    if BARE(head):
        raise Refused(MALFORMED)
    found = list(HOST(head))
    if not found:
        if stop < 0 and len(data) < HEAD_LIMIT:
            return Request("", NO_NAME, missing=1)
        return Request("", NO_NAME)
    following = data[begin + found[0].end() + 2 : begin + found[0].end() + 3]
    if len(found) > 1 or found[0].group(1) or following in (b" ", b"\t"):
        raise Refused(MALFORMED)
    return _named(_authority(found[0].group(2).strip(b" \t"), needs_port=False), proxied=False)


def _authority(text: bytes, needs_port: bool) -> bytes:
    """The host of `host[:port]`. Raises Refused; names of users are refused, too (RFC 9110, 4.2.4)."""
    found = AUTHORITY(text)
    if found is None or (needs_port and not found.group(2)):
        raise Refused(MALFORMED)
    return found.group(1)


def _named(host: bytes, proxied: bool) -> Request:
    try:
        return Request(host_name(host), proxied=proxied)
    except Refused as refused:
        if refused.reason == MALFORMED:
            raise
        return Request("", refused.reason, proxied)
