"""Turn dictionaries into blobmsg bytes and back: values in, values out, no I/O.

Whatever the bytes are, only `BlobError` comes out, and never more memory than the limits
below allow. The format is that of libubox (blob.h, blobmsg.h): a big-endian word of one
"has a name" bit, seven bits of type and 24 bits of length (header included), then for a
named attribute a 16-bit name length, the name and a NUL, then the data; each part padded to 4.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

UNSPEC = 0
ARRAY = 1
TABLE = 2
STRING = 3
INT64 = 4
INT32 = 5
INT16 = 6
INT8 = 7  # the bus's boolean
DOUBLE = 8

NAMED = 0x80000000
LENGTH_MASK = 0x00FFFFFF

# json-c, which every ubus tool prints with, stops at 32 levels too.
DEPTH_LIMIT = 32
# A message of 1 MiB can hold 262,144 empty tables; as Python objects they would be 20 MB.
VALUE_LIMIT = 100_000
SIZE_LIMIT = LENGTH_MASK

HEADER = struct.Struct(">I")
NAME_LENGTH = struct.Struct(">H")
NUMBERS = {
    INT64: struct.Struct(">q"),
    INT32: struct.Struct(">i"),
    INT16: struct.Struct(">h"),
    DOUBLE: struct.Struct(">d"),
}
PAD = (b"", b"\0\0\0", b"\0\0", b"\0")
EMPTY_NAME = b"\0\0\0\0"  # length 0, a NUL, one byte of padding


class BlobError(ValueError):
    """Bytes that are no blobmsg, or a value that blobmsg cannot carry."""


# -- blob: attributes without names -------------------------------------------------------


def attribute(ident: int, payload: bytes, named: int = 0) -> bytes:
    """One attribute, padded; `ident` is a type in blobmsg and an attribute number in messages."""
    length = len(payload) + 4
    if length > SIZE_LIMIT:
        raise BlobError(f"attribute of {length} bytes: the format ends at {SIZE_LIMIT}")
    return HEADER.pack(named | ident << 24 | length) + payload + PAD[length & 3]


def split(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The attributes in `data[start:end]` as (named bit, number, start, end of the payload)."""
    while start < end:
        if end - start < 4:
            raise BlobError("an attribute header is cut off")
        word = HEADER.unpack_from(data, start)[0]
        length = word & LENGTH_MASK
        if length < 4 or length > end - start:
            raise BlobError(f"an attribute claims {length} of {end - start} bytes")
        yield word & NAMED, word >> 24 & 0x7F, start + 4, start + length
        start += length + 3 & ~3  # the padding of the last one may be missing


# -- values to bytes ----------------------------------------------------------------------


def encode_table(table: dict[str, Any]) -> bytes:
    """The fields of `table` one after another, as UBUS_ATTR_DATA and nested tables hold them.

    None becomes an UNSPEC field (JSON null), bool INT8, int INT32 or INT64, tuple an array.
    """
    return _fields(table, 0)


def _fields(table: dict[str, Any], depth: int) -> bytes:
    if depth > DEPTH_LIMIT:
        raise BlobError(f"nested deeper than {DEPTH_LIMIT} levels")
    return b"".join([_field(_name(name), value, depth) for name, value in table.items()])


def _items(values: list[Any] | tuple[Any, ...], depth: int) -> bytes:
    if depth > DEPTH_LIMIT:
        raise BlobError(f"nested deeper than {DEPTH_LIMIT} levels")
    return b"".join([_field(EMPTY_NAME, value, depth) for value in values])


def _name(name: str) -> bytes:
    if not isinstance(name, str) or not name:
        raise BlobError(f"a field name must be a non-empty text, not {name!r}")
    raw = _text(name)
    if len(raw) - 1 > 0xFFFF:
        raise BlobError("a field name is longer than 65535 bytes")
    return NAME_LENGTH.pack(len(raw) - 1) + raw + PAD[len(raw) + 2 & 3]


def _text(value: str) -> bytes:
    if "\0" in value:
        raise BlobError("a text with a NUL would arrive cut off")
    try:
        return value.encode() + b"\0"
    except UnicodeEncodeError as problem:
        raise BlobError(f"not a Unicode text: {problem.reason}") from None


def _field(name: bytes, value: Any, depth: int) -> bytes:
    kind, raw = _value(value, depth)
    return attribute(kind, name + raw, NAMED)


def _value(value: Any, depth: int) -> tuple[int, bytes]:
    for python_type, encode in ENCODERS:
        if isinstance(value, python_type):
            return encode(value, depth)
    raise BlobError(f"blobmsg has no form for {type(value).__name__}")


