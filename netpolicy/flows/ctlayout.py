"""Reads netlink messages that look alike by one `unpack`: the first of them is walked, the others compared.

Pure, and never raises on what it reads. Never takes a message for what it is not: every header of an attribute is
compared with those of the message that was learned, and whatever differs is walked. Format of attributes: netlink(7).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from netpolicy.dataplane import netlink_wire as wire

Path = tuple[int, ...]  # attribute types from the outside in
Field = tuple[str, object]  # format (of struct, network byte order) and what stands for an absent one
Values = tuple[Any, ...]  # in the order of the table of fields
Place = tuple[Path, int, int]  # an attribute that was found: first byte of its value, and end

# A kernel has some dozen: families and protocols, with and without counters, helpers, zones. Beyond this they are
# walked: no message, whoever caused it, makes the memory grow.
LAYOUT_LIMIT = 64
PER_LENGTH = 4


class Layout:
    """One order of attributes: where which field stands, and what has to stand between them."""

    __slots__ = ("_defaults", "_expected", "_mask", "_pick", "_unpack")

    def __init__(self, message: bytes, headers: list[int], fields: Mapping[Path, Field], places: Mapping[Path, int]):
        mask = bytearray(len(message))
        mask[0] = 0xFF  # the family
        for at in headers:
            mask[at : at + wire.ATTRIBUTE.size] = b"\xff" * wire.ATTRIBUTE.size
        self._mask = int.from_bytes(mask, "little")
        self._expected = int.from_bytes(message, "little") & self._mask
        order = sorted(places, key=lambda path: places[path])
        absent = [path for path in fields if path not in places]
        self._unpack = struct.Struct(_format(order, fields, places)).unpack_from
        self._defaults: Values = tuple(fields[path][1] for path in absent)
        self._pick = itemgetter(*([*order, *absent].index(path) for path in fields))

    def read(self, message: bytes) -> Values | None:
        """The fields of a message of this layout's length; None where it has another layout."""
        if int.from_bytes(message, "little") & self._mask != self._expected:
            return None
        found: Values = self._pick(self._unpack(message) + self._defaults)
        return found


class Layouts:
    """What was learned so far, for messages that begin with a family and have their attributes at `start`."""

    def __init__(self, fields: Mapping[Path, Field], start: int) -> None:
        """`fields`: the wanted attributes, two at least; None of them may hold another one."""
        self._fields = dict(fields)
        self._start = start
        self._sizes = {path: struct.calcsize("!" + form) for path, (form, _default) in fields.items()}
        self._inner = {path[:length] for path in fields for length in range(1, len(path))}
        self._known: dict[int, tuple[Layout, ...]] = {}
        self._count = 0

    def read(self, message: bytes) -> Values:
        """The fields in the order of their table; those that are absent or of another size by their default."""
        for layout in self._known.get(len(message), ()):
            found = layout.read(message)
            if found is not None:
                return found
        return self._walked(message)

    def _walked(self, message: bytes) -> Values:
        """The same the long way; the next message that looks like this one is read the short way."""
        places: list[Place] = []
        is_whole = self._walk(message, self._start, len(message), (), places)
        # Of equal ones the last.
        wanted = {path: at for path, at, stop in places if stop - at == self._sizes.get(path)}
        if is_whole and wanted:
            self._learn(message, places, wanted)
        return tuple(
            struct.unpack_from("!" + form, message, wanted[path])[0] if path in wanted else default
            for path, (form, default) in self._fields.items()
        )

    def _learn(self, message: bytes, places: list[Place], wanted: Mapping[Path, int]) -> None:
        known = self._known.get(len(message), ())
        is_regular = len({path for path, _at, _stop in places}) == len(places)
        if is_regular and self._count < LAYOUT_LIMIT and len(known) < PER_LENGTH:
            headers = [at - wire.ATTRIBUTE.size for _path, at, _stop in places]
            self._known[len(message)] = (*known, Layout(message, headers, self._fields, wanted))
            self._count += 1

    def _walk(self, data: bytes, offset: int, end: int, outer: Path, places: list[Place]) -> bool:
        """Finds every attribute, those inside of others too where one of them is wanted; False at a broken tail."""
        is_whole = True
        while end - offset >= wire.ATTRIBUTE.size:
            length, kind = wire.ATTRIBUTE.unpack_from(data, offset)
            start, stop = offset + wire.ATTRIBUTE.size, offset + length
            if stop < start or stop > end:
                return False
            path = (*outer, kind & wire.TYPE_MASK)
            places.append((path, start, stop))
            if path in self._inner:
                is_whole &= self._walk(data, start, stop, path, places)
            offset = (stop + 3) & ~3
        return is_whole


def _format(order: list[Path], fields: Mapping[Path, Field], places: Mapping[Path, int]) -> str:
    text, end = "!", 0
    for path in order:
        form = fields[path][0]
        text += f"{places[path] - end}x{form}"
        end = places[path] + struct.calcsize("!" + form)
    return text
