"""What the process of the tests uses: descriptors that are open, and time of the processor.

Other tests ran in it before. What they left behind may be collected at any moment, on anybody's time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def open_now() -> set[tuple[str, str]]:
    """Number of each descriptor and what it leads to. One that leaks is new; one that somebody forgot may go."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except OSError:  # of the listing itself
            continue
    return found


def least_seconds(call: Callable[[], object], times: int = 5) -> float:
    """Of the processor, at best: whoever collects garbage meanwhile does it at the cost of one call, not of all."""
    taken = []
    for _ in range(times):
        begun = time.process_time()
        call()
        taken.append(time.process_time() - begun)
    return min(taken)
