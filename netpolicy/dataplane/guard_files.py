"""Files of a pending change: written whole and for good, linked once, read with a limit, removed in a safe order.

Never decides what they say. Write to a temporary name, fsync, rename, fsync the folder; OSError names the path.
"""

from __future__ import annotations

import contextlib
import os

# pathlib would be half a megabyte of the resting daemon.
Path = str | os.PathLike[str]

LIMIT = 64 << 10  # records, verdicts and the like are far smaller


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """The file holds this afterwards, also after a power cut; after an OSError what it held before."""
    temporary = _beside(path, "new")
    try:
        _write_new(temporary, content, mode)
        os.rename(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk does not say where
    sync_folder(os.path.dirname(path))


def link_once(path: Path, content: bytes) -> bool:
    """Whether this call made the file: of many who try at once one does, and it holds all of its content. OSError."""
    temporary = _beside(path, f"{os.getpid()}.{id(content):x}")
    try:
        _write_new(temporary, content, 0o600)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    sync_folder(os.path.dirname(path))
    return True


def read_line(path: Path) -> str:
    """The first line, "" where there is none."""
    text = read(path)
    return (text or b"").decode("utf-8", "replace").partition("\n")[0]


def read_text(path: Path) -> str:
    """All of a file of the system or of ours. Raises OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def read(path: Path, limit: int = LIMIT) -> bytes | None:
    """The content up to the limit, None without a file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(limit)


def make_folder(path: Path) -> None:
    """A folder for us alone, and everything above it. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    os.chmod(path, 0o700)


def remove_pending(folder: Path) -> None:
    """First the record, by which others know that a change is pending; then what it spoke of. Raises OSError."""
    import shutil  # after a change alone

    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, "record"))
        sync_folder(folder)
    aside = f"{os.fspath(folder)}.gone"
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(aside)  # left by a process that was killed
    # A guard that is not done yet still writes by the old name: whatever it writes, this ends.
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, aside)
        shutil.rmtree(aside)
        sync_folder(os.path.dirname(folder))


def sync_folder(folder: Path) -> None:
    """What was renamed, linked or removed there stays so."""
    handle = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path, end: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{end}")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # left by a process that was killed
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(handle)
