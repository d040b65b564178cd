"""Which entries of a full table go: one client alone must not have those of the others thrown out.

Pure. Never judges an entry by what is in it. Whoever has more than his share gives his oldest ones; where nobody has,
as with addresses that somebody invented by the thousand, the oldest of all go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from operator import itemgetter
from typing import TypeVar

SHARE = 4  # more than this part of a table is too much for one, while others are in it
PART = 16  # of a table goes at once, so that to look through it costs little for each entry that comes

Key = TypeVar("Key", bound=Hashable)


def number(limit: int) -> int:
    """How many entries of a table with that limit go at once."""
    return max(limit // PART, 1)


def crowd(owners: Iterable[Hashable | None]) -> Hashable | None:
    """Who has more than his share; None for nobody. None among the owners stands for several. O(table)."""
    counts = Counter(owners)
    total = sum(counts.values())
    counts.pop(None, None)
    owner, most = max(counts.items(), key=itemgetter(1), default=(None, 0))
    return owner if most * SHARE > total else None


def chosen(owned: Iterable[tuple[Key, Hashable | None]], count: int) -> list[Key]:
    """So many keys that go, or a few less, of all with their owners, the oldest first. O(table)."""
    entries = list(owned)
    whose = crowd(owner for _, owner in entries)
    return [key for key, owner in entries if whose is None or owner == whose][:count]
