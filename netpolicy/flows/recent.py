"""Remember for a while which keys were seen, for so many of them, at the same small cost whatever is forgotten.

Two sets: the young one becomes the old one when it is full or its time is over, and the old one is dropped whole.
So a key lives between one and two times as long as asked for. No clock: the caller says how late it is.
"""

from __future__ import annotations

from collections.abc import Hashable


class Recent:
    """Keys that were added lately. Deleting from the front of a dict would search its holes every time."""

    __slots__ = ("_half", "_old", "_seconds", "_turned", "_young")

    def __init__(self, limit: int, seconds: float) -> None:
        """At most `limit` keys, each for `seconds` at least unless too many others come."""
        self._half = max(limit // 2, 1)
        self._seconds = seconds
        self._turned = 0.0
        self._young: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self._young | self._old)

    def add(self, key: Hashable, now: float) -> None:
        """The key was seen; it begins to live again."""
        if len(self._young) >= self._half or now - self._turned >= self._seconds:
            self.age(now)
            if len(self._young) >= self._half:
                self._turn(now)
        self._young.add(key)

    def has(self, key: Hashable, now: float) -> bool:
        """Whether it was seen lately."""
        if now - self._turned >= self._seconds:
            self.age(now)
        return key in self._young or key in self._old

    def discard(self, key: Hashable) -> None:
        """Forget one; that it is not there is fine."""
        self._young.discard(key)
        self._old.discard(key)

    def age(self, now: float) -> None:
        """Forget what is too old. The other calls do it as well; this one is for when none of them comes."""
        silent = now - self._turned
        if silent >= self._seconds:
            self._turn(now)
        if silent >= 2 * self._seconds:
            self._old = set()

    def _turn(self, now: float) -> None:
        self._old, self._young, self._turned = self._young, set(), now
