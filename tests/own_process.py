"""What the process of the tests uses: descriptors that are open, the processor it runs on, and time of it.

Other tests ran in it before. What they left behind may be collected at any moment, on anybody's time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator


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


@contextlib.contextmanager
def one_processor() -> Iterator[None]:
    """This thread stays where it is. Each processor has queues, and places of BPF maps, of its own."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)
