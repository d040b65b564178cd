"""For how long this machine was suspended: timers, and the clock that packets are timed by, stand still meanwhile.

Never waits and never wakes anybody: whoever has a timer asks here when it goes off. From the kernel's clocks
(clock_gettime(2)): CLOCK_MONOTONIC stops in a sleep, CLOCK_BOOTTIME goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# No sleep is as short, and two clocks that are read one after the other differ by less.
SHORTEST_SECONDS = 0.2


# Between the readings of the clocks; who had to wait for a processor in between reads them again.
CLOSE_SECONDS = 0.02
TRIES = 20


def slept() -> float:
    """For how many seconds since its boot the machine was suspended."""
    closest, found = float("inf"), 0.0
    for _ in range(TRIES):
        steady = time.monotonic()
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        apart = time.monotonic() - steady
        if apart < closest:
            closest, found = apart, since_boot - steady
        if apart < CLOSE_SECONDS:
            break
    return found


class Sleeps:
    """Notices a sleep afterwards."""

    __slots__ = ("_slept", "_so_far")

    def __init__(self, slept: Callable[[], float] = slept) -> None:
        self._slept = slept
        self._so_far = slept()

    def since(self) -> float:
        """For how long the machine slept since this was asked last; 0 where it did not."""
        so_far = self._slept()
        found = so_far - self._so_far
        if found < SHORTEST_SECONDS:
            return 0.0
        self._so_far = so_far
        return found
