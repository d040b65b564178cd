"""What open connections by one line say against it: clients repeat themselves, or are reset, and hear nothing.

Pure and bounded: time is an argument. Keeps only what is in vain now; who is heard, and what follows, is
line_evidence.py's. From an inspector's sweeps, which are some seconds apart (service/passive.py).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

# A client that repeats itself so often without a packet in return waits in vain: one segment may be lost, and every
# modern TCP repeats it once early. What is not repeated says nothing: an acknowledgement wants no answer.
REPEATS = 2
# What one sweep finds is believed after another, in which whoever does hear something has been told of too.
LATE_SECONDS = 4.0
# Of two things that one sweep told nobody knows which was first. Less than from one sweep to the next.
SWEEP_SECONDS = 2.0
# TCP repeats itself after ever longer pauses: what was not repeated for so long says nothing any more.
OLD_SECONDS = 20.0

MOST_CLIENTS = 64
MOST_EACH = 16  # connections of one client that are in vain: a flood is no louder than a browser

NEVER = float("-inf")

End = tuple[str, int]  # address and port of a remote


class _Complaint(NamedTuple):
    end: End
    since: float
    last: float  # it was repeated, or the connection was reset


class _Client:
    __slots__ = ("complaints", "heard")

    def __init__(self) -> None:
        self.complaints: dict[Hashable, _Complaint] = {}  # by connection
        self.heard = NEVER  # something of any connection


class Stalls:
    """One line's."""

    def __init__(self) -> None:
        self._clients: dict[Hashable, _Client] = {}  # of whom was told last is last

    def __len__(self) -> int:
        """How many connections are in vain, as far as is kept."""
        return sum([len(client.complaints) for client in self._clients.values()])

    # -- what is told ----------------------------------------------------------------------

    def heard(self, whose: Hashable, key: Hashable, now: float) -> None:
        """Something new came in by an open connection; `key` tells it from others."""
        client = self._client(whose)
        client.heard = now
        client.complaints.pop(key, None)

    def repeated(self, whose: Hashable, key: Hashable, end: End, count: int, now: float) -> None:
        """The client repeated itself `count` times since something came in, and once more just now."""
        if count >= REPEATS:
            client = self._client(whose)
            known = client.complaints.get(key)
            self._keep(client, key, _Complaint(end, known.since if known is not None else now, now))

    def reset(self, whose: Hashable, key: Hashable, end: End, now: float) -> None:
        """The remote ended it, or somebody in its name. One end that does so often is one."""
        client = self._client(whose)
        client.complaints.pop(key, None)
        self._keep(client, end, _Complaint(end, now, now))

    def ended(self, whose: Hashable, key: Hashable) -> None:
        """It is no more: nobody waits for it."""
        client = self._clients.get(whose)
        if client is not None:
            client.complaints.pop(key, None)

    def missed(self) -> None:
        """The line was away, or much was not told: what was in vain says nothing any more."""
        self._clients.clear()

    # -- what follows ----------------------------------------------------------------------

    def heard_last(self, without: Hashable = None) -> float:
        """When somebody heard something."""
        return max([client.heard for name, client in self._clients.items() if name != without], default=NEVER)

    def in_vain(self, after: float, now: float, without: Hashable = None) -> dict[Hashable, set[End]]:
        """By client: who does not answer it, or reset it, since the time `after`, when the line worked."""
        found: dict[Hashable, set[End]] = {}
        for name, client in self._clients.items():
            ends = {
                one.end
                for one in client.complaints.values()
                if one.last > after + SWEEP_SECONDS and one.since <= now - LATE_SECONDS
            }
            if ends and name != without:
                found[name] = ends
        return found

    # -- room ------------------------------------------------------------------------------

    def tidy(self, now: float) -> None:
        """Forget what is too old."""
        for client in self._clients.values():
            for key in [key for key, one in client.complaints.items() if now - one.last > OLD_SECONDS]:
                del client.complaints[key]

    def _client(self, whose: Hashable) -> _Client:
        client = self._clients.pop(whose, None) or _Client()
        self._clients[whose] = client
        if len(self._clients) > MOST_CLIENTS:
            del self._clients[next(iter(self._clients))]
        return client

    def _keep(self, client: _Client, key: Hashable, one: _Complaint) -> None:
        """Those that are kept stay: with more than fit, each would be forgotten before it is told of again."""
        if key in client.complaints or len(client.complaints) < MOST_EACH:
            client.complaints[key] = one
