"""The elements of our sets as the kernel keeps them, and what differs between two states of a set.

Never talks to the kernel. Keys: `set_key`; what a set holds: `sets`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.rows import LabelRows
from netpolicy.dataplane.set_key import Layout, edges, host_number
from netpolicy.dataplane.sets import KernelSet

# What a set of single keys holds: key → verdict, or a number in hexadecimal digits, or comment where it has no values.
Contents = dict[bytes, str]


def is_tree(one: KernelSet) -> bool:
    """Whether the kernel keeps the set as a tree of interval ends: intervals of one field."""
    return one.interval and len(one.types) == 1


def pack(one: KernelSet, counters: Mapping[str, tuple[int, int]] | None = None) -> Iterator[Element]:
    """The set's elements; with `counters` (packets, bytes by comment) those begin where these end."""
    found = _pack(one, counters)
    return edges(found) if is_tree(one) else found


def _pack(one: KernelSet, counters: Mapping[str, tuple[int, int]] | None) -> Iterator[Element]:
    layout = Layout(one.types, interval=one.interval)
    start = counters or {}
    for key, value, comment in one.elements:
        element = Element(b"", comment=comment)
        if one.interval:
            element.key, element.key_end = layout.keys(key)
        else:
            element.key = layout.key([low for low, _ in key])
        if isinstance(value, str):
            element.verdict = _verdict(value)
        elif value is not None:
            element.data = host_number(value)
        if one.counter:
            element.counter = start.get(comment, (0, 0))
        yield element


def contents(elements: Iterable[Element]) -> Contents:
    """What elements of a set of single keys say."""
    return {
        element.key: element.verdict or (element.comment if element.data is None else element.data.hex())
        for element in elements
    }


def _said(value: int | str | None, comment: str) -> str:
    if value is None:
        return comment
    return _verdict(value) if isinstance(value, str) else host_number(value).hex()


def _verdict(value: str) -> str:
    return value if value == "accept" else f"goto {value}"


def digest(elements: Iterable[Element]) -> bytes:
    """The same for the same keys and values, whatever their order."""
    found = hashlib.sha256()
    total = 0
    count = 0
    for element in elements:
        if _closes_nothing(element):
            continue
        total = (total + hash_of(element)) & MASK
        count += 1
    found.update(struct.pack(">Q", count) + total.to_bytes(32, "big"))
    return found.digest()


MASK = (1 << 256) - 1


def _closes_nothing(element: Element) -> bool:
    """nft puts an end at 0 into a tree whose first interval begins later; it says nothing about any packet."""
    return element.closes and not any(element.key)


def hash_of(element: Element) -> int:
    """A number that stands for the element's key and value."""
    kind = b"end" if element.closes else element.verdict.encode()
    data = b"\0".join((element.key, element.key_end or b"", element.data or b"", kind))
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


@dataclass(frozen=True, slots=True)
class ElementChange:
    """What differs between a set as it should be and as it is loaded."""

    add: tuple[Element, ...] = ()
    delete: tuple[Element, ...] = ()
    # These come in one batch with the going of those: the same key leads elsewhere, or intervals may overlap.
    replace: tuple[Element, ...] = ()
    before: tuple[Element, ...] = ()

    @property
    def replaced(self) -> int:
        """How many elements change in that batch."""
        return max(len(self.replace), len(self.before))

    @property
    def count(self) -> int:
        """How many elements."""
        return len(self.add) + len(self.delete) + self.replaced


def change(one: KernelSet, loaded: Contents) -> ElementChange:
    """What leads from the loaded content of a set of single keys to what it should hold. O(n)."""
    layout = Layout(one.types, interval=False)
    there = dict(loaded)
    add: list[int] = []
    replaced: list[int] = []
    before: list[Element] = []
    for index, (key, value, comment) in enumerate(one.elements):
        packed = layout.key([low for low, _ in key])
        wanted = _said(value, comment)
        found = there.pop(packed, None)
        if found is None:
            add.append(index)
        elif found != wanted:
            replaced.append(index)
            before.append(_held(one, packed, found))
    gone = tuple(Element(key) for key in there)
    return ElementChange(_chosen(one, add), gone, _chosen(one, replaced), tuple(before))


def _held(one: KernelSet, key: bytes, said: str) -> Element:
    if one.data == "verdict":
        return Element(key, verdict=said)
    return Element(key, data=bytes.fromhex(said)) if one.data else Element(key, comment=said)


def change_since(before: KernelSet | None, one: KernelSet) -> ElementChange | None:
    """The same from what was written before, where every key stayed; None where not. O(n), without packing."""
    if before is None or len(before.elements) != len(one.elements):
        return None
    if isinstance(one.elements, LabelRows) and isinstance(before.elements, LabelRows):
        places = one.elements.replaced(before.elements)
        if places is None:
            return None
        return ElementChange(replace=_chosen(one, places), before=_chosen(before, places))
    replaced = []
    for place, (was, now) in enumerate(zip(before.elements, one.elements, strict=True)):
        if was is not now and was != now:
            if was[0] != now[0]:
                return None
            replaced.append(place)
    return ElementChange(replace=_chosen(one, replaced), before=_chosen(before, replaced))


def after(loaded: Contents, change: ElementChange | None) -> Contents:
    """What a set holds once its elements were changed."""
    if change is None:
        return loaded
    found = dict(loaded)
    for element in change.delete:
        found.pop(element.key, None)
    found.update(contents((*change.add, *change.replace)))
    return found


def _chosen(one: KernelSet, places: list[int]) -> tuple[Element, ...]:
    if not places:
        return ()
    few = KernelSet(one.name, one.types, tuple(one.elements[place] for place in places), one.data, counter=one.counter)
    return tuple(pack(few))


def repair(one: KernelSet, loaded: Iterable[Element]) -> ElementChange:
    """The same for a set of intervals that somebody else changed. O(n)."""
    there = {element.content(): element for element in loaded if not _closes_nothing(element)}
    missing = [element for element in pack(one) if there.pop(element.content(), None) is None]
    return ElementChange(replace=tuple(missing), before=tuple(there.values()))
