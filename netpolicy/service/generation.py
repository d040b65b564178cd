"""One confirmed state of the configuration as a folder: its files, and meta.json that says whose they are.

Writes a folder that is complete before it is found, and reads one with doubt: every file is held against its digest,
meta.json against its own. Never decides which generation counts; that is generations.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from netpolicy.observe import durable
from netpolicy.service.candidate import ABSENT, MAIN_LIMIT, Content, Digest, digest_of

try:
    import zlib
except ImportError:  # a Python built without it
    zlib = None  # type: ignore[assignment]

META = "meta.json"
HEALTHY = "healthy"
CONFIG = "config"  # what the main file is kept as, always plain: the guard's shell puts it back

MOST_FILES = 256
META_LIMIT = 256 << 10
LONGEST_PATH = 4096

# Compressed only from here on: shorter ones stay readable with `cat`, and flash is mostly compressed by itself.
PLAIN_UP_TO = 64 << 10
WORTH_IT = 0.75
GZIP = 31  # zlib's word for the form that gzip -d reads

PLAIN, COMPRESSED, DIGEST = "plain", "gzip", "digest"


class Damaged(Exception):
    """A generation that cannot be used: its number and why."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"generation {number} is damaged: {why}")
        self.number = number
        self.why = why


@dataclass(frozen=True, slots=True)
class Generation:
    """The files by path, the main one first. `meta`: time, boot id, who, why, plan hash, cause, as they were given."""

    number: int
    files: Mapping[str, Content]
    meta: Mapping[str, object]
    parent: int = 0  # what was confirmed before it, 0: nothing
    is_healthy: bool = False

    @property
    def main(self) -> str:
        """The path of the main file."""
        return next(iter(self.files))

    @property
    def config(self) -> bytes:
        """The main file."""
        content = self.files[self.main]
        assert isinstance(content, bytes)
        return content

    @property
    def not_kept(self) -> tuple[str, ...]:
        """Files of which only the digest is known: to go back to this generation they must still be the same."""
        return tuple([path for path, content in self.files.items() if isinstance(content, Digest)])


def write(folder: str, generation: Generation) -> None:
    """The folder, which was not there, has all of it afterwards, on the disk. Raises OSError, ValueError."""
    if not 0 < len(generation.files) <= MOST_FILES or not isinstance(generation.files[generation.main], bytes):
        raise ValueError("a generation has a main file, which is kept, and a bounded number of others")
    os.mkdir(folder, 0o700)
    rows: list[dict[str, object]] = []
    for place, (path, content) in enumerate(generation.files.items()):
        rows.append({"path": path, **_write_file(folder, f"file-{place:03d}" if place else CONFIG, content)})
    said = {
        "number": generation.number, "parent": generation.parent, "files": rows, "meta": dict(generation.meta),
    }  # fmt: skip
    sealed = _sealed(said)
    if len(sealed) > META_LIMIT:
        raise ValueError("what is said of the generation is too long")
    durable.write_new(os.path.join(folder, META), sealed)
    durable.sync_folder(folder)


def read(folder: str, number: int) -> Generation:
    """The generation in a folder. Raises Damaged."""
    try:
        return _read(folder, number)
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(number, _words(error, folder)) from error


