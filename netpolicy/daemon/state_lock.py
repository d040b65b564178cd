"""One daemon per state folder: two would undo each other's work.

Never breaks the lock of a process that lives, and waits for a second at most. A file in the folder, held by flock(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os

# What a daemon that was killed had just forked holds its lock until it becomes another program.
PATIENCE_SECONDS = 1.0
PAUSE_SECONDS = 0.05


class Held(Exception):
    """Somebody else has it; the text is the path."""


class StateLock:
    """The lock of a state folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.path = os.path.join(folder, "lock")
        self._file = -1

    async def take(self, patience: float = PATIENCE_SECONDS) -> None:
        """Makes the folder too. Raises Held, OSError."""
        os.makedirs(self._folder, mode=0o755, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while not self._is_mine():
            if loop.time() >= until:
                self.give()
                raise Held(self.path)
            await asyncio.sleep(PAUSE_SECONDS)

    def _is_mine(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def give(self) -> None:
        """The next one may have it."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1
