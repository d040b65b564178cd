"""A configuration together with the very bytes it was read from: what is applied is what is kept.

Never keeps what it did not read. From the loader and the files it tells (candidate.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from netpolicy.config.loaded import Loaded
from netpolicy.core.model import Ruleset
from netpolicy.service.candidate import Files, gather
from netpolicy.service.loading import Loader

# A file that is written to again and again is not finished.
ATTEMPTS = 4


class Unsettled(Exception):
    """The files changed while they were read, again and again; the text says which."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and its files: the main one first; none where the main one cannot be kept, `loaded` says why."""

    loaded: Loaded
    files: Files

    @property
    def main(self) -> bytes:
        """The content of the main file; empty where there is none."""
        content = next(iter(self.files.values()), b"")
        return content if isinstance(content, bytes) else b""


async def read(
    loader: Loader,
    path: str,
    before: Ruleset | None = None,
    instead: Mapping[str, bytes] | None = None,
    known: Iterable[str] = (),
    fresh: Collection[str] = (),
) -> Reading:
    """The configuration in a file and those that it names; `instead` has the content of files by path.

    `known`: the files of last time; where they still are the files one reading is enough. `fresh`: lists whose new
    copy is tried. Raises Unsettled.
    What is wrong with the content is in `loaded`.
    """
    held = await asyncio.to_thread(_files, [path, *known], instead)
    for _ in range(ATTEMPTS):
        loaded = await loader.load(path, before, instead, fresh)
        now = await asyncio.to_thread(_files, list(loaded.paths) or [path], instead)
        if now == held:
            return Reading(loaded, now)
        held = now
    raise Unsettled(f"{path} or a file that it names changes while it is read: finish writing, then try again")


def _files(paths: list[str], instead: Mapping[str, bytes] | None) -> Files:
    try:
        return gather(paths, instead)
    except OSError:  # loading says what is wrong with it
        return {}
