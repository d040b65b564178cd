"""A configuration together with the very bytes it was read from: what is applied is what is kept.

Never keeps what it did not read, never reads what is not a plain file. From the loader and the files it tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from netpolicy.config.assemble import Loaded
from netpolicy.config.text_file import MAX_BYTES
from netpolicy.core.model import Ruleset
from netpolicy.service.loading import Loader

# A file that is written to again and again is not finished.
ATTEMPTS = 4

# All of them together, in a generation and in memory meanwhile. Lists beyond it are not kept, only read.
MOST_KEPT = 1 << 20


class Unsettled(Exception):
    """The files changed while they were read, again and again; the text says which."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was read. `files`: content by path, the main file first; of those that are too large only the path, in
    `left_out`: they are read from disk whenever they are needed."""

    loaded: Loaded
    files: Mapping[str, bytes]
    left_out: tuple[str, ...] = ()

    @property
    def main(self) -> bytes:
        """The content of the main file; empty where there is none."""
        return next(iter(self.files.values()), b"")


async def read(
    loader: Loader, path: str, before: Ruleset | None = None, instead: Mapping[str, bytes] | None = None
) -> Candidate:
    """The configuration in a file and those that it names; `instead` has the content of files by path.

    Raises Unsettled. What is wrong with the content is in `loaded`.
    """
    given = dict(instead or {})
    known = [path]
    held = await asyncio.to_thread(_read_all, known, given)
    for _ in range(ATTEMPTS):
        loaded = await loader.load(path, before, given or None)
        known = list(loaded.paths) or [path]
        now = await asyncio.to_thread(_read_all, known, given)
        if now == held:
            left_out = tuple(name for name, content in now.items() if content is None)
            return Candidate(loaded, {name: data for name, data in now.items() if data is not None}, left_out)
        held = now
    raise Unsettled(f"{path} or a file that it names changes while it is read: finish writing, then try again")


def _read_all(paths: list[str], given: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """None for what is larger than there is room for. A file that cannot be read is absent: loading says so."""
    found: dict[str, bytes | None] = {}
    room = MOST_KEPT
    for place, path in enumerate(paths):
        data = given.get(path)
        if data is None:
            # The main file is kept whatever its size: without it there is no way back.
            data, is_there = _read_one(path, MAX_BYTES if place == 0 else room)
            if not is_there:
                continue
        found[path] = data
        room -= len(data or b"") if place else 0
    return found


def _read_one(path: str, limit: int) -> tuple[bytes | None, bool]:
    """The content, None where it is too large; and whether there is such a file. Links are followed, as by loading."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a NUL byte in the path
        if stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO would wait for ever
            with open(path, "rb") as file:
                data = file.read(limit + 1)
            return (data if len(data) <= limit else None), True
    return None, False
