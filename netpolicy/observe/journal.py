"""The audit: who changed what, when, why and how it ended, as JSON lines that are only ever added (see chain.py).

Never stops a change: a journal that is damaged is told of, put aside and begun anew, and the first line says so.
Never holds a secret: what is appended is redacted first. Two small files in the store: the lines, and a note of the
last one, without which lines missing at the end would not show. One process writes, any may read.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from netpolicy.observe import chain, durable
from netpolicy.observe.chain import ANCHOR, BEGIN, JOURNAL, BadLine, Chain
from netpolicy.observe.redact import redacted

LINES = "history.jsonl"
NOTE = "history.head"  # "NUMBER HASH\n" of the last line
ASIDE = "history.damaged."

LIMIT = 256 << 10  # bytes on flash; at about 1 kB a change some 200 changes
MOST_ASIDE = 2  # damaged journals that are kept
LONGEST_NOTE = 100
MOST_READ = 1000  # entries in one answer
BLOCK = 16 << 10
TRIES = 5  # of a reader whom a writer outruns

RESERVED = ("number", "previous", "hash")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying found. `line` counts from 1 in the file, 0 where the fault is not a line there."""

    is_fine: bool
    lines: int
    number: int  # of the last good line
    hash: str  # of that line: note it elsewhere, and give it to a later `verify`
    line: int = 0
    why: str = ""

    def as_dict(self) -> dict[str, object]:
        """For doors."""
        return {
            "fine": self.is_fine, "lines": self.lines, "number": self.number, "hash": self.hash,
            "line": self.line, "why": self.why,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Standing:
    """The files as they were seen: what is good of the lines, what is noted, what is wrong with both together."""

    data: bytes
    chain: Chain
    noted: tuple[int, str] | None
    torn: int = 0  # bytes of a last line that was not written to its end
    why: str = ""
    at: int = 0
    is_damaged: bool = False  # the lines themselves, not only the note of the last one

    @property
    def is_behind(self) -> bool:
        """Whether the note is not that of the last line, as after a power cut between the two."""
        return self.noted != (self.chain.number, self.chain.hash) and self.chain.count > 0


class Journal:
    """The journal in a folder. `warn` gets a sentence when it was damaged; `clock` gives seconds since the epoch."""

    def __init__(
        self,
        folder: str,
        warn: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.time,
        limit: int = LIMIT,
    ) -> None:
        self._path = os.path.join(folder, LINES)
        self._note_path = os.path.join(folder, NOTE)
        self._folder = folder
        self._warn = warn
        self._clock = clock
        self._limit = limit
        self._longest = min(chain.LONGEST_LINE, limit // 8)
        self._one_at_a_time = threading.Lock()  # callers have workers
        self._known: tuple[int, ...] | None = None  # the file as we left it
        self._last = (0, BEGIN)
        self._size = 0

    def append(self, entry: Mapping[str, object]) -> int:
        """The number of the line that says it, which is on the disk then. Raises OSError: nothing was added."""
        with self._one_at_a_time:
            self._get_ready()
            line = self._line(entry)
            if self._size + len(line) > self._limit and self._size:
                self._drop_oldest()
                line = self._line(entry)
            self._add(line)
            return self._last[0]

    def read(self, limit: int = 50, offset: int = 0) -> list[dict[str, object]]:
        """The newest entries, newest first, behind `offset` newer ones. Raises OSError.

        A line that is not in order by itself is there as {"line": text, "problem": why}: `verify` says more.
        """
        found: list[dict[str, object]] = []
        for place, raw in enumerate(_backwards(self._path)):
            if place >= offset + min(limit, MOST_READ):
                break
            if place >= offset:
                found.append(_shown(raw))
        return found

    def verify(self, number: int = 0, digest: str = "") -> Verdict:
        """Whether all lines are those that were written, and none is missing. Raises OSError.

        With a number and a hash that were noted earlier elsewhere, also whether the line is still the same.
        """
        standing = self._look()
        for _ in range(TRIES):  # somebody may be writing just now
            again = self._look()
            if (again.data, again.noted) == (standing.data, standing.noted):
                break
            standing = again
        good = standing.chain
        if standing.torn:
            why = "the last line was not written to its end: a power cut, or somebody cut it"
            return Verdict(False, good.count, good.number, good.hash, good.count + 1, why)
        why = standing.why or (_unwitnessed(standing.data, number, digest) if number else "")
        return Verdict(not why, good.count, good.number, good.hash, standing.at, why)

    # -- looking ---------------------------------------------------------------------------

    def _look(self) -> _Standing:
        noted = self._noted()
        try:
            data = durable.read_plain(self._path, 2 * self._limit)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            why = f"{self._path} cannot be read: {error.strerror}"
            return _Standing(b"", Chain(), noted, why=why, is_damaged=True)
        return _judged(data, noted)

    def _noted(self) -> tuple[int, str] | None:
        try:
            text = durable.read_plain(self._note_path, LONGEST_NOTE).decode("ascii")
        except (OSError, ValueError):
            return None
        number, _, digest = text.removesuffix("\n").partition(" ")
        is_ours = number.isdecimal() and len(number) < 10 and chain.is_hash(digest) and text.endswith("\n")
        return (int(number), digest) if is_ours else None

    # -- writing ---------------------------------------------------------------------------

    def _get_ready(self) -> None:
        """The files are in order afterwards, whatever happened to them."""
        if self._known is not None and self._known == _identity(self._path):
            return
        self._known = None
        standing = self._look()
        good = standing.chain
        self._last, self._size = (good.number, good.hash), good.size
        if standing.torn:
            cut = standing.data[good.size :]
            self._repair(standing.data[: good.size], "cut", f"the last {len(cut)} bytes were no whole line", cut)
        elif standing.is_damaged:
            self._begin_anew(standing)
        elif standing.why:  # the lines are good; what is noted of them is not
            self._repair(standing.data, "note", standing.why)
        elif standing.is_behind:
            self._take_note()
        self._known = _identity(self._path)

    def _line(self, entry: Mapping[str, object]) -> bytes:
        clean = redacted(dict(entry))
        assert isinstance(clean, dict)
        if clean.get("kind") in (ANCHOR, JOURNAL):
            raise ValueError("such lines are the journal's own")
        said = {"time": round(self._clock(), 3), **{k: v for k, v in clean.items() if k not in RESERVED}}
        return self._fitting(said)

    def _fitting(self, said: dict[str, object]) -> bytes:
        """The line; of an entry that is too long the longest parts are left out, and named."""
        left_out: list[str] = []
        while True:
            line = chain.render(self._last[0] + 1, self._last[1], said)
            if len(line) <= self._longest or not said:
                return line
            longest = max(said, key=lambda name: len(chain.render(1, BEGIN, {name: said[name]})))
            if longest == "left_out":
                return chain.render(self._last[0] + 1, self._last[1], {"left_out": "everything"})
            del said[longest]
            left_out.append(longest)
            said["left_out"] = left_out

    def _add(self, line: bytes) -> None:
        before = self._last
        try:
            self._write(line)
            self._last = chain.parse(line[:-1]).number, chain.parse(line[:-1]).hash
            self._take_note()
        except OSError as error:
            self._known, self._last = None, before
            with contextlib.suppress(OSError):  # else the next one finds a torn line
                os.truncate(self._path, self._size)
            raise OSError(error.errno, error.strerror, self._path) from error
        self._size += len(line)
        self._known = _identity(self._path)

    def _write(self, line: bytes) -> None:
        if not self._size:
            durable.replace(self._path, line)
            return
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            durable.write_all(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _take_note(self) -> None:
        durable.replace(self._note_path, f"{self._last[0]} {self._last[1]}\n".encode())

    def _rewrite(self, kept: bytes, entry: dict[str, object]) -> None:
        """All in one step: what is kept, and the line that says what happened."""
        said = {"kind": JOURNAL, "time": round(self._clock(), 3), **entry}
        line = chain.render(self._last[0] + 1, self._last[1], said)
        durable.replace(self._path, kept + line)
        self._last = self._last[0] + 1, chain.parse(line[:-1]).hash
        self._size = len(kept) + len(line)
        self._take_note()

    def _repair(self, kept: bytes, event: str, text: str, cut: bytes = b"") -> None:
        self._warn(f"the journal was repaired: {text}")
        digest = {"sha256": chain.digest_of(cut)} if cut else {}
        self._rewrite(kept, {"event": event, "text": text, **digest})

    def _begin_anew(self, standing: _Standing) -> None:
        noted = standing.noted[0] if standing.noted else 0
        number = max(standing.chain.number, noted)
        number = number if number < chain.MOST // 2 else 0
        aside = self._put_aside(number + 1)
        where = f"; what was there is {aside}" if aside else ""
        self._warn(f"the journal is damaged and begins anew{where}: {standing.why}")
        digest = {"sha256": chain.digest_of(standing.data)} if standing.data else {}
        self._last = (number, BEGIN)
        self._rewrite(b"", {"event": "begin", "text": standing.why, "aside": aside, **digest})
        self._forget_aside()

    def _put_aside(self, number: int) -> str:
        """The name of what the damaged file is kept as; "" where there is none."""
        name = f"{ASIDE}{number:06d}"
        path = os.path.join(self._folder, name)
        here = _identity(self._path)
        if here is None:
            return ""
        while (there := _identity(path)) is not None and there != here:  # equal: a power cut right after the link
            name, path = name + "-", path + "-"
        try:
            os.link(self._path, path, follow_symlinks=False)
        except OSError:  # a folder, a file system without links, or it is linked already
            os.rename(self._path, path)
        durable.sync_folder(self._folder)
        return name

    def _forget_aside(self) -> None:
        for name in sorted([one for one in os.listdir(self._folder) if one.startswith(ASIDE)])[:-MOST_ASIDE]:
            with contextlib.suppress(OSError):  # a folder that somebody put there stays
                os.unlink(os.path.join(self._folder, name))

    def _drop_oldest(self) -> None:
        """The older half goes; an anchor stands for it, and a line of the chain says so."""
        data = durable.read_plain(self._path, 2 * self._limit)
        lines = data.splitlines(keepends=True)
        first = len(lines) - 1
        kept = len(lines[first])
        while first > 1 and kept + len(lines[first - 1]) <= self._limit // 2:
            first -= 1
            kept += len(lines[first])
        gone = b"".join(lines[:first])
        last = chain.follow([one[:-1] for one in lines[:first]])
        digest = chain.digest_of(gone)
        said = {"kind": ANCHOR, "lines": first, "bytes": len(gone), "sha256": digest}
        anchor = chain.render(last.number, last.hash, said)
        told = {"anchor": chain.parse(anchor[:-1]).hash, "through": last.number, "sha256": digest}
        self._known = None
        self._rewrite(anchor + b"".join(lines[first:]), {"event": "dropped", **told})


def _judged(data: bytes, noted: tuple[int, str] | None) -> _Standing:
    """What the bytes of the two files say together."""
    whole, ends, rest = data.rpartition(b"\n")
    lines = whole.split(b"\n") if ends else []
    if not rest and len(lines) > 1 and not chain.is_whole(lines[-1]) and _is_noted(lines[-2], noted):
        rest = lines.pop() + b"\n"  # of a line on two pages the second one may be on the disk alone
    found = chain.follow(lines)
    if found.fault or found.number >= chain.MOST // 2:
        fault = found.fault or "its number was made up"
        return _Standing(data, found, noted, why=f"line {found.at}: {fault}", at=found.at, is_damaged=True)
    why, is_damaged = _unnoted(lines, found, noted)
    if rest and not is_damaged and len(rest) <= chain.LONGEST_LINE:
        return _Standing(data, found, noted, torn=len(rest))
    if rest and not is_damaged:
        why, is_damaged = "what stands at the end is no line of a journal", True
    return _Standing(data, found, noted, why=why, at=found.count + 1 if is_damaged else 0, is_damaged=is_damaged)


def _is_noted(raw: bytes, noted: tuple[int, str] | None) -> bool:
    return noted is not None and chain.is_whole(raw) and chain.parse(raw).hash == noted[1]


def _unnoted(lines: list[bytes], found: Chain, noted: tuple[int, str] | None) -> tuple[str, bool]:
    """Where lines and note do not agree, in words; and whether lines are missing or other ones."""
    if noted is None:
        why = f"{NOTE} is missing or unreadable: whether lines at the end are gone cannot be told"
        return (why if found.count > 1 else ""), False
    if noted[0] > found.number:
        return f"{noted[0] - found.number} line(s) at the end are missing, up to number {noted[0]}", True
    if found.count == 1 and noted[0] < found.number and chain.parse(lines[0]).is_about("begin"):
        return "", False  # a power cut between that line and its note
    if _hash_at(lines, noted[0]) != noted[1]:
        return f"number {noted[0]} was replaced: it is not the line that was noted", True
    if found.number - noted[0] > 1:  # one: a power cut between the line and its note
        why = f"the lines after number {noted[0]} are not noted: somebody added them, or put back an old {NOTE}"
        return why, False
    return "", False


def _hash_at(lines: list[bytes], number: int) -> str:
    """The hash of the line of that number, which is near the end; or ""."""
    for raw in reversed(lines):
        with contextlib.suppress(BadLine):
            line = chain.parse(raw)
            if line.number == number:
                return line.previous if line.entry.get("kind") == ANCHOR else line.hash
    return ""


def _unwitnessed(data: bytes, number: int, digest: str) -> str:
    found = _hash_at(data.split(b"\n"), number)
    if not found:
        return f"number {number} is not there (any more)"
    return "" if found == digest else f"number {number} has another hash than was noted elsewhere: it was rewritten"


def _identity(path: str) -> tuple[int, ...] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _shown(raw: bytes) -> dict[str, object]:
    try:
        return chain.parse(raw).as_dict()
    except BadLine as bad:
        return {"line": raw[:80].decode("ascii", "replace"), "problem": str(bad)}


def _backwards(path: str) -> Iterator[bytes]:
    """The lines of a file from its end, read block by block; of one that is far too long only its end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(handle, "rb") as file:
        place = file.seek(0, os.SEEK_END)
        rest = b""
        while place:
            start = max(0, place - BLOCK)
            file.seek(start)
            lines = (file.read(place - start) + rest).split(b"\n")
            place = start
            rest = lines[0]
            yield from [line for line in reversed(lines[1:]) if line]
            if len(rest) > chain.LONGEST_LINE:
                break  # no line of ours, and nobody knows how long
        if rest:
            yield rest
