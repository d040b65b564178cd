"""What the learned sets of the kernel hold, as the kernel tells it: which addresses, until when, and since when.

Pure: time is an argument, and what is told comes from dumps and notifications. Bounded. An address that came or went a
moment ago is told as `UNSETTLED` too, because a packet may have been decided before or after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from netpolicy.core.address import V4
from netpolicy.dataplane.learned_sets import LONGEST_SECONDS, base_of, set_name
from netpolicy.dataplane.nft_element import Element

# So old a change is surely older than the first packet of a connection that is told now.
SETTLED_SECONDS = 2.0

UNSETTLED = ""

# Of all sets together; some hundred bytes each. What is beyond is in the kernel all the same.
MOST = 32768


class Held(NamedTuple):
    """An address in a set."""

    since: float
    until: float


class Addresses:
    """A mirror. Keys are the addresses as the kernel has them: 4 or 16 bytes."""

    def __init__(self) -> None:
        self._sets: dict[str, dict[bytes, Held]] = {}  # by the base name: the families differ in their keys
        self.is_known = False  # the sets were read
        self.is_whole = True  # all of them have room here

    def __len__(self) -> int:
        return sum(map(len, self._sets.values()))

    def follow(self, bases: Iterable[str]) -> None:
        """These sets are there; others are not any more."""
        self._sets = {base: self._sets.get(base, {}) for base in bases}

    def read(self, contents: Mapping[str, Iterable[Element]], now: float) -> dict[str, list[Element]]:
        """Takes what a dump said, by set; returns what was there before and is not any more, with the time left.

        The time that an address is there already counts from what was known of it.
        """
        before, self._sets = self._sets, {base: {} for base in self._sets}
        for name, elements in contents.items():
            known = before.get(base_of(name), {})
            held = self._sets.get(base_of(name))
            for element in elements if held is not None else ():
                since = known[element.key].since if element.key in known else now - SETTLED_SECONDS
                self._put(held, element, since, now)  # type: ignore[arg-type]
        self.is_known = True
        lost: dict[str, list[Element]] = {}
        for base, known in before.items():
            for key, one in known.items():
                if one.until > now and key not in self._sets[base]:
                    element = Element(key, timeout_ms=max(int((one.until - now) * 1000), 1000))
                    lost.setdefault(set_name(base, 4 if len(key) == 4 else 6), []).append(element)
        return lost

    def told(self, name: str, elements: Iterable[Element], is_added: bool, now: float) -> None:
        """Takes a notification."""
        held = self._sets.get(base_of(name))
        if held is None:
            return
        for element in elements:
            known = held.get(element.key)
            if is_added:
                alive = known is not None and known.until > now
                self._put(held, element, known.since if alive and known else now, now)
            elif known is not None:
                held[element.key] = Held(known.since, now)

    def of(self, address: tuple[int, int] | None, now: float) -> frozenset[str] | None:
        """The base names of the sets that hold an address (family, number); None where that cannot be told.

        With UNSETTLED where one of them changed so lately that a packet may have met it otherwise.
        """
        if address is None or not self.is_known or not self.is_whole:
            return None
        key = address[1].to_bytes(4 if address[0] == V4 else 16, "big")
        found = []
        for base, held in self._sets.items():
            one = held.get(key)
            if one is None:
                continue
            if now - one.since < SETTLED_SECONDS or abs(now - one.until) < SETTLED_SECONDS:
                found.append(UNSETTLED)
            if one.until > now:
                found.append(base)
        return frozenset(found)

    def left(self, name: str, key: bytes, now: float) -> float:
        """How many seconds an address stays in a set, 0 where it is not there."""
        one = self._sets.get(base_of(name), {}).get(key)
        return max(one.until - now, 0.0) if one is not None else 0.0

    def all(self, now: float) -> Iterator[tuple[str, bytes, float]]:
        """Every address: its set, its key, the seconds that are left."""
        for base, held in self._sets.items():
            for key, one in held.items():
                if one.until > now:
                    yield set_name(base, 4 if len(key) == 4 else 6), key, one.until - now

    def expire(self, now: float) -> None:
        """Forgets what the kernel has forgotten."""
        for held in self._sets.values():
            for key in [key for key, one in held.items() if one.until + SETTLED_SECONDS < now]:
                del held[key]
        self.is_whole = self.is_whole or len(self) < MOST // 2

    def _put(self, held: dict[bytes, Held], element: Element, since: float, now: float) -> None:
        seconds = (element.expires_ms or element.timeout_ms) / 1000 or LONGEST_SECONDS
        if element.key not in held and len(self) >= MOST:
            self.is_whole = False
            return
        held[element.key] = Held(since, now + seconds)
