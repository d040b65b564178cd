"""Frame ubus messages: bytes to messages and back, in pieces of any size.

Holds no socket and no state beyond the unfinished message; the only error is `WireError`.
A message is version 0, a type, a 16-bit sequence, a 32-bit peer, then one blob attribute
whose payload is the list of message attributes (ubusmsg.h). A file descriptor beside a
message is not ours to keep: read with `recv`, the kernel closes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from .blobmsg import BlobError, attribute, split

HELLO = 0
STATUS = 1
DATA = 2
PING = 3
LOOKUP = 4
INVOKE = 5
ADD_OBJECT = 6
REMOVE_OBJECT = 7
SUBSCRIBE = 8
UNSUBSCRIBE = 9
NOTIFY = 10
MONITOR = 11

ATTR_STATUS = 1
ATTR_OBJPATH = 2
ATTR_OBJID = 3
ATTR_METHOD = 4
ATTR_OBJTYPE = 5
ATTR_SIGNATURE = 6
ATTR_DATA = 7
ATTR_TARGET = 8
ATTR_ACTIVE = 9
ATTR_NO_REPLY = 10
ATTR_SUBSCRIBERS = 11
ATTR_USER = 12
ATTR_GROUP = 13

NUMBERS = frozenset({ATTR_STATUS, ATTR_OBJID, ATTR_OBJTYPE, ATTR_TARGET})
TEXTS = frozenset({ATTR_OBJPATH, ATTR_METHOD, ATTR_USER, ATTR_GROUP})
FLAGS = frozenset({ATTR_ACTIVE, ATTR_NO_REPLY})

EVENT_OBJECT = 1  # ubusd itself: register a listener, send an event
FIRST_FREE_ID = 1024  # below are ubusd's own objects

# UBUS_MAX_MSGLEN: the blob attribute with its header and padding, without the 8 bytes before.
MESSAGE_LIMIT = 1 << 20
# ubusd adds the caller's user and group to a call it forwards, and does not count again.
FORWARD_SLACK = 1 << 10

HEADER = struct.Struct(">BBHII")
NUMBER = struct.Struct(">I")


class WireError(ValueError):
    """Bytes that are no ubus message; the connection they came from cannot be used further."""


class Message(NamedTuple):
    """One message. `body` is the payload of its blob: the attributes, not yet read."""

    type: int
    seq: int
    peer: int
    body: bytes

    def attributes(self) -> dict[int, Any]:
        """Attribute number to int, str, bool or bytes; one of the wrong form is left out.

        Raises WireError when the list itself is broken.
        """
        found: dict[int, Any] = {}
        try:
            for _, number, start, end in split(self.body, 0, len(self.body)):
                value = _read(number, self.body[start:end])
                if value is not None:
                    found[number] = value
        except BlobError as problem:
            raise WireError(str(problem)) from None
        return found


def _read(number: int, raw: bytes) -> Any:
    if number in NUMBERS:
        return NUMBER.unpack(raw)[0] if len(raw) == 4 else None
    if number in TEXTS:
        return raw[: raw.index(0)].decode("utf-8", "replace") if raw[-1:] == b"\0" else None
    if number in FLAGS:
        return raw != b"\0" if len(raw) == 1 else None
    return raw


def encode(kind: int, seq: int, peer: int, attributes: dict[int, Any] | None = None) -> bytes:
    """The bytes of one message; raises WireError when ubus would not carry it."""
    try:
        body = b"".join([attribute(n, _write(n, v)) for n, v in (attributes or {}).items()])
    except BlobError as problem:
        raise WireError(str(problem)) from None
    return frame(kind, seq, peer, body)


def frame(kind: int, seq: int, peer: int, body: bytes) -> bytes:
    """The bytes of a message whose attributes are already bytes; raises WireError when too large."""
    if len(body) + 4 > MESSAGE_LIMIT:
        raise WireError(f"a message of {len(body)} bytes: ubus carries at most {MESSAGE_LIMIT}")
    return HEADER.pack(0, kind, seq & 0xFFFF, peer, len(body) + 4) + body


def _write(number: int, value: Any) -> bytes:
    if number in NUMBERS:
        return NUMBER.pack(value & 0xFFFFFFFF)
    if number in TEXTS:
        if "\0" in value:
            raise WireError("a name with a NUL would arrive cut off")
        return str(value).encode("utf-8", "replace") + b"\0"
    if number in FLAGS:
        return b"\1" if value else b"\0"
    return bytes(value)


class Parser:
    """Collects bytes and gives whole messages; keeps at most one unfinished message."""

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole with `data`; the rest waits. Raises WireError."""
        self._buffer += data
        used = 0
        try:
            while (end := self._end(used)) is not None:
                _, kind, seq, peer, _ = HEADER.unpack_from(self._buffer, used)
                body = bytes(self._buffer[used + HEADER.size : end])
                used = end
                yield Message(kind, seq, peer, body)
        finally:
            del self._buffer[:used]

    def _end(self, start: int) -> int | None:
        """Where the message at `start` ends, or None while it is not whole."""
        if len(self._buffer) - start < HEADER.size:
            return None
        version, _, _, _, word = HEADER.unpack_from(self._buffer, start)
        length = word & 0x00FFFFFF
        if version:
            raise WireError(f"message version {version}")
        if length < 4 or length + 3 & ~3 > self.limit:
            raise WireError(f"a message of {length} bytes")
        end = int(start + HEADER.size - 4 + length)
        return end if len(self._buffer) >= end else None
