"""Keeps beside a confirmed generation what a boot loads before the daemon is there: STORE/generations/NUMBER/lock.

Never writes what is there already, nor for rules that close nothing; the folder is whole or it is not there. Texts:
dataplane/boot_lock.py; who loads them: the guard, `lock`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from netpolicy.observe import durable

FOLDER = "lock"
NEW = "lock.new"

# A text of a few thousand rules. Flash is small, and a boot should not wait for nft.
LIMIT = 512 << 10


class TooLong(Exception):
    """It is not kept: its size in bytes."""


def keep(generation: str, texts: Mapping[str, str]) -> bool:
    """The folder holds these files, or is not there where there are none. Whether it changed. Raises OSError, TooLong.

    What is too long is not there afterwards either: half of the rules would be none.
    """
    data = {name: text.encode() for name, text in texts.items()}
    folder, fresh = os.path.join(generation, FOLDER), os.path.join(generation, NEW)
    size = sum([len(one) for one in data.values()])
    is_kept = bool(data) and size <= LIMIT
    if _read(folder) == (data if is_kept else None):
        _say_if_too_long(size)
        return False
    _remove(fresh)
    if is_kept:
        durable.make_folder(fresh, 0o700)
        for name, content in data.items():
            durable.write_new(os.path.join(fresh, name), content)
        durable.sync_folder(fresh)
    _remove(folder)
    if is_kept:
        os.rename(fresh, folder)
    durable.sync_folder(generation)
    _say_if_too_long(size)
    return True


def _say_if_too_long(size: int) -> None:
    if size > LIMIT:
        raise TooLong(f"{size} bytes")


def _read(folder: str) -> dict[str, bytes] | None:
    """What is there; None: nothing, or nothing that could be read."""
    if os.path.islink(folder):
        return {}
    try:
        return {name: durable.read_plain(os.path.join(folder, name), LIMIT) for name in os.listdir(folder)}
    except OSError:
        return None


def _remove(folder: str) -> None:
    if os.path.islink(folder):
        durable.remove(folder)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            durable.remove(os.path.join(folder, name))
        os.rmdir(folder)
