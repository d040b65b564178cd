"""Decide whether bytes that somebody sent are the name of a host, and write it in the one form that rules know.

Never repairs a name and never guesses one: what is no name is refused with a reason.
Names: RFC 1123 labels with the underscore, RFC 5890 A-labels as they are; an address is no name (RFC 6066, 3).
"""

from __future__ import annotations

import re

from netpolicy.core.domain import MAX_NAME

# Why no name is known. They are shown to users and counted: never any of the bytes that were read.
NO_NAME = "no_name"  # the client named nobody: no server_name, no Host
ADDRESS = "address"  # it named an address
INCOMPLETE = "incomplete"  # the rest of the first bytes never came
MALFORMED = "malformed"  # the format is known, and this is not it
NOT_DECRYPTED = "not_decrypted"  # QUIC whose keys are not those of a first packet, or nothing to decrypt with
QUIC_VERSION = "quic_version"  # a version of QUIC that nobody described yet
HTTP2 = "http2"  # HTTP/2 without TLS: names are inside of compressed headers
OTHER = "other"  # none of the protocols that are read
DNS_REFUSED = "dns_refused"  # an answer that says that there is none
TRUNCATED = "truncated"  # an answer that says that it is only the beginning of one

# Hyphens may stand anywhere in a label: names such as `-a-.example.com` exist and are resolved.
# A last label that readers of URLs take for a part of an IPv4 address (WHATWG URL, 3.5): digits, or 0x before them.
NUMBER = rb"(?:[0-9]+|0x[0-9a-f]*)\.?\Z"
NAME = re.compile(rb"((?:[a-z0-9_-]{1,63}\.)*(?!" + NUMBER + rb")[a-z0-9_-]{1,63})\.?").fullmatch
ADDRESS4 = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)*" + NUMBER).fullmatch
ADDRESS6 = re.compile(rb"\[?[0-9a-f]*:[0-9a-f.]*:[0-9a-f:.]*(?:%.*)?\]?").fullmatch


class Refused(Exception):
    """What was read is of no use; `reason` is one of the words above. Carries nothing of what was read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# The same names come again and again; each text then exists once, however many connections carry it.
KNOWN_LIMIT = 1024
_known: dict[bytes, str] = {}


def host_name(raw: bytes) -> str:
    """The name in lower case without a final dot. Raises Refused: ADDRESS, MALFORMED, or NO_NAME where empty."""
    return _known.get(raw) or _checked(raw)


def _checked(raw: bytes) -> str:
    if len(raw) > MAX_NAME + raw.endswith(b"."):
        raise Refused(MALFORMED)
    name = raw.lower()
    found = NAME(name)
    if found:
        if len(_known) >= KNOWN_LIMIT:
            _known.clear()
        text = _known[raw] = str(found[1], "ascii")
        return text
    if not raw:
        raise Refused(NO_NAME)
    raise Refused(ADDRESS if ADDRESS4(name) or ADDRESS6(name) else MALFORMED)
