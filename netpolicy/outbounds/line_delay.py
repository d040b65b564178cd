"""How much longer than usual the round trips of clients' connections by one line take.

Pure and bounded: time is an argument. Never compares one address with another: each has its own distance, and only what
is added to it is the line's. One client alone says nothing. From what an inspector timed: handshakes, and open
connections, which have a usual time of their own.
"""

from __future__ import annotations

from collections.abc import Hashable

CLIENTS, REMOTES = 2, 5  # fewer say nothing
MOST_REMOTES = 512  # each twice at most: by handshakes and by open connections
RECENT_SECONDS = 10.0
CREEP = 1 / 32  # of what is above it the usual time follows: a way that became longer is usual after some time
# An open connection may be acknowledged so much later than it could be (Linux waits for an answer to send it with).
ACKNOWLEDGED_MS = 40.0


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
        # By client, address, and whether of open connections; who was heard of last is last.
        self._remotes: dict[tuple[Hashable, str, bool], _Remote] = {}

    def note(self, whose: Hashable, address: str, milliseconds: float, now: float) -> None:
        """A handshake of that client with that address took so long."""
        self._note((whose, address, False), milliseconds, 0.0, now)

    def note_open(self, whose: Hashable, address: str, milliseconds: float, now: float) -> None:
        """What they say in an open connection is acknowledged after so long, of late."""
        self._note((whose, address, True), milliseconds, ACKNOWLEDGED_MS, now)

    def _note(self, key: tuple[Hashable, str, bool], milliseconds: float, play: float, now: float) -> None:
        remote = self._remotes.pop(key, None)
        if remote is None:
            remote = _Remote(milliseconds)
        else:
            remote.excess, remote.when = max(milliseconds - remote.floor - play, 0.0), now
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
        for (whose, address, _), remote in self._remotes.items():
            if now - remote.when <= RECENT_SECONDS:
                found.setdefault(whose, []).append(remote.excess)
                addresses.add(address)
        if len(found) < CLIENTS or len(addresses) < REMOTES:
            return None
        return min(sorted(one)[len(one) // 2] for one in found.values())


def delay_words(milliseconds: float) -> str:
    """For people."""
    return f"connections of clients take {milliseconds:.0f} ms longer than usual"
