"""One list being read, piece by piece, from a file or from the network: what it holds, merged on the way.

Never holds a whole file and never gives a part of a list: too much of anything, and nothing is taken. Where the
pieces come from, and what is said of the result, is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netpolicy.config.geodata import Geodata, Malformed
from netpolicy.config.list_line import AUTO, BAD, DAT, GEOIP, GEOSITE, READERS, SKIPPED, format_of_lines
from netpolicy.config.nearest import closest
from netpolicy.config.value import is_clean
from netpolicy.core.list_budget import MIB, Budget
from netpolicy.core.list_content import Gathering, ListContent
from netpolicy.core.value import ValueProblem

PIECE = 1 << 16

# What goes on without a line's end is no list, and is not collected.
LONGEST_LINE = 1 << 16

LINES_BETWEEN_CHECKS = 4096

# A file with more of them is something else (a page of HTML), and each costs as much as twenty good ones.
MAX_BAD_LINES = 20_000

# Of geosite.dat and geoip.dat only some categories are held, so the file may be longer than a list.
LARGEST_DAT = 64 * MIB

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ListReading:
    """`line`: how far it was read; `refusal`: why it is not taken. `bad` and `skipped`: how many lines.

    `format` is the one that was asked for, and afterwards the one it has. `largest`: bytes of a text.
    """

    def __init__(
        self, budget: Budget, format: str = AUTO, categories: tuple[str, ...] = (), largest: int | None = None
    ) -> None:
        self.format = format
        self._is_asked = format != AUTO
        self.line = 0
        self.bad = 0
        self.first_bad = 0
        self.skipped = 0
        self.refusal = ""
        self._categories = categories
        self._budget = budget
        self._largest = largest or budget.file
        self._gathering = Gathering()

    def content(self, pieces: Iterable[bytes]) -> ListContent | None:
        """What all of it says, or None. Raises UnicodeDecodeError, and whatever `pieces` raises."""
        known = _Peeked(pieces)
        if self.format == AUTO:
            self.format = self._format_of(known.first)
        if self.format in DAT:
            self._read_dat(known)
        else:
            self._read_lines(known)
        if self.refusal:
            return None
        content = self._gathering.finish()
        self.refusal = content.excess(self._budget)
        return None if self.refusal else content

    def _format_of(self, first: bytes) -> str:
        if self._categories:
            return GEOSITE
        if b"\0" in first[:1024] or (first[:1] == b"\n" and b"\x12" in first[:256]):
            return GEOSITE
        text = first.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace")
        return format_of_lines(text.splitlines())

    # -- texts -----------------------------------------------------------------------------

    def _read_lines(self, pieces: Iterable[bytes]) -> None:
        read = READERS[self.format]
        take_plain = self._gathering.take_plain
        for line in self._lines(pieces):
            self.line += 1
            if line:
                said = read(line)
                if isinstance(said, str):
                    if said and not take_plain(said):
                        self._take(said)
                elif said is BAD:
                    self._count_bad()
                elif said is SKIPPED or not said:
                    self.skipped += 1
                else:
                    for one in said:
                        self._take(one)
            if self.line % LINES_BETWEEN_CHECKS == 0:
                self.refusal = self.refusal or self._excess()
                if self.refusal:
                    return

    def _take(self, entry: str) -> None:
        if self._gathering.take_plain(entry):
            return
        try:
            self._gathering.take(entry if is_clean(entry) else "")
        except ValueProblem:
            self._count_bad()

    def _count_bad(self) -> None:
        self.bad += 1
        self.first_bad = self.first_bad or self.line

    def _excess(self) -> str:
        if self.bad > MAX_BAD_LINES:
            self.line = self.first_bad
            return f"more than {MAX_BAD_LINES} lines are no entries of a list, this is the first: the file is no list"
        return self._gathering.excess(self._budget)

    def _lines(self, pieces: Iterable[bytes]) -> Iterator[str]:
        """The lines; ends early, with a refusal, where the file is too large."""
        rest = b""
        size = 0
        is_first = True
        for piece in pieces:
            size += len(piece)
            if size > self._largest:
                self.refusal = f"the file is larger than {self._largest // MIB} MiB"
                return
            rest += piece
            if is_first and len(rest) >= len(BYTE_ORDER_MARK):
                rest = rest.removeprefix(BYTE_ORDER_MARK)
                is_first = False
            end = rest.rfind(b"\n") + 1
            if not end and len(rest) > LONGEST_LINE:
                self.refusal = "the next line is longer than any entry: the file is no list"
                return
            yield from rest[:end].decode("utf-8").splitlines()
            rest = rest[end:]
        if rest:
            yield from rest.decode("utf-8").splitlines()

    # -- geosite.dat and geoip.dat ---------------------------------------------------------

    def _read_dat(self, pieces: Iterable[bytes]) -> None:
        if not self._categories:
            self.refusal = (
                f"the file is {GEOSITE}.dat or {GEOIP}.dat: say with option category which part of it is meant"
            )
            return
        data = Geodata(self._categories, self._count_item)
        size = 0
        try:
            for piece in pieces:
                size += len(piece)
                if size > LARGEST_DAT:
                    self.refusal = f"the file is larger than {LARGEST_DAT // MIB} MiB"
                data.feed(piece)
                self.refusal = self.refusal or self._gathering.excess(self._budget)
                if self.refusal:
                    return
            data.end()
        except Malformed as problem:
            self.refusal = str(problem)
            return
        if self._is_asked and data.kind not in ("", self.format):
            self.refusal = f"the file is {data.kind}.dat, and not {self.format}.dat"
        elif data.missing:
            self.refusal = self._without(sorted(data.missing)[0].lower(), data.others)
        self.format = data.kind or self.format

    def _without(self, category: str, others: list[str]) -> str:
        meant = closest(category.upper(), tuple(others))
        return f"the file has no category {category!r}" + (f", did you mean {meant.lower()!r}?" if meant else "")

    def _count_item(self, entry: str) -> None:
        self.line += 1
        self._take(entry)


class _Peeked:
    """Pieces of which the first, as long as one of a file, can be looked at before."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._rest = iter(pieces)
        self.first = b""
        while len(self.first) < PIECE and (piece := next(self._rest, b"")):
            self.first += piece

    def __iter__(self) -> Iterator[bytes]:
        if self.first:
            yield self.first
            self.first = b""
        yield from self._rest
