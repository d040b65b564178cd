"""Read geosite.dat and geoip.dat: the entries of some categories, while the pieces of the file arrive.

Holds no more than one item of a file, whatever its size; refuses what is not exactly of that form. Source:
the wire format of protocol buffers, and the messages GeoSiteList and GeoIPList as v2fly and Xray define them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netpolicy.core.address import V4, V6, format_address

GEOSITE, GEOIP = "geosite", "geoip"

# Wire types: the low three bits of a tag.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

# Numbers of fields. A list has entries; an entry a code, items, and for addresses whether all others are meant.
ENTRY = 1
CODE, ITEM, INVERSE = 1, 2, 3
DOMAIN_TYPE, DOMAIN_VALUE, DOMAIN_ATTRIBUTE = 1, 2, 3
ATTRIBUTE_KEY = 1
CIDR_IP, CIDR_PREFIX = 1, 2

# How a value of the type of a domain is written as an entry of ours: a part of a name, an expression, a name, it alone.
PREFIXES = ("keyword:", "regex:", "", "=")

LONGEST_VARINT = 10
LONGEST_ITEM = 1 << 14  # a name has 253 characters, an expression of the largest lists some hundred
LONGEST_CODE = 128
LONGEST_ENTRY = 1 << 28
MOST_CATEGORIES = 10_000  # the largest files have 1 500


class Malformed(ValueError):
    """The file is not of this form; the text says what is wrong with it."""


class _Short(Exception):
    """The rest of it is still to come."""


class Geodata:
    """One file on its way. `taken` hears every entry of the wanted categories, as a text."""

    def __init__(self, categories: tuple[str, ...], taken: Callable[[str], None]) -> None:
        """A category is a code, in any case, or `code@attribute` for those of its names that have the attribute."""
        self._wanted: dict[str, list[str]] = {}
        for category in categories:
            code, _, attribute = category.partition("@")
            self._wanted.setdefault(code.upper(), []).append(attribute.lower())
        self.missing = set(self._wanted)
        self.others: list[str] = []  # codes of other categories, for who misspelt one
        self.kind = ""  # of the items that were taken: "geosite" or "geoip"
        self._taken = taken
        self._rest = b""
        self._skip = 0  # bytes to go until the next entry of the list
        self._left = 0  # bytes to go in the entry under way
        self._attributes: list[str] | None = None  # of the entry under way; None: its code is not known yet
        self._count = 0

    def feed(self, data: bytes) -> None:
        """The next piece. Raises Malformed."""
        data = self._rest + data
        at = 0
        try:
            while True:
                if self._skip:
                    step = min(self._skip, len(data) - at)
                    at, self._skip = at + step, self._skip - step
                    if self._skip:
                        break
                elif self._left:
                    at = self._field_of_entry(data, at)
                elif at < len(data):
                    at = self._begin(data, at)
                else:
                    break
        except _Short:
            pass
        self._rest = data[at:]

    def end(self) -> None:
        """There is no more. Raises Malformed where there should be."""
        if self._rest or self._skip or self._left:
            raise Malformed("the file is cut off")
        if not self._count:
            raise Malformed("the file is empty")

    def _begin(self, data: bytes, at: int) -> int:
        tag, at = _varint(data, at)
        if tag != ENTRY << 3 | BYTES:
            raise Malformed("the file is not geosite.dat or geoip.dat: a list of categories does not begin like that")
        self._left, at = _varint(data, at)
        self._count += 1
        if not 0 < self._left <= LONGEST_ENTRY or self._count > MOST_CATEGORIES:
            raise Malformed("the file has a category that is too long, or too many of them")
        self._attributes = None
        return at

    def _field_of_entry(self, data: bytes, at: int) -> int:
        """The next field of the entry under way."""
        start = at
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if self._attributes is None:
            return self._code(data, start, at, tag)
        if number == ITEM and wire == BYTES:
            length, at = _varint(data, at)
            if length > LONGEST_ITEM:
                raise Malformed("an item of a category is too long")
            self._must_fit(at - start + length)
            if len(data) - at < length:
                raise _Short
            self._item(data[at : at + length])
            at += length
        else:
            value, at = _value(data, at, wire)
            if number == INVERSE and value and isinstance(value, int):
                raise Malformed("a category means all addresses but its own: that is not supported")
        self._must_fit(at - start)
        self._left -= at - start
        return at

    def _must_fit(self, length: int) -> None:
        if length > self._left:
            raise Malformed("a part of a category is longer than the category")

    def _code(self, data: bytes, start: int, at: int, tag: int) -> int:
        """An entry begins with its code: all who write such files write it first."""
        if tag != CODE << 3 | BYTES:
            raise Malformed("a category does not begin with its name")
        length, at = _varint(data, at)
        if not 0 < length <= LONGEST_CODE:
            raise Malformed("the name of a category is empty or too long")
        self._must_fit(at - start + length)
        if len(data) - at < length:
            raise _Short
        code = _text(data[at : at + length]).upper()
        at += length
        self._left -= at - start
        self._attributes = self._wanted.get(code, [])
        self.missing.discard(code)
        if not self._attributes:
            self.others.append(code)
            self._skip, self._left = self._left, 0
        return at

    def _item(self, item: bytes) -> None:
        # The first field of a network is bytes, that of a domain a number or left out.
        if item[:1] == bytes((CIDR_IP << 3 | BYTES,)):
            self.kind = GEOIP
            self._taken(_network(item))
            return
        self.kind = GEOSITE
        entry, attributes = _domain(item)
        wanted = self._attributes or []
        if "" in wanted or any([one in attributes for one in wanted]):
            self._taken(entry)


def _domain(item: bytes) -> tuple[str, list[str]]:
    kind, value, attributes = 0, "", []
    for number, found in _fields(item):
        if number == DOMAIN_TYPE and isinstance(found, int):
            kind = found
        elif number == DOMAIN_VALUE and isinstance(found, bytes):
            value = _text(found)
        elif number == DOMAIN_ATTRIBUTE and isinstance(found, bytes):
            attributes += [_text(key).lower() for n, key in _fields(found) if n == ATTRIBUTE_KEY and type(key) is bytes]
    if kind >= len(PREFIXES) or not value:
        raise Malformed("a domain is of no known kind, or empty")
    return PREFIXES[kind] + value, attributes


def _network(item: bytes) -> str:
    address, prefix = b"", 0
    for number, found in _fields(item):
        if number == CIDR_IP and isinstance(found, bytes):
            address = found
        elif number == CIDR_PREFIX and isinstance(found, int):
            prefix = found
    if len(address) not in (4, 16) or prefix > 8 * len(address):
        raise Malformed("a network has no address of 4 or 16 bytes, or a prefix that is too long")
    hosts = 8 * len(address) - prefix
    number = int.from_bytes(address, "big") >> hosts << hosts
    return f"{format_address(V4 if len(address) == 4 else V6, number)}/{prefix}"


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message that is there whole: number, and value or bytes."""
    at = 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            value, at = _value(data, at, tag & 7)
            yield tag >> 3, value
    except _Short:
        raise Malformed("an item ends in the middle of a field") from None


def _value(data: bytes, at: int, wire: int) -> tuple[int | bytes, int]:
    """What a field holds, and where the next one begins."""
    if wire == VARINT:
        return _varint(data, at)
    if wire == BYTES:
        length, at = _varint(data, at)
        if length > LONGEST_ITEM:
            raise Malformed("a field is too long")
    elif wire in (FIXED32, FIXED64):
        length = 4 if wire == FIXED32 else 8
    else:
        raise Malformed("a field is of a kind that protocol buffers do not have any more")
    if len(data) - at < length:
        raise _Short
    return data[at : at + length], at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    if at < len(data) and data[at] < 0x80:  # most are
        return data[at], at + 1
    found = 0
    for count in range(LONGEST_VARINT):
        if at + count >= len(data):
            raise _Short
        byte = data[at + count]
        found |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return found, at + count + 1
    raise Malformed("a number is too long")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8 text") from None
