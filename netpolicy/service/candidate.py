"""What is to be applied, as bytes: the files of a configuration, and one hash over them and what they would replace.

Only looks; never judges what the files say. A file that is too long to keep is there as its digest, one that is not
there as such, so that nothing that changed meanwhile goes unnoticed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

MAIN_LIMIT = 8 << 20  # twice what the reader of configurations takes
KEPT_EACH = 256 << 10  # of further files: flash is small, and long lists come from elsewhere
KEPT_TOGETHER = 1 << 20
READ_LIMIT = 64 << 20  # what is looked at for a digest
BLOCK = 64 << 10

SHORTEST_WORD = 8  # characters of a hash that name it


@dataclass(frozen=True, slots=True)
class Digest:
    """A file that is not kept: its SHA-256 and its size in bytes. Without a hash: it was not there."""

    sha256: str = ""
    size: int = 0


Content = bytes | Digest
Files = Mapping[str, Content]  # by path; the main file first

ABSENT = Digest()


def gather(
    paths: Iterable[str],
    instead: Mapping[str, bytes] | None = None,
    each: int = KEPT_EACH,
    together: int = KEPT_TOGETHER,
) -> dict[str, Content]:
    """The files as they are now, the first one whole, or as `instead` has them. Raises OSError with the path.

    Of the others those are whole that have at most `each` bytes, as long as they have no more than `together`.
    """
    found: dict[str, Content] = {}
    left = together
    for path in dict.fromkeys(paths):
        most = min(each, left) if found else MAIN_LIMIT
        given = instead.get(path) if instead else None
        content = _read(path, most) if given is None else _shortened(given, most)
        if not found and isinstance(content, Digest):
            number = errno.EFBIG if content.sha256 else errno.ENOENT
            raise OSError(number, os.strerror(number), path)
        left -= len(content) if found and isinstance(content, bytes) else 0
        found[path] = content
    return found


def digest_of(content: Content) -> Digest:
    """The digest of a file, whether it is kept or not."""
    return Digest(sha256(content).hexdigest(), len(content)) if isinstance(content, bytes) else content


def plan_hash(files: Files, kernel: bytes, confirmed: int) -> str:
    """64 hexadecimal digits that are others when anything is: a file, the kernel's state, what was confirmed last.

    `kernel`: bytes that stand for the present state of what is ours there; `confirmed`: the current generation.
    """
    found = sha256(b"netpolicy plan 1\n")
    for path, content in sorted(files.items()):
        digest = digest_of(content)
        _add(found, path.encode("utf-8", "surrogateescape"))
        _add(found, f"{digest.sha256} {digest.size}".encode())
    _add(found, kernel)
    _add(found, str(confirmed).encode())
    return found.hexdigest()


def is_that_plan(word: str, hash: str) -> bool:
    """Whether somebody's word for a plan (its hash, or the beginning of it) means this one."""
    word = word.strip().lower()
    return len(word) >= SHORTEST_WORD and hash.startswith(word)


def _add(found: object, part: bytes) -> None:
    # With its length, so that nothing can move from one part to the next.
    found.update(len(part).to_bytes(8, "big") + part)  # type: ignore[attr-defined]


def _shortened(data: bytes, most: int) -> Content:
    return data if len(data) <= most else digest_of(data)


def _read(path: str, most: int) -> Content:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ABSENT
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", path)
        data = file.read(most + 1)
        if len(data) <= most:
            return data
        found, size = sha256(data), len(data)
        while piece := file.read(BLOCK):
            found.update(piece)
            size += len(piece)
            if size > READ_LIMIT:
                raise OSError(errno.EFBIG, f"longer than {READ_LIMIT >> 20} MiB", path)
    return Digest(found.hexdigest(), size)
