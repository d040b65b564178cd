"""What a piece of work costs the processor: this thread, and the kernel thread that helps it.

The kernel forwards a packet inside the system call that sent it, so a thread that sends pays
for the whole path; what is too long for one call is left to ksoftirqd of the same core. CPU
time, not the clock on the wall: other people's work on the machine does not count. Never
starts a thread. Sources: clock_gettime(2), proc(5) (schedstat).
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path


class Effort:
    """Seconds of CPU time spent since a point, for a thread pinned to one core."""

    def __init__(self) -> None:
        self._helper = _helper_of(min(os.sched_getaffinity(0)))

    def now(self) -> float:
        """Seconds, from an arbitrary point."""
        return time.thread_time() + self._helped()

    def _helped(self) -> float:
        if self._helper is None:
            return 0.0
        return int(self._helper.read_bytes().split()[0]) / 1e9


@cache
def _helper_of(core: int) -> Path | None:
    """The accounting of the core's ksoftirqd; None where the system does not show it."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "comm").read_text(encoding="ascii").strip() == f"ksoftirqd/{core}":
                return place / "schedstat" if (place / "schedstat").exists() else None
        except OSError:
            continue  # it ended meanwhile
    return None
