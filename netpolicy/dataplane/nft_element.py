"""One element of an nf_tables set or map, and its bytes in both directions.

Pure: never does I/O, never guesses what a key means (`set_key` does). Reads strictly: `Malformed`, nothing else.
Format: <linux/netfilter/nf_tables.h>, enum nft_set_elem_attributes and below it; numbers are big-endian there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from netpolicy.dataplane import netlink_wire as wire

BE32 = struct.Struct(">I")
BE64 = struct.Struct(">Q")

LIST_ELEM = 1  # NFTA_LIST_ELEM
# NFTA_SET_ELEM_*
KEY, DATA, FLAGS, TIMEOUT, EXPIRATION, USERDATA, EXPR, OBJREF, KEY_END, EXPRESSIONS = 1, 2, 3, 4, 5, 6, 7, 9, 10, 11
VALUE, VERDICT = 1, 2  # NFTA_DATA_*
CODE, CHAIN = 1, 2  # NFTA_VERDICT_*
EXPR_NAME, EXPR_DATA = 1, 2  # NFTA_EXPR_*
BYTES, PACKETS = 1, 2  # NFTA_COUNTER_*
INTERVAL_END, CATCHALL = 1, 2  # NFT_SET_ELEM_*

# NF_ACCEPT, NF_DROP and enum nft_verdicts, as nft spells them
VERDICT_CODES = {"accept": 1, "drop": 0, "continue": -1 & 0xFFFFFFFF, "return": -5 & 0xFFFFFFFF}
TO_CHAIN = {"jump": -3 & 0xFFFFFFFF, "goto": -4 & 0xFFFFFFFF}
VERDICT_WORDS = {code: word for word, code in (VERDICT_CODES | TO_CHAIN).items()}

# The kind of user data that nft shows as a comment; its text ends with a zero (libnftnl, udata.h).
COMMENT = 0
LONGEST_COMMENT = 128

# NFT_USERDATA_MAXLEN and NFT_DATA_VALUE_MAXLEN keep the kernel's own far below; what is longer is not an element.
LONGEST_ELEMENT = 4096


class Malformed(ValueError):
    """Bytes that are no nf_tables message; the text says what was expected where."""


class Element:
    """What a set holds under a key. Two are equal when all but the remaining time is.

    `key` is b"" for the catch-all element (`*`). `key_end` only in concatenations with intervals: the last key of
    the range, inclusive. `data` is a map's value, in host order for marks; `verdict` a verdict map's, as nft spells
    it ("goto r_lab", "accept"). `timeout_ms` 0 is the set's own or none. `counter` is (packets, bytes), None for a
    set without. `expires_ms` is the time left, told by the kernel and taken by it (0 = the whole timeout).
    `closes` marks the first key behind an interval of a set with one field (see `set_key.edges`). `comment` is
    text for people.
    """

    __slots__ = ("closes", "comment", "counter", "data", "expires_ms", "key", "key_end", "timeout_ms", "verdict")

    def __init__(
        self,
        key: bytes,
        key_end: bytes | None = None,
        data: bytes | None = None,
        verdict: str = "",
        timeout_ms: int = 0,
        counter: tuple[int, int] | None = None,
        expires_ms: int = 0,
        closes: bool = False,
        comment: str = "",
    ) -> None:
        self.key = key
        self.key_end = key_end
        self.data = data
        self.verdict = verdict
        self.timeout_ms = timeout_ms
        self.counter = counter
        self.expires_ms = expires_ms
        self.closes = closes
        self.comment = comment

    def content(self) -> tuple[bytes, bytes | None, bytes | None, str, bool]:
        """What decides about packets: key and value, without times and counters."""
        return (self.key, self.key_end, self.data, self.verdict, self.closes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return (
            self.content() == other.content()
            and self.timeout_ms == other.timeout_ms
            and self.counter == other.counter
            and self.comment == other.comment
        )

    def __hash__(self) -> int:
        return hash((self.key, self.key_end))

    def __repr__(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in SHOWN if getattr(self, name)]
        return f"Element({', '.join(shown)})"


SHOWN = ("key", "key_end", "data", "verdict", "timeout_ms", "counter", "expires_ms", "closes", "comment")


def encode(element: Element) -> bytes:
    """The element as an entry of NFTA_SET_ELEM_LIST_ELEMENTS. Raises ValueError for what cannot be written."""
    body = encode_key(element)
    if element.data is not None:
        body += _value(DATA, element.data)
    elif element.verdict:
        body += _verdict(element.verdict)
    if element.timeout_ms:
        body += wire.attribute(TIMEOUT, _number(element.timeout_ms))
    if element.expires_ms:
        body += wire.attribute(EXPIRATION, _number(element.expires_ms))
    if element.counter is not None:
        body += _counter_expression(element.counter)
    if element.comment:
        body += wire.attribute(USERDATA, _comment(element.comment))
    return _entry(body)


def encode_named(element: Element) -> bytes:
    """Only what names the element, as an entry: enough to delete it or to ask for it."""
    return _entry(encode_key(element))


def encode_key(element: Element) -> bytes:
    """The attributes that name the element."""
    if not element.key:
        return wire.attribute(FLAGS, BE32.pack(CATCHALL))
    body = _value(KEY, element.key)
    if element.key_end is not None:
        body += _value(KEY_END, element.key_end)
    return wire.attribute(FLAGS, BE32.pack(INTERVAL_END)) + body if element.closes else body


def encode_counter(packets: int, bytes_: int) -> bytes:
    """The attributes of a counter, also of a named one."""
    return wire.attribute(BYTES, _number(bytes_)) + wire.attribute(PACKETS, _number(packets))


def decode(body: bytes) -> Element:
    """The element of an entry's content. Raises Malformed."""
    found = fields(body)
    flags = number(found, FLAGS)
    if flags & ~(INTERVAL_END | CATCHALL) or OBJREF in found:
        raise Malformed(f"an element of a kind that is not ours: flags {flags:#x}, attributes {sorted(found)}")
    key = _plain(found[KEY]) if KEY in found else b""
    if not key and not flags & CATCHALL:
        raise Malformed("an element without a key")
    key_end = _plain(found[KEY_END]) if KEY_END in found else None
    element = Element(key, key_end, timeout_ms=long_number(found, TIMEOUT), closes=bool(flags & INTERVAL_END))
    element.expires_ms = long_number(found, EXPIRATION)
    if DATA in found:
        element.data, element.verdict = _decode_data(found[DATA])
    element.counter = _decode_expressions(found)
    if USERDATA in found:
        element.comment = _decode_comment(found[USERDATA])
    return element


