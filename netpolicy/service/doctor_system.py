"""The doctor's hands: files read with a limit, programs run with a limit of time and output.

The only part of it that touches the machine beside netlink. Never writes and never lets a program outlive its time.
Tests put a table of answers in its place.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

from netpolicy.dataplane import namespace

PROGRAM_SECONDS = 5.0
# Everything together; a caller on the bus waits 30 seconds.
ALL_SECONDS = 24.0
MOST_OUTPUT = 8 << 20
MOST_FILE = 256 << 10

MISSING, TOO_LONG, TOO_MUCH, NO_NAMESPACE = 127, 124, 125, 123

PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. Beside its own statuses: MISSING, TOO_LONG, TOO_MUCH, NO_NAMESPACE."""

    status: int
    out: str = ""
    err: str = ""

    @property
    def why(self) -> str:
        """Why it failed, in a few words."""
        words = {MISSING: "it is not installed", TOO_LONG: "it took too long", TOO_MUCH: "it said too much"}
        said = (self.err or self.out).strip().splitlines()
        return words.get(self.status) or (said[0][:200] if said else f"status {self.status}")


@dataclass(frozen=True, slots=True)
class Room:
    """The file system that holds a path."""

    free: int  # bytes for us
    is_writable: bool
    mode: int = 0  # permissions of the path itself, 0 where it is not there yet


class System:
    """This machine, for one examination."""

    def __init__(self, seconds: float = ALL_SECONDS) -> None:
        self._until = time.monotonic() + seconds

    @property
    def is_root(self) -> bool:
        """Whether we may see everything."""
        return os.geteuid() == 0

    @property
    def is_over(self) -> bool:
        """Whether all time is used up."""
        return time.monotonic() >= self._until

    def now(self) -> float:
        """Seconds since the epoch, by the router's clock."""
        return time.time()

    def read(self, path: str, limit: int = MOST_FILE) -> str | None:
        """A file's text up to the limit; None where it is not there or may not be read."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                return (file.read(limit) or b"").decode("utf-8", "replace")
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The number in a file of /proc; None where there is none."""
        words = (self.read(path, 64) or "").split()
        return int(words[0]) if words and words[0].lstrip("-").isdecimal() else None

    def exists(self, path: str) -> bool:
        """Whether there is anything of that name."""
        return os.path.lexists(path)

    def is_program(self, path: str) -> bool:
        """Whether that file can be run."""
        return os.path.isfile(path) and os.access(path, os.X_OK)

    def names(self, folder: str) -> tuple[str, ...]:
        """What is in a folder; nothing where there is none."""
        try:
            return tuple(sorted(os.listdir(folder)))
        except OSError:
            return ()

    def changed_at(self, path: str) -> float:
        """When the file was written last; 0 where there is none."""
        try:
            return os.stat(path).st_mtime
        except OSError:
            return 0.0

    def room(self, path: str) -> Room:
        """What the file system of that path, which need not exist yet, has to offer."""
        there = path
        while not os.path.isdir(there) and there != os.path.dirname(there):
            there = os.path.dirname(there)
        found = os.statvfs(there)
        mode = os.stat(path).st_mode & 0o777 if os.path.isdir(path) else 0
        is_writable = os.access(there, os.W_OK) and not found.f_flag & os.ST_RDONLY
        return Room(found.f_bavail * found.f_frsize, is_writable, mode)

    def find(self, program: str) -> str:
        """Where a program is; "" where it is not."""
        if "/" in program:
            return program if self.is_program(program) else ""
        return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{PLACES}") or ""

    def run(self, *words: str, seconds: float = PROGRAM_SECONDS) -> Ran:
        """Runs a program without input. Never raises for what the program does."""
        program = self.find(words[0])
        if not program:
            return Ran(MISSING)
        try:
            child = subprocess.Popen(
                [program, *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C"}, start_new_session=True, cwd="/",
            )  # fmt: skip
        except OSError as error:
            return Ran(MISSING, "", f"it cannot be started: {error.strerror}")
        return _taken(child, min(self._until, time.monotonic() + seconds))

    def run_apart(self, *words: str) -> Ran:
        """Runs a program in a fresh network namespace that ends with it; what it says is not kept."""
        program = self.find(words[0])
        if not program:
            return Ran(MISSING)
        pid = os.fork()
        if pid == 0:
            _become(program, words)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Ran(TOO_LONG if status == -signal.SIGALRM else status)


def _become(program: str, words: tuple[str, ...]) -> None:
    """Never returns."""
    status = NO_NAMESPACE
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(PROGRAM_SECONDS))  # goes on in the program
        silence = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(silence, number)
        namespace.new()
        status = MISSING
        os.execv(program, list(words))  # noqa: S606 - a program that was found, never a shell
    except (OSError, namespace.NoNamespaces):
        pass
    finally:
        os._exit(status)


def _taken(child: subprocess.Popen[bytes], until: float) -> Ran:
    """What the child says until it ends, is late or says too much; then it and what it started are gone."""
    said: dict[int, bytearray] = {}
    status = 0
    with selectors.DefaultSelector() as pipes:
        for number, pipe in enumerate((child.stdout, child.stderr)):
            assert pipe is not None
            said[number] = bytearray()
            pipes.register(pipe, selectors.EVENT_READ, number)
        while pipes.get_map() and not status:
            ready = pipes.select(max(0.0, until - time.monotonic()))
            if not ready:
                status = TOO_LONG
            for key, _ in ready:
                part = os.read(key.fd, 1 << 16)
                said[key.data] += part
                if not part:
                    pipes.unregister(key.fileobj)
                if len(said[key.data]) > MOST_OUTPUT:
                    status = TOO_MUCH
    status = _ended(child, status, until)
    for pipe in (child.stdout, child.stderr):
        assert pipe is not None
        pipe.close()
    return Ran(status, said[0].decode("utf-8", "replace"), said[1].decode("utf-8", "replace"))


def _ended(child: subprocess.Popen[bytes], status: int, until: float) -> int:
    if not status:
        try:
            return child.wait(max(0.05, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = TOO_LONG
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    return status
