"""Keeps beside a confirmed generation what a boot loads before the daemon is there: STORE/generations/NUMBER/lock.

Never writes what is there already, nor for rules that close nothing; whenever the power fails a boot finds a whole
folder, the new one or the one before. Texts: dataplane/boot_lock.py; who loads them: the guard, `lock`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Mapping

from netpolicy.config.kept_list import HALF
from netpolicy.config.kept_list import NEW as NEW_COPY
from netpolicy.observe import durable

FOLDER = "lock"
OLD = "lock.old"  # what a boot loads where FOLDER is not there: a folder cannot be renamed over another one
NEW = "lock.new"  # half made or half removed: nobody loads it

# A text of a few thousand rules. Flash is small, and a boot should not wait for nft.
LIMIT = 512 << 10

# What lists and names leave free of the flash: room for a generation, its texts and the journal, which must not fail
# for the sake of files that a boot may do without.
SPARE = 512 << 10

# Of one file beside the texts, which have a limit of their own together (dataplane/boot_lock.py).
LONGEST = 1 << 20


class TooLong(Exception):
    """It is not kept: its size in bytes."""


def keep(
    generation: str, texts: Mapping[str, str], further: Mapping[str, bytes] | None = None, others: Iterable[str] = ()
) -> bool:
    """The folder holds these files, or is not there where there are none. Whether it changed. Raises OSError, TooLong.

    Texts that are too long are not there afterwards either: half of the rules would be none. `others`: generations
    whose files may be the same; those are linked, not written. A long list is on the flash once.
    """
    data = {name: text.encode() for name, text in texts.items()}
    folder, earlier, fresh = [os.path.join(generation, name) for name in (FOLDER, OLD, NEW)]
    size = sum([len(one) for one in data.values()])
    is_kept = bool(data) and size <= LIMIT
    data.update(further or {})
    is_new = _read(folder) != (data if is_kept else None)
    if is_new and is_kept:
        _remove(fresh)
        try:
            _write(fresh, data, further or {}, [folder, *[os.path.join(one, FOLDER) for one in others]])
        except OSError:
            _remove(fresh)  # of a full disk it would be the rest
            raise
        if os.path.lexists(folder):
            _remove(earlier)
            os.rename(folder, earlier)
        os.rename(fresh, folder)
        durable.sync_folder(generation)
    elif is_new:
        _put_away(generation, folder)
    _put_away(generation, earlier)  # what a death left, too
    _remove(fresh)
    _say_if_too_long(size)
    return is_new


def copies(folder: str, names: Collection[str]) -> dict[str, bytes]:
    """The copies of these fetched lists that count now, by the names of their files; empty: it has no room.

    No more is read than can be kept of all of them together: a router has little memory for a moment, too.
    """
    sizes = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.partition(".")[0] in names and not name.endswith((HALF, NEW_COPY)):
                with contextlib.suppress(OSError):
                    sizes[name] = os.stat(os.path.join(folder, name)).st_size
    found, room = {}, LONGEST
    for name in sorted(sizes, key=lambda one: (sizes[one], one)):
        room -= sizes[name]
        with contextlib.suppress(OSError):
            found[name] = durable.read_plain(os.path.join(folder, name), LONGEST) if room >= 0 else b""
    return found


def text(generation: str, name: str) -> str:
    """One file of it; "" where it is not there or cannot be read."""
    folder = os.path.join(generation, FOLDER)
    try:
        return "" if os.path.islink(folder) else durable.read_plain(os.path.join(folder, name), LONGEST).decode()
    except (OSError, UnicodeError):
        return ""


def _write(fresh: str, data: Mapping[str, bytes], may_miss: Collection[str], known: list[str]) -> None:
    durable.make_folder(fresh, 0o700)
    for name, content in data.items():
        if not _link(name, content, known, fresh):
            path = os.path.join(fresh, name)
            if name in may_miss and _free(fresh) < len(content) + SPARE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            durable.write_new(path, content)
    durable.sync_folder(fresh)


def _free(folder: str) -> int:
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


def _link(name: str, content: bytes, known: Iterable[str], fresh: str) -> bool:
    """Whether one of these folders has the file already, which is in the fresh one too now."""
    for folder in known:
        path = os.path.join(folder, name)
        try:
            if not os.path.islink(folder) and durable.read_plain(path, LONGEST) == content:
                os.link(path, os.path.join(fresh, name))
                return True
        except OSError:
            continue  # it is not there, or its file system knows no links
    return False


def _put_away(generation: str, folder: str) -> None:
    """It is gone as a whole before it is gone in part."""
    if os.path.lexists(folder):
        _remove(os.path.join(generation, NEW))
        os.rename(folder, os.path.join(generation, NEW))
        durable.sync_folder(generation)


def _say_if_too_long(size: int) -> None:
    if size > LIMIT:
        raise TooLong(f"{size} bytes")


def _read(folder: str) -> dict[str, bytes] | None:
    """What is there; None: nothing; {}: nothing that could be read."""
    if not os.path.lexists(folder):
        return None
    if os.path.islink(folder):
        return {}
    try:
        return {name: durable.read_plain(os.path.join(folder, name), LONGEST) for name in os.listdir(folder)}
    except OSError:
        return {}


def _remove(path: str) -> None:
    """Also what somebody else put there: a file, a link, a folder within."""
    if os.path.islink(path) or not os.path.isdir(path):
        durable.remove(path)
        return
    for name in os.listdir(path):
        _remove(os.path.join(path, name))
    os.rmdir(path)
