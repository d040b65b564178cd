"""Reads the configuration in a process of its own: what reading leaves behind in memory ends with it.

The child touches no socket of the daemon and closes all that it inherits; where none can be made the
daemon reads by itself. Never leaves a child behind, and never trusts one that did not come to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from netpolicy.config.diagnostic import ERROR, Diagnostic
from netpolicy.config.loaded import Loaded
from netpolicy.core.model import Ruleset
from netpolicy.service.collector import undisturbed
from netpolicy.service.pieces import Unpacking, pack

# Ten thousand rules take a second on a server and half a minute on a slow router.
LIMIT_SECONDS = 300

# Before each piece, and alone after the last one.
LENGTH = struct.Struct(">I")
FAULT = 0xFFFFFFFF  # in the place of a length: what follows says which mistake of ours ended the child

STANDARD_ERROR = 2

# Held by a thread that imports parts of `config`: in a child that was forked meanwhile nobody would end that import.
IMPORTING = threading.Lock()
IMPORT_STEP_SECONDS = 0.01


HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.asynccontextmanager
async def importing() -> AsyncIterator[None]:
    """Inside, the caller alone imports or forks; others of this loop wait without holding it up."""
    while not IMPORTING.acquire(blocking=False):  # noqa: ASYNC110 - a thread holds it, and knows no loop
        await asyncio.sleep(IMPORT_STEP_SECONDS)
    try:
        yield
    finally:
        IMPORTING.release()


def _load(path: str, **given: Any) -> Loaded:
    """As config.load.load, which is in the memory of the child alone."""
    from netpolicy.config.load import load

    return load(path, **given)


class Loader:
    """Loads configurations, one child for each."""

    def __init__(self, read: Callable[..., Loaded] = _load, limit: float = LIMIT_SECONDS, kept: str = "") -> None:
        """`kept` is the folder with the copies of fetched lists."""
        self._read = read
        self._kept = kept
        self._limit = limit
        self._children: set[int] = set()
        self._is_ending = False

    async def load(
        self,
        path: str,
        before: Ruleset | None = None,
        instead: Mapping[str, bytes] | None = None,
        fresh: Collection[str] = (),
    ) -> Loaded:
        """As config.load.load. A child that does not come to its end makes a fatal result that says so.

        Rules that say the same as in `before` are those: what did not change costs no memory to read.
        `instead` has the content of files that are not read from disk, `fresh` the lists whose new copy is tried.
        """
        given = {"instead": instead, "fresh": fresh, "kept": self._kept}
        read = partial(self._read, path, **{name: value for name, value in given.items() if value})
        async with importing():
            try:
                pid, pipe = self._fork(read, before)
            except OSError:  # no memory or no process left for it: it costs more memory here, and works
                return await asyncio.to_thread(read)
        self._children.add(pid)
        why = ""
        taking = _Taking(pipe, before)
        try:
            await asyncio.wait_for(taking.run(), self._limit)
        except asyncio.TimeoutError:
            why = f"it took longer than {self._limit:g} s"
        finally:
            taking.close()
            status = self._end(pid)
        if taking.loaded is None or why:
            return _unusable(path, why or self._reason(status, taking))
        return taking.loaded

    def close(self) -> None:
        """The daemon ends: nobody waits for what is being read."""
        self._is_ending = True
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _fork(self, read: Callable[[], Loaded], before: Ruleset | None) -> tuple[int, int]:
        """The child's number and the end of the pipe to read from. Raises OSError."""
        reading, writing = os.pipe()
        try:
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
            try:
                with warnings.catch_warnings():
                    # Of threads that may hold a lock: what the child does takes none of theirs.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    pid = os.fork()
                if pid == 0:
                    _be_a_child(writing, lambda: pack(read(), before), self._limit)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return pid, reading

    def _end(self, pid: int) -> int:
        """Its exit status; whoever still runs is killed."""
        self._children.discard(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # one that has said all has nothing left to do
        with contextlib.suppress(ChildProcessError):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return 0

    def _reason(self, status: int, taking: _Taking) -> str:
        if taking.fault:
            return f"a fault in netpolicy, please report it: {taking.fault}"
        if self._is_ending:
            return "netpolicyd is ending"
        ended = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"the process that reads it ended too early, {ended}; is there enough memory?"


class _Taking:
    """The parent's end of the pipe."""

    def __init__(self, pipe: int, before: Ruleset | None) -> None:
        self._before = before
        self.loaded: Loaded | None = None
        self.fault = ""
        self._file = os.fdopen(pipe, "rb", 0)
        self._transport: asyncio.BaseTransport | None = None

    async def run(self) -> None:
        """Until the last piece, or until there is no more. The loop goes on between two pieces."""
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        self._transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), self._file)
        unpacking = Unpacking(self._before)
        with undisturbed(), contextlib.suppress(asyncio.IncompleteReadError):
            while length := LENGTH.unpack(await stream.readexactly(LENGTH.size))[0]:
                if length == FAULT:
                    self.fault = (await stream.read()).decode("utf-8", "replace")
                    return
                unpacking.take(await stream.readexactly(length))
                await asyncio.sleep(0)
            await stream.read()  # until it has ended: waiting for it takes no time then
            self.loaded = unpacking.loaded

    def close(self) -> None:
        """Gives the pipe back; may be repeated."""
        if self._transport is not None:
            self._transport.close()
        else:
            self._file.close()


def _be_a_child(pipe: int, pieces: Callable[[], Iterable[bytes]], limit: float) -> None:
    """Never returns. Nothing of the daemon may be used here but memory."""
    status = 1
    try:
        _let_go(pipe, limit)
        for piece in pieces():
            _write(pipe, LENGTH.pack(len(piece)) + piece)
        _write(pipe, LENGTH.pack(0))
        status = 0
    except BrokenPipeError:
        pass  # nobody reads any more
    except MemoryError:
        pass  # no mistake of ours; the parent says what it may be
    except BaseException as fault:  # noqa: BLE001 - whatever it is, the parent has to hear of it
        with contextlib.suppress(OSError):
            _write(pipe, LENGTH.pack(FAULT) + _place_of(fault).encode("utf-8", "replace"))
    finally:
        os._exit(status)  # without anything that the daemon does at its end


def _let_go(pipe: int, limit: float) -> None:
    """Signals are no matter of the loop here; the lock of the state folder and every socket are the parent's."""
    signal.set_wakeup_fd(-1)
    for number in (*HANDLED, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    signal.alarm(int(limit) + 2)  # also when nobody is left to end it
    for name in os.listdir("/proc/self/fd"):
        if int(name) > STANDARD_ERROR and int(name) != pipe:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(int(name))


def _write(pipe: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(pipe, left) :]


def _place_of(fault: BaseException) -> str:
    place = fault.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else ""
    return f"{type(fault).__name__}: {fault}{where}"


def _unusable(path: str, why: str) -> Loaded:
    text = f"the configuration was not read: {why}"
    return Loaded(Ruleset(), (Diagnostic("NP001", ERROR, path, 0, 0, "", text),), fatal=True)
