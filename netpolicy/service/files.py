"""The few files that the service writes: replaced whole, or not at all.

Write to a temporary name, fsync, rename, fsync the directory. Never leaves half a file
under the real name; raises OSError with the path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

CLASSES = "classes.json"
INCLUDE_FOLDER = "fw4"
INCLUDE = "fw4/netpolicy.nft"

LIMIT = 1 << 20  # a state file of ours is far smaller


def replace(path: str, text: str, mode: int = 0o600, suffix: str = ".tmp") -> None:
    """The file holds `text` afterwards; after an OSError it holds what it held before.

    Where several may write one file at once, each needs a `suffix` of its own for the temporary name.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    temporary = path + suffix
    remove(temporary)  # left by a process that was killed
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, mode)  # whatever the umask is
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError as error:
        remove(temporary)
        raise OSError(error.errno, error.strerror, path) from error  # a full disk does not say where
    _sync_folder(folder)


def remove(path: str) -> None:
    """The file is gone afterwards, whether or not it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_classes(folder: str) -> dict[str, int]:
    """The class numbers of the last run; empty when there are none or the file is not ours."""
    try:
        with open(os.path.join(folder, CLASSES), encoding="utf-8") as file:
            found = json.loads(file.read(LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    # One name per number, whatever the file says: two lines of one class would be one line.
    names = {number: str(name) for name, number in found.items() if type(number) is int}
    return {name: number for number, name in names.items()}


def write_classes(folder: str, numbers: Mapping[str, int]) -> None:
    """Remembers the class numbers. Raises OSError."""
    replace(os.path.join(folder, CLASSES), json.dumps(dict(sorted(numbers.items()))) + "\n")
