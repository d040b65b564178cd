"""Read what a TLS ClientHello says in the clear: the server's name, the protocols, whether another hello is inside.

Never decrypts, never keeps bytes, never believes a hello that breaks the format. A hello with encrypted_client_hello
names the outer server or is greased: from here the two look alike, and `ech` says so.
Formats: RFC 8446 (4.1.2, 4.2, 5.1), RFC 6066 (server_name), RFC 7301 (ALPN), RFC 9849 (ECH).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from netpolicy.flows.names import ADDRESS, MALFORMED, NO_NAME, OTHER, Refused, host_name

HANDSHAKE, CLIENT_HELLO = 22, 1
RECORD = struct.Struct(">BBBH")  # kind, version, length
RECORD_LIMIT = 1 << 14
# Hellos with a post-quantum key share have 1,700 bytes, those with ECH beside it 2,300.
HELLO_LIMIT = 1 << 14
RECORDS_LIMIT = 64  # in how many a hello may be split; one byte each is an attack

SERVER_NAME, ALPN, ENCRYPTED_HELLO = 0, 16, 0xFE0D
WANTED = frozenset((SERVER_NAME, ALPN, ENCRYPTED_HELLO))
HOST_NAME = 0  # the only kind of server name there is
OUTER = 0  # the first byte of encrypted_client_hello in the hello of a client

BEFORE_SESSION = 4 + 2 + 32  # message header, version, random
SESSION_LIMIT = 32

# Makes a record without the checks of its own constructor, which take longer than all the rest of it.
_make = tuple.__new__

_pair = struct.Struct(">HH").unpack_from
_short = struct.Struct(">H").unpack_from
_heads = struct.Struct(">BBBHI").unpack_from  # of a record, and of the message it begins with: kind and length
_only_name = struct.Struct(">HBH").unpack_from  # length of the list, kind and length of the name

# Browsers send the same few lists of protocols in every hello.
_known_protocols: dict[bytes, tuple[str, ...]] = {}
KNOWN_LIMIT = 64

# Few names are most of what is asked for. Anybody can say others: what browsers say takes 200 bytes, and a kilobyte is
# the most; names of 250 bytes with 60 protocols would be four each.
_known_hellos: dict[bytes, Hello] = {}
KNOWN_HELLOS = 512
KNOWN_LONGEST, KNOWN_PROTOCOLS = 128, 24  # bytes of one, and of the protocols in it
TOLD = struct.Struct("=HHI")  # length of the name's content and of the protocols', whether it is the outer hello


class Hello(NamedTuple):
    """What is known of a hello so far. With `missing` above 0 it is a beginning: `ech` False means nothing then."""

    name: str  # "" where there is none
    reason: str = ""  # why there is none, a word of `names`
    ech: bool = False  # the name is that of the outer hello, or of the only one
    alpn: tuple[str, ...] = ()
    missing: int = 0  # at least so many bytes of the stream are needed for the rest; 0: whole


def from_stream(data: bytes) -> Hello:
    """The hello at the beginning of a TCP stream. Raises Refused: OTHER where it is no TLS, MALFORMED."""
    if len(data) < 9:
        if data and (data[0] != HANDSHAKE or data[1:2] not in (b"", b"\3")):
            raise Refused(OTHER)
        return Hello("", NO_NAME, missing=9 - len(data)) if len(data) < 5 else _from_records(data)
    kind, major, _minor, length, message = _heads(data)
    if kind != HANDSHAKE or major != 3:
        raise Refused(OTHER)
    if message == (CLIENT_HELLO << 24) + length - 4 and length <= 4 + HELLO_LIMIT:
        return _read(data[5 : 5 + length], length)  # the usual case: one record, one message
    return _from_records(data)


def from_told(data: bytes) -> Hello:
    """A whole hello of which somebody took out what is wanted: ebpf/npflow.bpf.c, struct hello. Raises Refused."""
    known = _known_hellos.get(data)
    if known is not None:
        return known
    if len(data) < TOLD.size:
        raise Refused(MALFORMED)
    name, protocols, is_outer = TOLD.unpack_from(data)
    if len(data) != TOLD.size + name + protocols:
        raise Refused(MALFORMED)
    found: dict[int, bytes] = {}
    if name:
        found[SERVER_NAME] = data[TOLD.size : TOLD.size + name]
    if protocols:
        found[ALPN] = data[TOLD.size + name :]
    if is_outer:
        found[ENCRYPTED_HELLO] = bytes((OUTER,))
    hello = _meaning(found, 0)
    if len(data) <= KNOWN_LONGEST and protocols <= KNOWN_PROTOCOLS:
        if len(_known_hellos) >= KNOWN_HELLOS:
            _known_hellos.clear()
        _known_hellos[data] = hello
    return hello


def _from_records(data: bytes) -> Hello:
    """A hello whose message begins or ends elsewhere than its record."""
    parts, at, have, need = [], 0, 0, 4
    for _ in range(RECORDS_LIMIT):
        if len(data) < at + 5:
            break
        kind, major, _minor, length = RECORD.unpack_from(data, at)
        if kind != HANDSHAKE or major != 3 or not 0 < length <= RECORD_LIMIT:
            raise Refused(MALFORMED)
        part = data[at + 5 : at + 5 + length]
        parts.append(part)
        have += len(part)
        at += 5 + length
        message = b"".join(parts)
        if have >= 4:
            need = 4 + int.from_bytes(message[1:4], "big")
        if have >= need:
            if have > need:
                raise Refused(MALFORMED)  # nothing follows a hello until the server has spoken
            return from_message(message)
        if at > len(data):
            break
    else:
        raise Refused(MALFORMED)
    found = from_message(b"".join(parts))
    return found._replace(missing=max(need - have, 1) + max(at + 5 - len(data), 0) * (at <= len(data)))


def from_message(data: bytes) -> Hello:
    """The hello of a handshake message, which QUIC carries without records. Raises Refused."""
    if len(data) < 4:
        if data and data[0] != CLIENT_HELLO:
            raise Refused(OTHER)
        return Hello("", NO_NAME, missing=4 - len(data))
    if data[0] != CLIENT_HELLO:
        raise Refused(OTHER)
    end = 4 + int.from_bytes(data[1:4], "big")
    if end > 4 + HELLO_LIMIT or len(data) > end:
        raise Refused(MALFORMED)
    return _read(data, end)


def _read(data: bytes, end: int) -> Hello:
    """The hello of a message that is `end` bytes long, of which `data` is the beginning."""
    try:
        found = _walk(data, _first_extension(data, end), end)
    except (IndexError, struct.error):  # it ends too early, or only our piece of it does
        if len(data) == end:
            raise Refused(MALFORMED) from None
        found = {}
    return _meaning(found, missing=end - len(data))


def _first_extension(data: bytes, end: int) -> int:
    """Where the first extension begins; `end` where there is none. Raises Refused, or what indexing raises."""
    if data[4] != 3 or data[BEFORE_SESSION] > SESSION_LIMIT:
        raise Refused(MALFORMED)
    at: int = BEFORE_SESSION + 1 + data[BEFORE_SESSION]
    (suites,) = _short(data, at)
    if not suites or suites & 1:
        raise Refused(MALFORMED)
    at += 2 + suites
    if not data[at]:
        raise Refused(MALFORMED)
    at += 1 + data[at]
    if at == end:
        return end
    (total,) = _short(data, at)
    if at + 2 + total != end:
        raise Refused(MALFORMED)
    return at + 2


def _walk(data: bytes, at: int, end: int) -> dict[int, bytes]:
    """Kind to content of the wanted ones; one that comes twice is refused (RFC 8446, 4.2)."""
    found: dict[int, bytes] = {}
    pair, wanted, there = _pair, WANTED, len(data)  # a hello has 10 to 20 extensions: this loop is half of its time
    while at + 4 <= there:
        kind, size = pair(data, at)
        if kind in wanted and at + 4 + size <= there:
            if kind in found:
                raise Refused(MALFORMED)
            found[kind] = data[at + 4 : at + 4 + size]
        at += 4 + size
    if at > end or (there == end and at != end):
        raise Refused(MALFORMED)
    return found


def _meaning(found: dict[int, bytes], missing: int) -> Hello:
    name = reason = ""
    server, hidden, protocols = found.get(SERVER_NAME), found.get(ENCRYPTED_HELLO), found.get(ALPN)
    if server is not None:
        try:
            name = host_name(_server_name(server))
        except Refused as refused:
            if refused.reason != ADDRESS:
                raise Refused(MALFORMED) from None
            reason = ADDRESS
    else:
        reason = NO_NAME
    is_outer = hidden is not None and hidden[:1] == bytes((OUTER,))
    return _make(Hello, (name, reason, is_outer, () if protocols is None else _protocols(protocols), missing))


def _server_name(data: bytes) -> bytes:
    """The host name of a list that has exactly one. Raises Refused."""
    size = len(data)
    if size < 5 or _only_name(data) != (size - 2, HOST_NAME, size - 5):
        raise Refused(MALFORMED)
    return data[5:]


def _protocols(data: bytes) -> tuple[str, ...]:
    known = _known_protocols.get(data)
    if known is not None:
        return known
    names, at = [], 2
    if len(data) < 4 or _short(data)[0] != len(data) - 2:
        raise Refused(MALFORMED)
    while at < len(data):
        size = data[at]
        if not size or at + 1 + size > len(data):
            raise Refused(MALFORMED)
        names.append(data[at + 1 : at + 1 + size].decode("ascii", "backslashreplace"))
        at += 1 + size
    if len(_known_protocols) < KNOWN_LIMIT and len(data) < KNOWN_LIMIT:
        _known_protocols[data] = tuple(names)
    return tuple(names)
