"""Lines that prove their order: each carries its number, the hash of the line before it and its own.

Pure: bytes in, bytes or a fault out; knows no file. A hash is the SHA-256 of the line as it stands, without the hash
itself. There is no key in it: whoever may write the file can write it anew from the first changed line on. That shows
only to somebody who noted a later hash elsewhere (`Witness`), so tell hashes to a log that is not on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn

BEGIN = "0" * 64  # what a first line has for the hash of the line before it
LONGEST_LINE = 16 << 10  # bytes
MOST = 10**9  # lines; a number beyond it was made up

ANCHOR = "anchor"  # the kind of the line that stands for those that were dropped
JOURNAL = "journal"  # the kind of lines that the journal writes about itself

_HASH = b',"hash":"'
_TAIL = len(_HASH) + 64 + len(b'"}')
_HEXADECIMAL = frozenset("0123456789abcdef")


class BadLine(ValueError):
    """Not a line of a chain, in words."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `entry` is what it says, without number and hashes."""

    number: int
    previous: str
    hash: str
    entry: Mapping[str, object]

    def as_dict(self) -> dict[str, object]:
        """All of it, for people and programs."""
        return {"number": self.number, **self.entry, "previous": self.previous, "hash": self.hash}

    def is_about(self, event: str) -> bool:
        """Whether the journal says that of itself."""
        return self.entry.get("kind") == JOURNAL and self.entry.get("event") == event


@dataclass(frozen=True, slots=True)
class Chain:
    """Lines as far as they are in order: how many, and the last one. `fault` says what stands at `at`, or ""."""

    count: int = 0
    number: int = 0
    hash: str = BEGIN
    size: int = 0  # bytes of those lines
    at: int = 0  # the first bad line, from 1
    fault: str = ""


def render(number: int, previous: str, entry: Mapping[str, object]) -> bytes:
    """The line with its line feed. The entry has texts as keys and only what JSON has."""
    said = {"number": number, "previous": previous, **entry}
    body = json.dumps(said, separators=(",", ":"), allow_nan=False).encode("ascii")
    return body[:-1] + _HASH + sha256(body).hexdigest().encode() + b'"}\n'


def parse(line: bytes) -> Line:
    """A line without its line feed. Raises BadLine."""
    if len(line) > LONGEST_LINE:
        raise BadLine("it is longer than any line of ours")
    body, tail = line[:-_TAIL] + b"}", line[-_TAIL:]
    told = tail[len(_HASH) : -2].decode("ascii", "replace")
    if not tail.startswith(_HASH) or not tail.endswith(b'"}') or not is_hash(told):
        raise BadLine("it does not end with a hash: it was changed, or is no line of a journal")
    if sha256(body).hexdigest() != told:
        raise BadLine("it was changed: its hash is that of another content")
    return _line(_object(body), told)


def digest_of(data: bytes) -> str:
    """The SHA-256 of bytes as it is written here."""
    return sha256(data).hexdigest()


def is_whole(line: bytes) -> bool:
    """Whether a line is one of ours by itself, wherever it stands."""
    try:
        parse(line)
    except BadLine:
        return False
    return True


def is_hash(text: object) -> bool:
    """Whether it is written as ours are."""
    return isinstance(text, str) and len(text) == 64 and _HEXADECIMAL.issuperset(text)


def follow(lines: Sequence[bytes]) -> Chain:
    """The lines (without line feeds) from the first one to the last one, or to the first fault."""
    found = Chain()
    anchor, dropped = "", ""
    for place, raw in enumerate(lines, 1):
        try:
            line = parse(raw)
        except BadLine as bad:
            return _faulty(found, place, str(bad))
        is_anchor = place == 1 and line.entry.get("kind") == ANCHOR
        fault = "" if is_anchor else _misplaced(found, line, lines, place)
        if fault:
            return _faulty(found, place, fault)
        if is_anchor:
            anchor = line.hash
        elif line.is_about("dropped"):
            dropped = str(line.entry.get("anchor"))
        # An anchor stands for the last line that was dropped, and says the hash of that one.
        found = Chain(place, line.number, line.previous if is_anchor else line.hash, found.size + len(raw) + 1)
    if anchor and anchor != dropped:
        return _faulty(found, 1, "no later line knows of this anchor: lines before it were removed")
    return found


def _faulty(found: Chain, at: int, fault: str) -> Chain:
    return Chain(found.count, found.number, found.hash, found.size, at, fault)


def _misplaced(before: Chain, line: Line, lines: Sequence[bytes], place: int) -> str:
    """Why the line cannot stand behind the one before, or ""."""
    if not before.count:
        return "" if line.previous == BEGIN else f"lines before number {line.number} were removed"
    wanted = before.number + 1
    if line.number == wanted:
        return "" if line.previous == before.hash else f"number {wanted - 1} before it was replaced by another line"
    if line.number < wanted:
        return f"it was inserted or moved: number {line.number} stands behind number {wanted - 1}"
    if any(_number_of(one) == wanted for one in lines[place:]):
        return f"the lines were put into another order: number {wanted} stands further down"
    missing = f"number {wanted} is" if line.number == wanted + 1 else f"numbers {wanted} to {line.number - 1} are"
    return f"{missing} missing before number {line.number}: removed"


def _number_of(raw: bytes) -> int:
    try:
        return parse(raw).number
    except BadLine:
        return 0


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body.decode("ascii"), object_pairs_hook=_once_each, parse_constant=_no_constant)
    except (ValueError, RecursionError) as bad:
        raise BadLine("it is not JSON as we write it") from bad
    if not isinstance(found, dict):
        raise BadLine("it is not an object")
    return found


def _line(said: dict[str, object], told: str) -> Line:
    number, previous = said.pop("number", None), said.pop("previous", None)
    if type(number) is not int or not 0 < number < MOST:
        raise BadLine("it has no number")
    if not isinstance(previous, str) or not is_hash(previous):
        raise BadLine("it has no hash of the line before")
    if "hash" in said:
        raise BadLine("it has two hashes")
    return Line(number, previous, told, said)


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)
