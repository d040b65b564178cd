"""Which entries of a full table go: one client alone must not have those of the others thrown out.

Pure. Never judges an entry by what is in it. Whoever has more than his share gives his oldest ones; where nobody has,
as with addresses that somebody invented by the thousand, the oldest of all go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

SHARE = 4  # more than this part of a table is too much for one, while others are in it
PART = 16  # of a table goes at once, so that to look through it costs little for each entry that comes

Key = TypeVar("Key", bound=Hashable)


def number(limit: int) -> int:
    """How many entries of a table with that limit go at once."""
    return max(limit // PART, 1)


def chosen(owned: Iterable[tuple[Key, Hashable]], count: int) -> list[Key]:
    """So many keys that go, of all with their owners, the oldest first. None owns what belongs to several. O(table)."""
    entries = list(owned)
    most = Counter(owner for _, owner in entries if owner is not None).most_common(1)
    if most and most[0][1] * SHARE > len(entries):
        crowd = most[0][0]
        found = [key for key, owner in entries if owner == crowd][:count]
        if len(found) == count:
            return found
    return [key for key, _ in entries[:count]]
