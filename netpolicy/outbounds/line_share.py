"""What share of what clients send, receive or begin by one line is spoiled, as most of several clients say.

Pure and bounded: time is an argument, and each note costs the same. One client says nothing, nor does one address, and
whoever fares well counts for more than whoever does not. From an inspector's sweeps (service/passive.py).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

CLIENTS = 2  # fewer say nothing
MOST_CLIENTS = 32
MOST_EACH = 8  # addresses of one client
OLD_SECONDS = 20.0  # whoever was told of since keeps the place: newcomers would have each other thrown out
MOST_COUNTED = 500.0  # of one address: what is new must count beside a long download
GOOD_PART = 4  # of so many clients, one may fare better than the line does: there is chance in few packets


class Custom(NamedTuple):
    """How one kind of thing is counted."""

    half_seconds: float  # after so long it counts half
    least: float  # of an address; fewer say nothing of it
    each: int  # addresses of one client, …
    remotes: int  # … and of all, that have to say it
    rank: int  # of so many addresses, one may be better than its client fares


# Half of the addresses: a lost segment is the line's, or one server's.
LOSSES = Custom(10.0, 50.0, 2, 4, 2)
# Three of four: there are servers that end everything so, and peers of file sharing.
CUTS = Custom(20.0, 0.5, 3, 6, 4)


class Share(NamedTuple):
    """What most say; `clients` and `remotes`: how many fare so at least."""

    share: float
    clients: int
    remotes: int


class _Counts:
    __slots__ = ("of", "spoiled", "when")

    def __init__(self, now: float) -> None:
        self.spoiled = self.of = 0.0
        self.when = now


class _Client:
    __slots__ = ("remotes", "when")

    def __init__(self, now: float) -> None:
        self.remotes: dict[Hashable, _Counts] = {}  # that was told of last is last
        self.when = now


class Shares:
    """One line's, of one kind."""

    def __init__(self, custom: Custom) -> None:
        self._custom = custom
        self._clients: dict[Hashable, _Client] = {}  # who was told of last is last

    def __len__(self) -> int:
        """Of how many addresses something is kept, once for each client."""
        return sum([len(client.remotes) for client in self._clients.values()])

    def note(self, whose: Hashable, remote: Hashable, spoiled: float, of: float, now: float) -> None:
        """Of so many of a client with that address, so many more are spoiled."""
        client = self._clients.pop(whose, None)
        if client is None:
            if not _has_room(self._clients, MOST_CLIENTS, now):
                return
            client = _Client(now)
        self._clients[whose] = client
        client.when = now
        counts = client.remotes.pop(remote, None)
        if counts is None:
            if not _has_room(client.remotes, MOST_EACH, now):
                return
            counts = _Counts(now)
        client.remotes[remote] = counts
        part = self._left(counts, now)
        counts.spoiled, counts.of = counts.spoiled * part + min(spoiled, of), counts.of * part + of
        if counts.of > MOST_COUNTED:
            counts.spoiled, counts.of = counts.spoiled * MOST_COUNTED / counts.of, MOST_COUNTED
        counts.when = now

    def forget(self) -> None:
        """The line was away."""
        self._clients.clear()

    def found(self, now: float) -> Share | None:
        """The share that nearly all clients have at least, each at most of its addresses; None: too little is known."""
        custom, told = self._custom, []
        for client in self._clients.values():
            ways = {
                remote: one.spoiled / one.of
                for remote, one in client.remotes.items()
                if one.of * self._left(one, now) >= custom.least
            }
            if len(ways) >= custom.each:
                told.append((_low(list(ways.values()), custom.rank), ways))
        if len(told) < CLIENTS:
            return None
        share = _low([own for own, _ in told], GOOD_PART)
        suffering = [ways for own, ways in told if own >= share]
        remotes = {remote for ways in suffering for remote, own in ways.items() if own >= share}
        if len(suffering) < CLIENTS or len(remotes) < custom.remotes:
            return None
        return Share(share, len(suffering), len(remotes))

    def _left(self, counts: _Counts, now: float) -> float:
        """The part that still counts."""
        return float(0.5 ** (max(now - counts.when, 0.0) / self._custom.half_seconds))


def _low(shares: list[float], part: int) -> float:
    """The one that all others reach, but for one in each `part` of them."""
    return sorted(shares)[(len(shares) - 1) // part]


def _has_room(kept: dict[Hashable, _Client] | dict[Hashable, _Counts], most: int, now: float) -> bool:
    """Whether one more finds a place, perhaps that of one that was not told of for long."""
    if len(kept) < most:
        return True
    first = next(iter(kept))
    if now - kept[first].when <= OLD_SECONDS:
        return False
    del kept[first]
    return True