def size_of(folder: str) -> int:
    """What the folder takes on the disk, about, in bytes."""
    found = 0
    for entry in os.scandir(folder):
        found += size_of(entry.path) if entry.is_dir(follow_symlinks=False) else _share_of(entry)
        found = -(-found // 4096) * 4096
    return found + 4096


def _share_of(file: os.DirEntry[str]) -> int:
    """What generations have in common is on the disk once; what was renamed since the folder was listed, not at all."""
    try:
        told = file.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return told.st_size // max(told.st_nlink, 1)


def _write_file(folder: str, name: str, content: Content) -> dict[str, object]:
    digest = digest_of(content)
    said: dict[str, object] = {"sha256": digest.sha256, "size": digest.size, "form": DIGEST}
    if isinstance(content, Digest):
        return said
    if len(content) > MAIN_LIMIT:
        raise ValueError("the file is too long to be kept")
    shorter = None if name == CONFIG else _compressed(content)
    if shorter is not None:
        name += ".gz"
    durable.write_new(os.path.join(folder, name), content if shorter is None else shorter)
    return {**said, "form": PLAIN if shorter is None else COMPRESSED, "name": name}


def _compressed(data: bytes) -> bytes | None:
    if zlib is None or len(data) <= PLAIN_UP_TO:
        return None
    making = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    found = making.compress(data) + making.flush()
    return found if len(found) <= len(data) * WORTH_IT else None


def _sealed(said: Mapping[str, object]) -> bytes:
    body = json.dumps(said, sort_keys=True, allow_nan=False)
    return json.dumps({**said, "sha256": sha256(body.encode()).hexdigest()}, indent=1, allow_nan=False).encode() + b"\n"


def _read(folder: str, number: int) -> Generation:
    said = _unsealed(durable.read_plain(os.path.join(folder, META), META_LIMIT))
    rows, parent, meta = said.get("files"), said.get("parent"), said.get("meta")
    _demand(said.get("number") == number and type(parent) is int and isinstance(meta, dict), "it is of another one")
    _demand(isinstance(rows, list) and 0 < len(rows) <= MOST_FILES, "it names no files, or too many")
    assert isinstance(rows, list)
    assert isinstance(meta, dict)
    assert isinstance(parent, int)
    files = dict([_read_file(folder, row) for row in rows])
    _demand(len(files) == len(rows) and isinstance(next(iter(files.values())), bytes), "a file twice, or no main file")
    return Generation(number, files, meta, parent, os.path.exists(os.path.join(folder, HEALTHY)))


def _unsealed(data: bytes) -> dict[str, object]:
    said = json.loads(data.decode("ascii"))
    _demand(isinstance(said, dict), "meta.json is not an object")
    told = said.pop("sha256", None)
    body = json.dumps(said, sort_keys=True)
    _demand(told == sha256(body.encode()).hexdigest(), "meta.json was changed: its digest is that of another content")
    found: dict[str, object] = said
    return found


def _read_file(folder: str, row: object) -> tuple[str, Content]:
    _demand(isinstance(row, dict), "a file that is no object")
    assert isinstance(row, dict)
    path, size, digest, form = row.get("path"), row.get("size"), row.get("sha256"), row.get("form")
    _demand(isinstance(path, str) and 0 < len(path) <= LONGEST_PATH and "\0" not in path, "a file without a path")
    _demand(type(size) is int and size >= 0 and isinstance(digest, str), "a file without size and digest")
    assert isinstance(path, str)
    assert isinstance(size, int)
    assert isinstance(digest, str)
    if form == DIGEST:
        return path, Digest(digest, size) if digest else ABSENT
    _demand(form in (PLAIN, COMPRESSED) and size <= MAIN_LIMIT, "a file of unknown form")
    name = row.get("name")
    _demand(isinstance(name, str) and name.replace(".", "").replace("-", "").isalnum(), "a file without a name")
    data = durable.read_plain(os.path.join(folder, str(name)), size + 1024)
    if form == COMPRESSED:
        data = _expanded(data, size)
    _demand(digest_of(data) == Digest(digest, size), f"{name} was changed: its digest is that of another content")
    return path, data


def _expanded(data: bytes, size: int) -> bytes:
    _demand(zlib is not None, "it is compressed, and this Python has no zlib")
    making = zlib.decompressobj(GZIP)
    try:
        found = making.decompress(data, size + 1)  # never more, whatever the file promises
    except zlib.error as error:
        raise ValueError("a compressed file is damaged") from error
    _demand(making.eof and not making.unused_data, "a compressed file is damaged")
    return found


def _demand(is_so: bool, why: str) -> None:
    if not is_so:
        raise ValueError(why)


def _words(error: Exception, folder: str) -> str:
    if isinstance(error, OSError):
        name = os.path.relpath(str(error.filename), folder) if error.filename else META
        return f"{name}: {error.strerror}"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return f"{META} is not what was written"
    return str(error)
