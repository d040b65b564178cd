"""How well connections go, by remote address or by whatever else the caller groups them: RTT, loss, errors.

Pure: time is an argument. Bounded, and fading: what is half an hour old hardly counts. Never a judgement of a line;
that is the health machine's.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

LIMIT = 1024
HALF_SECONDS = 300.0  # after so long a count is worth half
FADE_SECONDS = 1.0  # by less it is not worth a power
# A round trip of the new ones is worth this part of the mean.
RTT_PART = 1 / 8
# Fewer connections or segments than these say nothing about a share of them.
LEAST_CONNECTIONS, LEAST_SEGMENTS = 3.0, 50.0

Group = TypeVar("Group", bound=Hashable)


class Progress(NamedTuple):
    """What is new about one connection since it was told last."""

    segments: int = 0  # sent towards the remote, those that were repeated too
    repeated: int = 0
    rtt_us: int = 0  # of its handshake; 0: not told, or told before
    ended: bool = False  # its beginning is known now: answered, refused or given up; once for each connection
    failed: bool = False  # … and it was not answered, or refused
    cut: bool = False  # it failed after it was answered: reset by the remote while nobody was about to end it


class Quality(NamedTuple):
    """None is unknown: too little was seen."""

    rtt_ms: float | None
    loss: float | None  # share of segments, 0 to 1
    errors: float | None  # share of connections, 0 to 1
    resets: float | None  # the same, of those that were answered and reset later: a part of the errors
    connections: float  # how many these rest on, faded


class _Counts:
    __slots__ = ("connections", "cuts", "failures", "repeated", "rtt_us", "segments", "when")

    def __init__(self, now: float) -> None:
        self.connections = self.failures = self.cuts = self.segments = self.repeated = 0.0
        self.rtt_us = 0.0
        self.when = now

    def fade(self, now: float) -> None:
        if now - self.when < FADE_SECONDS:
            return
        part: float = 0.5 ** (max(now - self.when, 0.0) / HALF_SECONDS)
        self.connections *= part
        self.failures *= part
        self.cuts *= part
        self.segments *= part
        self.repeated *= part
        self.when = now


class Qualities(Generic[Group]):
    """Counts by group; the one that was told of longest ago gives way."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._counts: dict[Group, _Counts] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._counts)

    def note(self, group: Group, new: Progress, now: float) -> None:
        """Something new about one connection of this group."""
        counts = self._counts.pop(group, None) or _Counts(now)
        self._counts[group] = counts
        if len(self._counts) > self._limit:
            del self._counts[next(iter(self._counts))]
        counts.fade(now)
        counts.segments += new.segments
        counts.repeated += new.repeated
        counts.connections += new.ended
        if new.failed:
            counts.failures += 1
            counts.cuts += new.cut
        if new.rtt_us:
            counts.rtt_us += (new.rtt_us - counts.rtt_us) * (RTT_PART if counts.rtt_us else 1.0)

    def of(self, group: Group, now: float) -> Quality:
        """What is known of the group."""
        counts = self._counts.get(group)
        if counts is None:
            return Quality(None, None, None, None, 0.0)
        counts.fade(now)
        is_enough = counts.connections >= LEAST_CONNECTIONS
        return Quality(
            counts.rtt_us / 1000 if counts.rtt_us else None,
            min(counts.repeated / counts.segments, 1.0) if counts.segments >= LEAST_SEGMENTS else None,
            min(counts.failures / counts.connections, 1.0) if is_enough else None,
            min(counts.cuts / counts.connections, 1.0) if is_enough else None,
            counts.connections,
        )

    def forget(self, group: Group) -> None:
        """It is no more."""
        self._counts.pop(group, None)
