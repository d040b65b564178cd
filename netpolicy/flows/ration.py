"""How much of something costly is done in one second, and how much of that for one client.

Pure: time comes with each question. Never remembers more than one second, nor more owners than were granted something.
"""

from __future__ import annotations

from collections.abc import Hashable


class Ration:
    """`each_second` for all, and at most `each_owner` of that for one of them."""

    def __init__(self, each_second: int, each_owner: int) -> None:
        self._each_second, self._each_owner = each_second, each_owner
        self._second = self._granted = 0
        self._by_owner: dict[Hashable, int] = {}

    def is_granted(self, owner: Hashable, now: float) -> bool:
        """Whether one more may be done for this owner; it counts as done then."""
        if int(now) != self._second:
            self._second, self._granted = int(now), 0
            self._by_owner.clear()
        own = self._by_owner.get(owner, 0)
        if self._granted >= self._each_second or own >= self._each_owner:
            return False
        self._granted += 1
        self._by_owner[owner] = own + 1
        return True