def _integer(value: int, depth: int) -> tuple[int, bytes]:
    if -0x80000000 <= value <= 0x7FFFFFFF:
        return INT32, NUMBERS[INT32].pack(value)
    try:
        return INT64, NUMBERS[INT64].pack(value)
    except struct.error:
        raise BlobError(f"{value} does not fit in 64 bits") from None


def _double(value: float, depth: int) -> tuple[int, bytes]:
    if not math.isfinite(value):  # the ubus tool would print `nan`, which is no JSON
        raise BlobError(f"{value} is not a number JSON can show")
    return DOUBLE, NUMBERS[DOUBLE].pack(value)


ENCODERS: tuple[tuple[Any, Callable[[Any, int], tuple[int, bytes]]], ...] = (
    (str, lambda value, depth: (STRING, _text(value))),
    (bool, lambda value, depth: (INT8, b"\1" if value else b"\0")),  # before int: bool is one
    (int, _integer),
    (dict, lambda value, depth: (TABLE, _fields(value, depth + 1))),
    ((list, tuple), lambda value, depth: (ARRAY, _items(value, depth + 1))),
    (float, _double),
    (type(None), lambda value, depth: (UNSPEC, b"")),
)


# -- bytes to values ----------------------------------------------------------------------


def decode_table(data: bytes) -> dict[str, Any]:
    """The fields in `data` as a dict; of two with one name the first counts, as in libubox.

    Text that is not UTF-8 (an SSID) has its strange bytes replaced, and ends at a NUL.
    """
    return _Reader(data).table(0, len(data), 0)


def raw_fields(data: bytes) -> dict[str, tuple[int, bytes]]:
    """The fields in `data` as (type, their bytes), for passing on what is not ours to read."""
    reader = _Reader(data)
    found: dict[str, tuple[int, bytes]] = {}
    for name, kind, first, last in reader.fields(0, len(data), 0):
        found.setdefault(name, (kind, reader.data[first:last]))
    return found


class _Reader:
    """One decode: the bytes and how many values it may still make."""

    def __init__(self, data: bytes) -> None:
        self.data = bytes(data)
        self.left = VALUE_LIMIT

    def table(self, start: int, end: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, kind, first, last in self.fields(start, end, depth):
            if not name:
                raise BlobError("a table field has no name")
            value = self.value(kind, first, last, depth)
            found.setdefault(name, value)
        return found

    def array(self, start: int, end: int, depth: int) -> list[Any]:
        return [self.value(kind, first, last, depth) for _, kind, first, last in self.fields(start, end, depth)]

    def fields(self, start: int, end: int, depth: int) -> Iterator[tuple[str, int, int, int]]:
        if depth > DEPTH_LIMIT:
            raise BlobError(f"nested deeper than {DEPTH_LIMIT} levels")
        for named, kind, first, last in split(self.data, start, end):
            self.left -= 1
            if self.left < 0:
                raise BlobError(f"more than {VALUE_LIMIT} values")
            name = ""
            if named:
                name, first = self.name(first, last)
            yield name, kind, first, last

    def name(self, start: int, end: int) -> tuple[str, int]:
        """The name in an attribute's payload, and where its data starts."""
        if end - start < 4:
            raise BlobError("a field name is cut off")
        stop = start + 2 + int(NAME_LENGTH.unpack_from(self.data, start)[0])
        data = start + (stop - start + 1 + 3 & ~3)
        if data > end or self.data[stop]:
            raise BlobError("a field name has no end")
        return self.data[start + 2 : stop].decode("utf-8", "replace"), data

    def value(self, kind: int, start: int, end: int, depth: int) -> Any:
        if kind == STRING:
            return self.string(start, end)
        if kind == TABLE:
            return self.table(start, end, depth + 1)
        if kind == ARRAY:
            return self.array(start, end, depth + 1)
        if kind == INT8:
            if end - start != 1:
                raise BlobError("a boolean is one byte")
            return self.data[start] != 0
        return self.number(kind, start, end)

    def number(self, kind: int, start: int, end: int) -> Any:
        if kind == UNSPEC:
            return None
        form = NUMBERS.get(kind)
        if form is None:
            raise BlobError(f"unknown type {kind}")
        if end - start != form.size:
            raise BlobError(f"a number of type {kind} with {end - start} bytes")
        return form.unpack_from(self.data, start)[0]

    def string(self, start: int, end: int) -> str:
        if start >= end or self.data[end - 1]:
            raise BlobError("a text has no end")
        return self.data[start : self.data.index(b"\0", start)].decode("utf-8", "replace")
