"""The few files that the service writes: replaced whole, or not at all.

Write to a temporary name, fsync, rename, fsync the directory. Never leaves half a file
under the real name; raises OSError with the path.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping

from netpolicy.observe import durable

CLASSES = "classes.json"
INCLUDE_FOLDER = "fw4"
INCLUDE = "fw4/netpolicy.nft"

REJECTED = "rejected"
OLDER = ("", ".1", ".2", ".3")

LIMIT = 1 << 20  # a state file of ours is far smaller


def replace(path: str, text: str | bytes, mode: int = 0o600, suffix: str = ".tmp") -> None:
    """The file holds `text` afterwards; after an OSError it holds what it held before.

    Where several may write one file at once, each needs a `suffix` of its own for the temporary name.
    """
    durable.replace(path, text.encode() if isinstance(text, str) else text, mode, suffix)


def mode_of(path: str, usual: int = 0o600) -> int:
    """The permissions of the file that is there, for what takes its place."""
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        return usual


def put(path: str, content: bytes, aside: str, known: bytes | None = None) -> bool:
    """The file holds that content; what it held is kept as `aside`, unless it is that or `known`. Raises OSError.

    Returns whether something was kept.
    """
    try:
        with open(path, "rb") as file:
            now = file.read()
    except FileNotFoundError:
        now = None
    if now == content:
        return False
    is_kept = now is not None and now != known
    if now is not None and is_kept:
        keep(now, aside)
    replace(path, content, mode_of(path))
    return is_kept


def aside(store: str, path: str, config: str) -> str:
    """Where in the store what stood in a file is kept; the guard has the same name for the configuration."""
    return os.path.join(store, REJECTED if path == config else f"{REJECTED}-{os.path.basename(path)}")


def keep(content: bytes, name: str) -> None:
    """The content is in that file, and what was in it in one of some older ones. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        with open(name, "rb") as file:
            if file.read() == content:
                return
        for newer, older in zip(OLDER[-2::-1], OLDER[:0:-1], strict=True):
            with contextlib.suppress(FileNotFoundError):
                os.rename(name + newer, name + older)
    replace(name, content)


def remove(path: str) -> None:
    """The file is gone afterwards, whether or not it was there."""
    durable.remove(path)


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
