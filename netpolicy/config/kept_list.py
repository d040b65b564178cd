"""The last good copy of a fetched list: our own format behind a head that says where it came from and when.

Written whole or not at all, and read back as any file of a list. Never holds an address with its secrets: only a
digest of it, so that the copy of another address is not taken for this one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from netpolicy.config.packed_text import packed, unpacked
from netpolicy.core.address import V4, V6, format_range
from netpolicy.core.list_content import ListContent

FOLDER = "lists"  # in the state folder, which is memory: flash is not written for what changes by itself
HALF = ".tmp"  # behind that of a copy that is not whole yet
AFTER_BOOT = "after-boot"  # a file beside copies that the guard has put there; no list has such a name
NEW = ".new"  # behind the name of a list: fetched, and not in force yet

MARK = b"# netpolicy list 1 "
LONGEST_HEAD = 4096
LONGEST_TAG = 500  # characters of what a server calls a version
PIECE = 1 << 16


class Head(NamedTuple):
    """`source` is what `source_of` says. `etag` and `modified` are the server's words for this version.

    `fetched`: seconds since 1970 when it came; `digest`: of the bytes that came; the rest are counts.
    """

    source: str
    etag: str = ""
    modified: str = ""
    fetched: int = 0
    digest: str = ""
    format: str = ""
    addresses: int = 0
    names: int = 0
    bad: int = 0
    skipped: int = 0


def source_of(url: str, format: str, categories: tuple[str, ...]) -> str:
    """What a copy belongs to: another address or another way to read it makes another list."""
    return sha256("\n".join((url, format, *categories)).encode("utf-8", "replace")).hexdigest()[:32]


def path_of(folder: str, name: str, source: str, is_new: bool = False) -> str:
    """Where the copy of a list from a source stands. `name` is that of a section: letters, digits and _."""
    return os.path.join(folder, f"{name}.{source[:8]}" + (NEW if is_new else ""))


def head_of(path: str) -> Head | None:
    """What a copy says of itself; None where there is none, or none of ours."""
    try:
        with open(path, "rb") as file:
            line, end, _ = next(unpacked(iter(partial(file.read, LONGEST_HEAD), b"")), b"").partition(b"\n")
    except (OSError, ValueError):
        return None
    return _head(line + end)


def _head(line: bytes) -> Head | None:
    if not line.startswith(MARK) or not line.endswith(b"\n"):
        return None
    try:
        told = json.loads(line[len(MARK) :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("source"), str):
        return None
    usual = Head("")._asdict()
    kept = {name: told[name] for name in usual if type(told.get(name)) is type(usual[name])}
    return Head(**kept)


def text_of(head: Head, content: ListContent) -> Iterator[bytes]:
    """The copy, packed: it stands in memory. Piece by piece."""
    return packed(_lines(head, content))


def _lines(head: Head, content: ListContent) -> Iterator[bytes]:
    shown = {name: value for name, value in head._asdict().items() if value}
    yield MARK + json.dumps(shown).encode("ascii") + b"\n"
    room: list[str] = []
    size = 0
    for entry in _entries(content):
        room.append(entry)
        size += len(entry) + 1
        if size > PIECE:
            yield ("\n".join(room) + "\n").encode("utf-8")
            room, size = [], 0
    if room:
        yield ("\n".join(room) + "\n").encode("utf-8")


def _entries(content: ListContent) -> Iterator[str]:
    for family in (V4, V6):
        for low, high in content.ranges[family]:
            yield format_range(family, low, high)
    yield from content.names.suffix
    for name in content.names.exact:
        yield "=" + name
    for name in content.names.under:
        yield "*." + name
    for pattern in content.names.others:
        yield pattern.text
