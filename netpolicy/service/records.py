"""The two files that keep what is in force true beyond this process: the firewall's include, the class numbers.

Written before the kernel changes, so that a full disk stops us before and not after. Never
read while nothing changed: a look at size and time of change is enough. Places: docs/operations.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from netpolicy.service import files

Stamp = tuple[int, int, int]  # inode, size, time of change in ns


class Records:
    """The files in one state folder. Every method may raise OSError."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._include = os.path.join(folder, files.INCLUDE)
        self._stamp: Stamp | None = None
        self._digest = b""  # of the include's text, which is megabytes with many rules
        self._classes: dict[str, int] | None = None

    def classes(self) -> dict[str, int]:
        """The class numbers of the last run."""
        return files.read_classes(self._folder)

    def remember(self, text: str, classes: Mapping[str, int]) -> None:
        """Both files say this afterwards; nothing is written where they do already."""
        if self._classes != dict(classes):
            files.write_classes(self._folder, classes)
            self._classes = dict(classes)
        if _digest(text) != self._digest or not self.is_true:
            self._write(text)

    def go_back(self) -> str:
        """The include's text as it is now, for `restore` should the kernel refuse; "" where it is not ours."""
        if not self.is_true:
            return ""
        with open(self._include, encoding="utf-8", newline="") as file:
            return file.read()

    def restore(self, text: str) -> None:
        """The kernel refused: a firewall restart must load what is still in force."""
        if text:
            self._write(text)
        else:
            self.withdraw()

    @property
    def is_true(self) -> bool:
        """Whether the include is still the file that was written last."""
        return self._stamp is not None and _stamp(self._include) == self._stamp

    def withdraw(self) -> None:
        """A firewall restart must not load again what was removed."""
        files.remove(self._include)
        self._stamp, self._digest = None, b""

    def forget_classes(self) -> None:
        """No connection carries a class any more."""
        files.remove(os.path.join(self._folder, files.CLASSES))
        self._classes = None

    def _write(self, text: str) -> None:
        files.replace(self._include, text, 0o644)
        self._stamp, self._digest = _stamp(self._include), _digest(text)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
