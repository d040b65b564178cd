"""The log: a ring of entries in memory, each also handed to one writer (standard error).

Never grows beyond its size, never blocks, never stores a secret: callers pass words, not
objects. Entries are numbered so that a reader can ask for what is new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

LEVELS = ("debug", "info", "warning", "error")

CAPACITY = 500  # entries; with at most LONGEST characters each about 250 kB

LONGEST = 400  # characters of a message


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `time` is seconds since the epoch; `kind` decision, state, config, apply, flow, bus."""

    id: int
    time: float
    level: str
    kind: str
    message: str

    def as_dict(self) -> dict[str, object]:
        """The entry with the keys of the `logs` document."""
        return {
            "id": self.id,
            "time": round(self.time, 3),
            "level": self.level,
            "kind": self.kind,
            "message": self.message,
        }


class Ring:
    """`clock` gives seconds since the epoch; `write` gets every entry at or above `level`."""

    def __init__(self, clock: Callable[[], float], write: Callable[[Entry], None], level: str = "info") -> None:
        self._clock = clock
        self._write = write
        self._least = LEVELS.index(level)
        self._entries: deque[Entry] = deque(maxlen=CAPACITY)
        self._next = 1

    def add(self, level: str, kind: str, message: str) -> Entry:
        """Records an entry; control characters become blanks so that no text can forge a line."""
        clean = "".join(c if c.isprintable() else " " for c in message)[:LONGEST]
        entry = Entry(self._next, self._clock(), level, kind, clean)
        self._next += 1
        self._entries.append(entry)
        if LEVELS.index(level) >= self._least:
            self._write(entry)
        return entry

    def since(self, last: int, limit: int, level: str = "debug") -> list[Entry]:
        """The newest `limit` entries after number `last` at or above a level, oldest first."""
        least = LEVELS.index(level) if level in LEVELS else 0
        found = [entry for entry in self._entries if entry.id > last and LEVELS.index(entry.level) >= least]
        return found[-limit:] if limit > 0 else []
