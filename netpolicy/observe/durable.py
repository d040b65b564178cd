"""Files that must outlive a power cut: replaced whole, or not at all, and read with a limit.

Write to a temporary name, fsync, rename, fsync the directory. Never leaves half a file under the real name and
never follows a link that stands there; raises OSError with the path.
"""

from __future__ import annotations

import errno
import os
import stat


def replace(path: str, data: bytes, mode: int = 0o600, suffix: str = ".tmp") -> None:
    """The file holds `data` afterwards; after an OSError it holds what it held before.

    Where several may write one file at once, each needs a `suffix` of its own for the temporary name.
    """
    folder = os.path.dirname(path)
    make_folder(folder)
    temporary = path + suffix
    remove(temporary)  # left by a process that was killed
    try:
        write_new(temporary, data, mode)
        os.rename(temporary, path)
    except OSError as error:
        remove(temporary)
        raise OSError(error.errno, error.strerror, path) from error  # a full disk does not say where
    sync_folder(folder)


def write_new(path: str, data: bytes, mode: int = 0o600) -> None:
    """A file that was not there, with its content on the disk. Its name lasts once the folder is synced."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(handle, mode)  # whatever the umask is
        write_all(handle, data)
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """All of it: a write may take a part only."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def read_plain(path: str, limit: int) -> bytes:
    """The content of a plain file of at most `limit` bytes; no link is followed, no FIFO waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", path)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit} bytes", path)
    return data


def remove(path: str) -> None:
    """The file is gone afterwards, whether or not it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def make_folder(path: str, mode: int = 0o755) -> None:
    """The folder is there afterwards, and those above it; what was made outlives a power cut."""
    if not path or os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folder(above)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return  # somebody else made it meanwhile
    sync_folder(above or ".")


def sync_folder(folder: str) -> None:
    """Names that were made, changed or removed in the folder outlive a power cut from now on."""
    handle = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from error
    finally:
        os.close(handle)
