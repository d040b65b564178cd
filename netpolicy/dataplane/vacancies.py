"""Devices whose root queue somebody else took away: for a moment they are left alone.

Shapers are started by a deletion of what is there, and an addition that fails where there is something again: who
fills the place between the two breaks them. Never talks to the kernel. Data: what it tells of all queues.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from netpolicy.dataplane.limits import MAJOR
from netpolicy.dataplane.netlink_tc import ROOT, Queue

# Between the two commands of a shaper's script lie some starts of programs: a slow router under load needs a second.
REST_SECONDS = 3.0
SOON_SECONDS = 1.0
# Who takes ours away again and again means it.
REST_MOST_SECONDS = 600.0


class Vacancies:
    """By the index of devices, which a device never shares with one before it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._occupied: dict[int, bool] = {}  # by somebody's queue when last seen; whether it was ours
        self._until: dict[int, float] = {}
        self._takings: dict[int, tuple[float, int]] = {}  # of ours: when last, and how often in short order

    def see(self, devices: Collection[int], queues: Iterable[Queue]) -> None:
        """Which devices there are now, and what stands on them: one that is down may have no queue at all."""
        roots = {one.index: one.handle for one in queues if one.parent == ROOT}
        now = self._clock()
        for index, was_ours in list(self._occupied.items()):
            if index not in devices:
                self._forget(index)
            elif not roots.get(index):
                del self._occupied[index]
                self._until[index] = now + (self._again(index, now) if was_ours else REST_SECONDS)
        self._occupied |= {index: handle >> 16 == MAJOR for index, handle in roots.items() if handle}
        self._until = {index: until for index, until in self._until.items() if until > now and not roots.get(index)}

    def put(self, index: int) -> None:
        """We put one there."""
        self._occupied[index] = True

    def took(self, index: int) -> None:
        """We take ours away."""
        self._occupied.pop(index, None)

    def resting(self) -> tuple[int, ...]:
        """The devices that are left alone."""
        now = self._clock()
        return tuple(index for index, until in self._until.items() if until > now)

    def rests_for(self) -> float:
        """Seconds until the next of them is not any more, 0 without one."""
        if not self._until:
            return 0.0
        # One whose rest is over was not looked at since.
        return max(min(self._until.values()) - self._clock(), SOON_SECONDS)

    def _again(self, index: int, now: float) -> float:
        at, count = self._takings.get(index, (now, 0))
        count = count + 1 if now - at < 2 * REST_MOST_SECONDS else 1
        self._takings[index] = now, count
        return min(REST_SECONDS * (1 << min(count - 1, 10)), REST_MOST_SECONDS)

    def _forget(self, index: int) -> None:
        for known in (self._occupied, self._until, self._takings):
            known.pop(index, None)
