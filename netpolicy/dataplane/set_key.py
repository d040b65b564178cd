"""How nf_tables lays out the keys of sets and maps: values to bytes and back.

Pure and fast, because a list has 100 000 keys; never talks to the kernel and knows no names of sets.
Layout as nft(8) writes it: each part of a concatenation fills whole words of four bytes, padded behind;
numbers of the host's byte order (marks) are turned round in concatenations with intervals, where order counts.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from netpolicy.dataplane.nft_element import Element

# A value in a key: a number, or a device name.
Value = int | str | bytes

# Bytes of a part, and whether it stands in the host's byte order.
NETWORK, HOST, TEXT = "network", "host", "text"
TYPES = {
    "ipv4_addr": (4, NETWORK),
    "ipv6_addr": (16, NETWORK),
    "ether_addr": (6, NETWORK),
    "ether_type": (2, NETWORK),
    "inet_service": (2, NETWORK),
    "inet_proto": (1, NETWORK),
    "nf_proto": (1, NETWORK),
    "dscp": (1, NETWORK),
    "mark": (4, HOST),
    "classid": (4, HOST),
    "ifname": (16, TEXT),
}
LONGEST_IFNAME = 15  # IFNAMSIZ less its zero
LONGEST_KEY = 64  # NFT_DATA_VALUE_MAXLEN

_PLAIN = {1: "B", 2: "H", 4: "I"}
_HOST_IS_LITTLE = sys.byteorder == "little"


class Layout:
    """The key of one set: its parts in order, and whether it is a concatenation with intervals.

    A part's value is a number (an address as an integer), of an `ifname` the name. Raises ValueError for a type
    that is not known here and for values out of range.
    """

    __slots__ = ("_convert", "_read", "_struct", "interval", "length", "types")

    def __init__(self, types: Sequence[str], *, interval: bool) -> None:
        unknown = [name for name in types if name not in TYPES]
        if unknown or not types:
            raise ValueError(f"key of {', '.join(types) or 'nothing'}: known parts are {', '.join(sorted(TYPES))}")
        self.types = tuple(types)
        self.interval = interval
        parts = [_part(name, interval, len(types) == 1) for name in types]
        self._struct = struct.Struct(">" + "".join(form for form, _, _ in parts))
        self._convert = [(place, convert) for place, (_, convert, _) in enumerate(parts) if convert]
        self._read = [read for _, _, read in parts]
        self.length = self._struct.size
        if self.length > LONGEST_KEY:
            raise ValueError(f"a key of {self.length} bytes ({' . '.join(types)}); the kernel takes {LONGEST_KEY}")

    def key(self, values: Sequence[Value]) -> bytes:
        """The key of one value per part."""
        try:
            if self._convert:
                changed: list[Value] = list(values)
                for place, convert in self._convert:
                    changed[place] = convert(changed[place])
                values = changed
            return self._struct.pack(*values)
        except (struct.error, OverflowError, TypeError, AttributeError, IndexError):
            raise ValueError(f"{values!r} does not fit a key of {' . '.join(self.types)}") from None

    def keys(self, ranges: Sequence[tuple[Value, Value]]) -> tuple[bytes, bytes]:
        """First and last key of one (low, high) per part, both inclusive."""
        for low, high in ranges:
            if low != high and not low < high:  # type: ignore[operator]
                raise ValueError(f"the range {low!r} - {high!r} is upside down")
        lows, highs = zip(*ranges)  # noqa: B905 - pairs by construction, and zip's check costs a third of this
        return self.key(lows), self.key(highs)

    def values(self, key: bytes) -> tuple[Value, ...]:
        """The counterpart of `key`."""
        if len(key) != self.length:
            raise ValueError(f"a key of {len(key)} bytes where {' . '.join(self.types)} has {self.length}")
        return tuple([read(part) for read, part in zip(self._read, self._struct.unpack(key))])  # noqa: B905

    def ranges(self, key: bytes, key_end: bytes | None) -> tuple[tuple[Value, Value], ...]:
        """The counterpart of `keys`; without an end each part is one value."""
        lows = self.values(key)
        highs = lows if key_end is None else self.values(key_end)
        return tuple(zip(lows, highs))  # noqa: B905


def host_number(value: int) -> bytes:
    """A mark or class id as a map's value, or as the key of a set without intervals."""
    return value.to_bytes(4, sys.byteorder)


def from_host_number(data: bytes) -> int:
    """The counterpart of `host_number`."""
    return int.from_bytes(data, sys.byteorder)


def device_prefix(start: str) -> tuple[bytes, bytes]:
    """The range of all device names that begin so (`eth*`), as (low, high) of an `ifname` part."""
    raw = start.encode()
    if not 0 < len(raw) <= LONGEST_IFNAME:
        raise ValueError(f"{start!r} is no beginning of a device name")
    return raw.ljust(16, b"\0"), raw.ljust(16, b"\xff")


def edges(elements: Iterable[Element]) -> Iterator[Element]:
    """Elements with `key` and `key_end` as the pairs that an interval set of one field takes.

    The kernel keeps there the first key, with the value, and the first key behind, without one.
    """
    for element in elements:
        behind = int.from_bytes(element.key_end or element.key, "big") + 1
        opening = Element(element.key, None, element.data, element.verdict, element.timeout_ms, element.counter)
        yield opening
        if behind >> 8 * len(element.key) == 0:  # what ends at the last key of all stays open
            yield Element(behind.to_bytes(len(element.key), "big"), closes=True)


_Reader = Callable[[bytes], Value]
_Part = tuple[str, "Callable[[Value], Value] | None", "Callable[[Value], Value]"]


def _part(name: str, interval: bool, alone: bool) -> _Part:
    """The part's letters for `struct`, what is done with a value before packing and after unpacking."""
    size, order = TYPES[name]
    pad = "" if alone else f"{-size % 4}x" if size % 4 else ""
    if order == TEXT:
        return f"{size}s", _device, _device_name
    if order == HOST and not interval and _HOST_IS_LITTLE:
        return f"{size}s", lambda value: value.to_bytes(size, "little"), _little
    if size in _PLAIN:
        return _PLAIN[size] + pad, None, _same
    return f"{size}s{pad}", lambda value: value.to_bytes(size, "big"), _big


def _device(value: Value) -> bytes:
    if isinstance(value, bytes):
        if len(value) != 16:
            raise OverflowError
        return value
    raw = value.encode()  # type: ignore[union-attr]
    if not 0 < len(raw) <= LONGEST_IFNAME:
        raise OverflowError
    return raw


def _device_name(value: Value) -> Value:
    """The name; as bytes where it is the end of a range."""
    raw: bytes = value  # type: ignore[assignment]
    name = raw.rstrip(b"\0")
    return name.decode() if name.isascii() and name else raw


def _little(value: Value) -> Value:
    return int.from_bytes(value, "little")  # type: ignore[arg-type]


def _big(value: Value) -> Value:
    return int.from_bytes(value, "big")  # type: ignore[arg-type]


def _same(value: Value) -> Value:
    return value
