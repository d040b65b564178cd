"""Where the running lab is, so that another terminal finds it.

One small file of the user who started the lab, mode 0600, removed when it ends. Never believed blindly: a number that
was given to another process since is no lab. Start times: field 22 of /proc/PID/stat, proc(5).
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

PLACE = "NETPOLICY_LAB_STATE"
LONGEST = 64


def place() -> Path:
    """The file; NETPOLICY_LAB_STATE names another one."""
    if os.environ.get(PLACE):
        return Path(os.environ[PLACE])
    # Not root's XDG_RUNTIME_DIR: sudo has none, a login of root has one, and both mean the same lab.
    folder = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(folder, f"netpolicy-lab-{os.geteuid()}")


@contextlib.contextmanager
def told(pid: int) -> Iterator[None]:
    """While the block runs, others find the lab by its outermost process. Of several labs the last one is found."""
    text = f"{pid} {_start_time(pid)}\n"
    try:
        _write(place(), text)
    except OSError:  # a lab that cannot be entered is still a lab
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _read(place()) == text:
                place().unlink()


def find() -> int:
    """The outermost process of this user's running lab, 0 when there is none."""
    try:
        pid, begin = (int(word) for word in _read(place()).split())
    except (OSError, ValueError):
        return 0
    return pid if pid > 1 and begin and _start_time(pid) == begin else 0


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and never through a link that somebody else left in a shared folder."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read(path: Path) -> str:
    # Not to wait for ever where somebody put a pipe.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle) as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{path} is not a file of this user")
        return file.read(LONGEST)


def _start_time(pid: int) -> int:
    """When it was started, in ticks since the boot; 0 when it is gone."""
    try:
        # The name in the second field may hold blanks and brackets.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0
