"""Datagrams through a course while something else happens: was one lost, did one take another way?

A child process sends new flows of rules that lead by the second line, at a steady rate; the
server's devices count. By the first line comes what met no rule, or another one. Bounded in
number and time. Never looks at the product.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.course import LATE_SECONDS, Course
from benchmarks.frames import Flow, Sender

DATAGRAMS = 20_000
RATE = 20_000  # per second
BATCH = 20
UNDER_WAY = 400


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of the datagrams."""

    sent: int
    right: int
    wrong: int

    @property
    def lost(self) -> int:
        return self.sent - self.right - self.wrong


class Load:
    """Begins to send when made; `running` until the datagrams are out."""

    def __init__(self, course: Course, flows: list[Flow], rate: int = RATE) -> None:
        self._course = course
        self._count = len(flows)
        sender = course.sender(flows)
        self._before = self._arrived()
        self._child = os.fork()
        if self._child == 0:
            _send(sender, self._count, rate, lambda: sum(self._arrived()) - sum(self._before))
        sender.close()

    def running(self) -> bool:
        """Whether the child still sends."""
        return os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def end(self) -> Seen:
        """Waits for the last datagram. RuntimeError where the child could not send."""
        _, status = os.waitpid(self._child, 0)
        if status:
            raise RuntimeError(f"the sender ended with {os.waitstatus_to_exitcode(status)}")
        until = time.monotonic() + LATE_SECONDS
        while True:  # what the kernel's helper thread still holds
            is_last = time.monotonic() >= until
            first, second = (now - then for now, then in zip(self._arrived(), self._before, strict=True))
            if first + second >= self._count or is_last:
                return Seen(self._count, second, first)
            time.sleep(0.01)

    def _arrived(self) -> tuple[int, int]:
        return self._course.server.received("eth0"), self._course.server.received("eth1")


def _not_arrived(sender: Sender, arrived: Callable[[], int], lost: int) -> int:
    """How many are lost for good; waits while more than that are under way.

    A queue of the kernel's has room for a thousand, and a busy machine does not let the thread run that empties it:
    those would be counted as lost by the reload.
    """
    until = time.monotonic() + LATE_SECONDS
    while (missing := sender.passed - arrived()) - lost > UNDER_WAY:
        if time.monotonic() >= until:
            return missing
        time.sleep(0.001)
    return lost


def _send(sender: Sender, count: int, rate: int, arrived: Callable[[], int]) -> None:
    """The life of the child: never returns into the parent's code."""
    lost = 0
    try:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))  # a core of its own where there is one
        began = time.perf_counter()
        while sender.passed < count:
            sender.send(min(BATCH, count - sender.passed))
            lost = max(lost, _not_arrived(sender, arrived, lost))
            time.sleep(max(0.0, began + sender.passed / rate - time.perf_counter()))
    finally:
        os._exit(0 if sender.passed == count else 1)