def decode_counter(body: bytes) -> tuple[int, int]:
    """Packets and bytes of a counter. Raises Malformed."""
    found = fields(body)
    return long_number(found, PACKETS), long_number(found, BYTES)


def entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Attributes in their order, as type and content. Raises Malformed where one does not fit."""
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < 4:
            raise Malformed(f"{end - offset} stray bytes after the attributes")
        length, kind = wire.ATTRIBUTE.unpack_from(data, offset)
        stop = offset + length
        if length < 4 or stop > end:
            raise Malformed(f"an attribute of {length} bytes where {end - offset} are left")
        yield kind & wire.TYPE_MASK, data[offset + 4 : stop]
        offset = (stop + 3) & ~3


def fields(data: bytes) -> dict[int, bytes]:
    """Attributes by type; none may come twice. Raises Malformed."""
    # `entries` written out: a dump of 10 000 elements comes here 50 000 times
    found: dict[int, bytes] = {}
    offset, end = 0, len(data)
    while end - offset >= 4:
        length, kind = _attribute(data, offset)
        stop = offset + length
        kind &= _TYPE_MASK
        if length < 4 or stop > end or kind in found:
            break
        found[kind] = data[offset + 4 : stop]
        offset = (stop + 3) & ~3
    if offset < end:
        raise Malformed(_fault(data[offset:], found))
    return found


_attribute = wire.ATTRIBUTE.unpack_from
_TYPE_MASK = wire.TYPE_MASK


def _fault(rest: bytes, found: dict[int, bytes]) -> str:
    """What is wrong with the first attribute of `rest`."""
    for kind, _ in entries(rest):
        if kind in found:
            return f"attribute {kind} twice"
    return "attributes that do not end"


def number(found: dict[int, bytes], kind: int) -> int:
    """A 32-bit number, 0 where it is absent. Raises Malformed."""
    value = found.get(kind)
    if value is None:
        return 0
    if len(value) != 4:
        raise Malformed(f"attribute {kind} has {len(value)} bytes instead of 4")
    return int(BE32.unpack(value)[0])


def long_number(found: dict[int, bytes], kind: int) -> int:
    """A 64-bit number, 0 where it is absent. Raises Malformed."""
    value = found.get(kind)
    if value is None:
        return 0
    if len(value) != 8:
        raise Malformed(f"attribute {kind} has {len(value)} bytes instead of 8")
    return int(BE64.unpack(value)[0])


def word(found: dict[int, bytes], kind: int) -> str:
    """A name. Raises Malformed where it is absent, empty or not text."""
    value = found.get(kind, b"").partition(b"\0")[0]
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Malformed(f"attribute {kind} is not a name: {value[:40]!r}") from None
    if not text:
        raise Malformed(f"attribute {kind}, a name, is missing")
    return text


# The headers of a value depend on its length alone, and one set has one or two lengths.
_HEADS: dict[tuple[int, int], bytes] = {}


def _value(kind: int, value: bytes) -> bytes:
    """NFTA_DATA_VALUE inside `kind`."""
    size = len(value)
    head = _HEADS.get((kind, size))
    if head is None:
        if not 0 < size <= 64:  # NFT_DATA_VALUE_MAXLEN
            raise ValueError(f"a key or value of {size} bytes; the kernel takes 1 to 64")
        inner = wire.ATTRIBUTE.pack(4 + size, VALUE)
        head = _HEADS[kind, size] = wire.ATTRIBUTE.pack(8 + (size + 3 & ~3), kind | wire.NESTED) + inner
    return head + value + bytes(-size % 4) if size & 3 else head + value


_ENTRY_KIND = LIST_ELEM | wire.NESTED


def _entry(body: bytes) -> bytes:
    return wire.ATTRIBUTE.pack(4 + len(body), _ENTRY_KIND) + body


def _verdict(words: str) -> bytes:
    action, _, chain = words.partition(" ")
    code = TO_CHAIN.get(action) if chain else VERDICT_CODES.get(action)
    if code is None:
        raise ValueError(f"{words!r} is no verdict; write accept, drop, continue, return, goto CHAIN or jump CHAIN")
    parts = [wire.attribute(CODE, BE32.pack(code))]
    if chain:
        parts.append(wire.attribute(CHAIN, wire.string(chain)))
    return wire.nested(DATA, wire.nested(VERDICT, *parts))


def _counter_expression(counter: tuple[int, int]) -> bytes:
    name = wire.attribute(EXPR_NAME, b"counter\0")
    return wire.nested(EXPR, name, wire.nested(EXPR_DATA, encode_counter(*counter)))


def _comment(text: str) -> bytes:
    raw = text.encode() + b"\0"
    if len(raw) > LONGEST_COMMENT:
        raise ValueError(f"a comment of {len(raw)} bytes; nft takes {LONGEST_COMMENT}")
    return bytes((COMMENT, len(raw))) + raw


def _decode_comment(data: bytes) -> str:
    """The comment among the user data, "" where there is none: what others write there is theirs."""
    while len(data) >= 2:
        kind, length = data[0], data[1]
        if kind == COMMENT:
            return data[2 : 2 + length].rstrip(b"\0").decode(errors="replace")
        data = data[2 + length :]
    return ""


def _number(value: int) -> bytes:
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} does not fit a time or counter of 64 bits")
    return BE64.pack(value)


def _plain(body: bytes) -> bytes:
    found = fields(body)
    if set(found) != {VALUE} or not found[VALUE]:
        raise Malformed(f"a key without its value: attributes {sorted(found)}")
    return found[VALUE]


def _decode_data(body: bytes) -> tuple[bytes | None, str]:
    found = fields(body)
    if set(found) == {VALUE} and found[VALUE]:
        return found[VALUE], ""
    if set(found) != {VERDICT}:
        raise Malformed(f"an element's data is neither value nor verdict: attributes {sorted(found)}")
    verdict = fields(found[VERDICT])
    code = number(verdict, CODE)
    if CODE not in verdict or code not in VERDICT_WORDS:
        raise Malformed(f"an unknown verdict {code:#x}")
    action = VERDICT_WORDS[code]
    return None, f"{action} {word(verdict, CHAIN)}" if action in TO_CHAIN else action


def _decode_expressions(found: dict[int, bytes]) -> tuple[int, int] | None:
    """The counter among an element's expressions, None where it has none; others are not ours."""
    bodies = [found[EXPR]] if EXPR in found else [body for _kind, body in entries(found.get(EXPRESSIONS, b""))]
    for body in bodies:
        expression = fields(body)
        if word(expression, EXPR_NAME) == "counter":
            return decode_counter(expression.get(EXPR_DATA, b""))
    return None
