"""Runs a piece of work in a forked child that may change its namespaces, and ends with everything in it.

The child touches nothing of the daemon but memory. Never leaves one behind: it is killed when its time is over, when
nobody waits any more, and by the kernel when the parent dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import warnings
from collections.abc import Callable
from typing import NoReturn

from netpolicy.dataplane import namespace

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STANDARD_ERROR = 2
MOST_BYTES = 4 << 20  # a report; more is no report of ours


class ChildFailed(Exception):
    """The child did not come to its end; the text says why."""


async def in_child(work: Callable[[], bytes], limit: float) -> bytes:
    """What the work gave back. `limit` in seconds. Raises ChildFailed. To be called from the loop's own thread."""
    try:
        pid, pipe = _fork(work, limit)
    except OSError as error:
        raise ChildFailed(f"no process can be started: {error.strerror}") from None
    why = ""
    found: bytes | None = None
    transport: asyncio.BaseTransport | None = None
    file = os.fdopen(pipe, "rb", 0)
    try:
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), file)
        found = await asyncio.wait_for(_all(stream), limit)
    except asyncio.TimeoutError:
        why = f"it took longer than {limit:g} s"
    except asyncio.LimitOverrunError:
        why = "its report is too long"
    finally:
        file.close() if transport is None else transport.close()
        status = _end(pid, kill=found is None)
    if why or status or not found:
        raise ChildFailed(why or f"its process ended too early, status {status}")
    return found


async def _all(stream: asyncio.StreamReader) -> bytes:
    """Until the child is done."""
    parts = []
    size = 0
    while part := await stream.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise asyncio.LimitOverrunError("", size)
    return b"".join(parts)


def _fork(work: Callable[[], bytes], limit: float) -> tuple[int, int]:
    """The child's number and the end of the pipe to read from. Raises OSError."""
    reading, writing = os.pipe()
    parent = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        with warnings.catch_warnings():
            # Of threads that may hold a lock: what the child does takes none of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _be_a_child(work, writing, parent, limit)
    except OSError:
        os.close(reading)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
    return pid, reading


def _end(pid: int, kill: bool) -> int:
    """Its exit status. Who has said all is on its way out; whoever has not is killed."""
    if kill:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 0


def _be_a_child(work: Callable[[], bytes], pipe: int, parent: int, limit: float) -> NoReturn:
    """Never returns."""
    status = 1
    try:
        gc.disable()  # a collection would touch, and so copy, all of the parent's memory
        _let_go(pipe, limit)
        namespace.die_with_parent()
        if os.getppid() == parent:  # else it died before the kernel knew
            left = memoryview(work())
            while left:
                left = left[os.write(pipe, left) :]
            status = 0
    except BaseException:  # noqa: BLE001, S110 - the status says it; the daemon's ways to say more are not ours
        pass
    finally:
        os._exit(status)


def _let_go(pipe: int, limit: float) -> None:
    """Signals are no matter of the loop here; every socket and lock is the parent's."""
    signal.set_wakeup_fd(-1)
    for number in (*HANDLED, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    signal.alarm(int(limit) + 2)  # where the kernel does not end it with its parent
    for name in os.listdir("/proc/self/fd"):
        if int(name) > STANDARD_ERROR and int(name) != pipe:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(int(name))
