"""What a boot puts into long lists before the daemon is there: their ranges as small files, each proven by itself.

Never reads or writes a file, and never takes one that is not whole. From the rules of a policy, and back to ranges; who
writes the files: service/boot_lock.py, who loads them: daemon/fill.py, why they are no text for nft: docs/guard.md.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from netpolicy.core.address import BITS, V4, V6
from netpolicy.core.field_address import Addresses
from netpolicy.dataplane.policy import DIRECT_CLASS, Policy
from netpolicy.dataplane.script import MOST_AT_BOOT
from netpolicy.dataplane.shape import LargeSet

# Ranges in one file: so many are open where one is damaged, and so many are in memory at a time.
PER_FILE = 8192

# Each number takes 19 bytes at most, seven bits in each.
LONGEST_FILE = PER_FILE * 2 * 19

_DIGEST = 32
_NAME = re.compile(r"(l([46])_[0-9a-f]{8,64})\.([0-9]{1,4})\.([0-9]{1,4})")

Pairs = Iterable[tuple[int, int]]


class Part(NamedTuple):
    """What the name of a file says: the set, its family, which part of how many, from 0."""

    set_name: str
    family: int
    number: int
    of: int


class LongList(NamedTuple):
    """A list that is too long for a text. `closes`: a rule that blocks or seals asks it; `rules`: all that do."""

    listed: LargeSet
    closes: bool
    rules: tuple[str, ...]


def closing(policy: Policy) -> list[bool]:
    """By place, whether a rule blocks, or leads to a line that must not leak; also where that is not sure."""
    plain = {line.number for line in policy.lines if not line.sealed} | {DIRECT_CLASS}
    numbers, blocks = policy.entries.numbers, policy.entries.blocks
    return [bool(blocked) or number not in plain for number, blocked in zip(numbers, blocks, strict=True)]


def long_lists(policy: Policy) -> list[LongList]:
    """Those that close first, and the shorter ones before the longer."""
    made: dict[tuple[int, int], LargeSet] = {}
    asked: dict[str, tuple[LargeSet, bool, list[str]]] = {}
    for rule, closes in zip(policy.entries.rules, closing(policy), strict=True):
        for field in rule.fields:
            if not isinstance(field, Addresses):
                continue
            for family in (V4, V6):
                ranges = field.ranges[family]
                if len(ranges) <= MOST_AT_BOOT:
                    continue
                key = (family, id(ranges))
                if key not in made:
                    made[key] = LargeSet(family, ranges)
                listed = made[key]
                known = asked.get(listed.name, (listed, False, []))
                asked[listed.name] = (listed, known[1] or closes, [*known[2], rule.name])
    found = [LongList(listed, closes, tuple(rules)) for listed, closes, rules in asked.values()]
    return sorted(found, key=lambda one: (not one.closes, len(one.listed.ranges), one.listed.name))


def named(policy: Policy) -> frozenset[str]:
    """The lists of the configuration that rules ask which close something, by address or by name."""
    return frozenset(
        value.lstrip("!")[1:]
        for rule, closes in zip(policy.entries.rules, closing(policy), strict=True)
        for field in rule.fields
        if closes
        for value in field.values
        if value.lstrip("!").startswith("@")
    )


def files(listed: LargeSet) -> Iterator[tuple[str, bytes]]:
    """The names and contents that hold the list."""
    count = -(-len(listed.ranges) // PER_FILE)
    for number in range(count):
        part = [listed.ranges[at] for at in range(number * PER_FILE, min((number + 1) * PER_FILE, len(listed.ranges)))]
        name = f"{listed.name}.{number}.{count}"
        yield name, pack(name, part)


def part_of(name: str) -> Part | None:
    """What a name says; None for that of another file."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    part = Part(found[1], V4 if found[2] == "4" else V6, int(found[3]), int(found[4]))
    return part if part.number < part.of else None


def pack(name: str, ranges: Pairs) -> bytes:
    """The file: a digest of its name and content, then the distances between the ends, packed."""
    numbers = bytearray()
    last = -1
    for low, high in ranges:
        for number in (low - last - 1, high - low):
            left = number
            while left > 127:
                numbers.append(left & 127 | 128)
                left >>= 7
            numbers.append(left)
        last = high
    body = zlib.compress(bytes(numbers), 6)
    return _digest(name, body) + body


def unpack(name: str, data: bytes) -> list[tuple[int, int]]:
    """The ranges of a file of that name, ascending. Raises ValueError: it is not as it was written."""
    part, body = part_of(name), data[_DIGEST:]
    if part is None or data[:_DIGEST] != _digest(name, body):
        raise ValueError("it is damaged")
    opened = zlib.decompressobj()
    try:
        numbers = _numbers(opened.decompress(body, LONGEST_FILE + 1))
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from None
    if not opened.eof or opened.unused_data or len(numbers) % 2:
        raise ValueError("it is longer than it may be, or cut")
    found = []
    last = -1
    for at in range(0, len(numbers), 2):
        low = last + 1 + numbers[at]
        last = low + numbers[at + 1]
        found.append((low, last))
    if last >= 1 << BITS[part.family]:
        raise ValueError("its addresses are of another family")
    return found


def _numbers(data: bytes) -> list[int]:
    found = []
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found.append(number)
            number = shift = 0
    if shift:
        raise ValueError("it is cut")
    return found


def _digest(name: str, body: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + body).digest()
