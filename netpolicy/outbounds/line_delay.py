"""How much longer than usual the round trips of clients' connections by one line take.

Pure and bounded: time is an argument. Never compares one address with another: each has its own distance, and only what
is added to it is the line's. One client alone says nothing. From handshakes that an inspector timed.
"""

from __future__ import annotations

from collections.abc import Hashable

CLIENTS, REMOTES = 2, 5  # fewer say nothing
MOST_REMOTES = 256
RECENT_SECONDS = 10.0
CREEP = 1 / 32  # of what is above it the usual time follows: a way that became longer is usual after some time


class _Remote:
    """The usual time of one address for one client, and how much longer the last one was."""

    __slots__ = ("excess", "floor", "when")

    def __init__(self, milliseconds: float) -> None:
        self.floor = milliseconds
        self.excess = 0.0
        self.when = float("-inf")  # the first one is usual, whatever it is


class Delays:
    """One line's."""

    def __init__(self) -> None:
        self._remotes: dict[tuple[Hashable, str], _Remote] = {}  # who was heard of last is last

    def note(self, whose: Hashable, address: str, milliseconds: float, now: float) -> None:
        """A handshake of that client with that address took so long."""
        key = (whose, address)
        remote = self._remotes.pop(key, None)
        if remote is None:
            remote = _Remote(milliseconds)
        else:
            remote.excess, remote.when = max(milliseconds - remote.floor, 0.0), now
            remote.floor = min(milliseconds, remote.floor + (milliseconds - remote.floor) * CREEP)
        self._remotes[key] = remote
        if len(self._remotes) > MOST_REMOTES:
            del self._remotes[next(iter(self._remotes))]

    def excess(self, now: float) -> float | None:
        """Milliseconds more than usual, of late: of each client the middle of its addresses, of those the least.

        None where too few clients or addresses were measured twice.
        """
        found: dict[Hashable, list[float]] = {}
        addresses = set()
        for (whose, address), remote in self._remotes.items():
            if now - remote.when <= RECENT_SECONDS:
                found.setdefault(whose, []).append(remote.excess)
                addresses.add(address)
        if len(found) < CLIENTS or len(addresses) < REMOTES:
            return None
        return min(sorted(one)[len(one) // 2] for one in found.values())


def delay_words(milliseconds: float) -> str:
    """For people."""
    return f"connections of clients take {milliseconds:.0f} ms longer than usual"
