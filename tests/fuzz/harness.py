"""Feed a target with inputs in a process of its own, and find out which it does not survive.

Every input has a budget of processor time, the process one of memory beyond what it began with.
The parent sees what the child cannot report: that it sleeps, was killed, or ended by itself.
"""

from __future__ import annotations

import mmap
import os
import resource
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

MEBIBYTE = 1 << 20
HEADER = struct.Struct("<QQ")  # inputs begun, length of the newest
LARGEST_INPUT = MEBIBYTE
MOST_TEXT = 4000
BATCH = 20_000  # inputs per process


@dataclass(frozen=True)
class Limits:
    """What one input may take; memory is that of all inputs of a process."""

    cpu_seconds: float = 2
    wall_seconds: float = 60  # a machine may be busy, but not for ever
    mebibytes: int = 64


@dataclass(frozen=True)
class Finding:
    """An input that is not survived: what happened, with the words of the interpreter.

    `number`: which of the inputs it was, from 1.
    """

    what: str
    data: bytes
    detail: str
    number: int = 1

    @property
    def where(self) -> str:
        """The kind and the innermost line of the program: the same for inputs that show one defect."""
        places = [line for line in self.detail.splitlines() if line.startswith("  File ")]
        return self.what + (places[-1] if places else "")


class TooSlow(BaseException):
    """The budget of processor time is used up. No handler of a parser catches it by accident."""


def run(
    target: Callable[[bytes], object], make: Callable[[], bytes], count: int, limits: Limits | None = None
) -> Finding | None:
    """Up to `count` inputs in one child; the first that is not survived, or None."""
    shared = mmap.mmap(-1, HEADER.size + LARGEST_INPUT)
    shared[: HEADER.size] = HEADER.pack(0, 0)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _child(target, make, count, limits or Limits(), shared, writing)
    os.close(writing)
    try:
        return _watch(child, reading, shared, limits or Limits())
    finally:
        os.close(reading)
        shared.close()


def _child(
    target: Callable[[bytes], object],
    make: Callable[[], bytes],
    count: int,
    limits: Limits,
    shared: mmap.mmap,
    out: int,
) -> NoReturn:
    """Never returns: whatever happens, the process ends here."""
    code = 1
    try:
        signal.signal(signal.SIGPROF, _too_slow)
        _limit_memory(limits.mebibytes)
        for number in range(count):
            data = make()[:LARGEST_INPUT]
            shared[: HEADER.size + len(data)] = HEADER.pack(number + 1, len(data)) + data
            signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)
            target(data)
            signal.setitimer(signal.ITIMER_PROF, 0)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it is the finding
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.write(out, _traceback().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _too_slow(number: int, frame: object) -> NoReturn:
    raise TooSlow


def _traceback() -> str:
    """The end of the traceback: it says what happened and where."""
    text = traceback.format_exc(limit=-6)
    return text[-MOST_TEXT:]


def _limit_memory(mebibytes: int) -> None:
    """Address space beyond what the process has now. The hard limit stays, so that a report can be made."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        now = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + mebibytes * MEBIBYTE, resource.RLIM_INFINITY))


def _watch(child: int, reading: int, shared: mmap.mmap, limits: Limits) -> Finding | None:
    """Wait for the child's end; it must not stop at one input for longer than the limit."""
    seen, since = -1, time.monotonic()
    while not select.select([reading], [], [], min(limits.wall_seconds / 4, 1))[0]:
        number = HEADER.unpack(shared[: HEADER.size])[0]
        if number != seen:
            seen, since = number, time.monotonic()
        elif time.monotonic() - since > limits.wall_seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Finding("hang", _newest(shared), f"more than {limits.wall_seconds} s at one input", number)
    text = _read_all(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        return None
    number = HEADER.unpack(shared[: HEADER.size])[0]
    return Finding(_kind(text, code), _newest(shared), text or f"the process ended with {code}", number)


def _kind(text: str, code: int) -> str:
    last = text.strip().rpartition("\n")[2]
    if "TooSlow" in last:
        return "slow"
    if "MemoryError" in last:
        return "memory"
    return "exception" if text else f"ended ({code})"


def _newest(shared: mmap.mmap) -> bytes:
    length = HEADER.unpack(shared[: HEADER.size])[1]
    return shared[HEADER.size : HEADER.size + length]


def _read_all(reading: int) -> str:
    found = b""
    while part := os.read(reading, 65536):
        found += part
    return found.decode("utf-8", "replace")


def smaller(target: Callable[[bytes], object], finding: Finding, limits: Limits, attempts: int = 300) -> Finding:
    """The finding with as much of the input taken away as leaves it what it is."""
    size = len(finding.data) // 2
    while size and attempts > 0 and finding.what in ("exception", "memory"):
        start, found = 0, False
        while start < len(finding.data) and attempts > 0:
            attempts -= 1
            shorter = finding.data[:start] + finding.data[start + size :]
            other = run(target, lambda shorter=shorter: shorter, 1, limits)
            if other is not None and _last(other) == _last(finding):
                finding, found = other, True
            else:
                start += size
        size = size if found and size == 1 else size // 2
    return finding


def _last(finding: Finding) -> tuple[str, str]:
    """Kind and type of exception: the message may quote the input."""
    return finding.what, finding.detail.strip().rpartition("\n")[2].split(":")[0]


if sys.platform != "linux":
    raise ImportError("the limits of processes are Linux's")
