"""What the blocks of DSL text have in common: a header, options by name, findings with their place.

Never decides what a line means: the kinds of blocks do. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.dsl_word import BLANKS, Line, Piece, WordFault, quoted_name, split
from netpolicy.config.schema import SECTIONS, OptionSpec, labelled, meaning
from netpolicy.config.source import Option, Section, spot
from netpolicy.config.value import MAX_NAME


class Growing:
    """An option that is being read: a hostile line may have a hundred thousand values."""

    __slots__ = ("column", "line", "spots", "texts")

    def __init__(self, line: int, column: int) -> None:
        self.texts: list[str] = []
        self.spots: list[int] = []
        self.line = line
        self.column = column

    def extend(self, texts: "list[str]", pieces: "list[Piece]", line: int) -> None:
        """Take more values."""
        self.texts.extend(texts)
        self.spots.extend(spot(line, piece.column) for piece in pieces)


class Block:
    """One section that is being read; `number` is its place among those of the file."""

    __slots__ = (
        "_column",
        "_file",
        "_findings",
        "_line",
        "_options",
        "_order",
        "broken",
        "name",
        "number",
        "spec",
        "taken",
        "type",
    )

    def __init__(self, type: str, name: str, file: str, line: int, column: int, findings: Findings) -> None:
        self.type = type
        self.name = name
        self.spec = SECTIONS[type]
        self.broken = False
        self._file = file
        self._line = line
        self._column = column
        self._findings = findings
        self.number = -1
        self.taken = 0  # how many values so far, also those that were replaced
        self._options: dict[str, Growing] = {}
        self._order: list[str] = []  # no dict has an order everywhere

    def begin(self, line: str, number: int, rest: int) -> str:
        """Take what follows the name in the header line, from offset `rest` on; the comment behind it."""
        raise NotImplementedError

    def take(self, word: str, line: str, number: int, start: int, end: int) -> "tuple[str, str]":
        """Take a line of the block, whose first word ends at offset `end`; its directive and comment."""
        raise NotImplementedError

    @property
    def words(self) -> tuple[str, ...]:
        """The words that may begin a line of the block."""
        return self.spec.words

    def section(self) -> Section:
        """Everything that was taken."""
        options = tuple([self._option(name) for name in self._order])
        return Section(self.type, self.name, False, self._line, options, self._column, self.broken)

    def _option(self, name: str) -> Option:
        found = self._options[name]
        spec = self.spec.options[name]
        is_list = spec.is_list and len(found.texts) != 1
        spots = tuple(found.spots)
        return Option(name, tuple(found.texts), is_list, found.line, found.column, spots, spec.word)

    def count(self, name: str) -> int:
        """How many values of an option were taken."""
        return len(self._options[name].texts) if name in self._options else 0

    def fault(
        self, code: str, text: str, line: int, column: int, hint: str = "", length: int = 0, fix: str = ""
    ) -> None:
        """Report a mistake: the section cannot be used."""
        self.broken = True
        self._findings.error(code, self._place(line, column, length), self._labelled(text), hint, fix)

    def _place(self, line: int, column: int, length: int = 0) -> Place:
        return Place(self._file, line, column, self.name if self.type == "rule" else "", length)

    def _labelled(self, text: str) -> str:
        return labelled(self.type, self.name) + text

    def unknown(
        self, text: str, word: str, known: tuple[str, ...], line: int, column: int, values: tuple[str, ...] = ()
    ) -> None:
        """Report a word that is not known, with the one that was probably meant; `values`: what stands behind it."""
        hint, meant = meaning(word, known, values)
        self.fault("NP101", text, line, column, hint, len(word), meant)

    def keep(self, spec: OptionSpec, texts: "list[str]", pieces: "list[Piece]", line: int, column: int) -> None:
        """Remember an option; one of an earlier line is replaced, one of the same line is joined."""
        self.taken += len(texts)
        old = self._options.get(spec.name)
        if old is not None and old.line == line and spec.is_list:
            old.extend(texts, pieces, line)
            return
        if old is None:
            self._order.append(spec.name)
        else:
            text = self._labelled(f"{spec.word} replaces what line {old.line} says")
            self._findings.warning("NP005", self._place(line, column), text, "write it once")
        self._options[spec.name] = Growing(line, column)
        self._options[spec.name].extend(texts, pieces, line)

    def add(self, spec: OptionSpec, texts: "list[str]", pieces: "list[Piece]", line: int, column: int) -> None:
        """Remember more values of a list option, whatever line they stand in."""
        old = self._options.get(spec.name)
        if old is None or not spec.is_list:
            self.keep(spec, texts, pieces, line, column)
        else:
            self.taken += len(texts)
            old.extend(texts, pieces, line)


def filled(pieces: "list[Piece]") -> "list[Piece]":
    """The pieces without the empty ones of "a, b" and "a ,b"."""
    return [piece for piece in pieces if piece.text or piece.quoted]


def read_name(line: str, end: int, word: str) -> "tuple[str, int, int]":
    """The name behind a header word that ends at `end`, its column, and the offset of what follows.

    The name of a rule is the rest of the line; others end at a blank or colon. Raises WordFault.
    """
    start = end
    while start < len(line) and line[start] in BLANKS:
        start += 1
    if line[start : start + 1] in ("'", '"') and line[start : start + 1]:
        name, after = quoted_name(line, start)
        return name.strip(), start + 2, after
    if word == "rule":
        text = line[start:]
        for blank in " \t":
            text = text.split(blank + "#", 1)[0]
        if text.startswith("#"):
            text = ""
        name = text.strip().rstrip(":").strip()
        for blank in (": ", ":\t"):
            if blank in name:
                hint = "put what follows the colon into a line of its own, or the whole name between quotes"
                raise WordFault("a colon inside a name", hint, start + 1 + text.find(blank))
        return name, start + 1, start + len(text)
    after = start
    while after < len(line) and line[after] not in BLANKS and line[after] not in ":#":
        after += 1
    if word == "netpolicy" and line[start:after] != "main":
        return "", start + 1, end  # there is one such section, its name may be left out
    return line[start:after], start + 1, after


def name_of_broken(line: str, end: int) -> str:
    """What the name in a header is likely to be whose quotes are wrong."""
    text = line[end:].strip().strip("\"':").strip()
    return text[:MAX_NAME]


def after_colon(line: str, rest: int) -> "tuple[bool, int]":
    """Whether the header ends with colons, and the offset behind them."""
    position = rest
    while position < len(line) and line[position] in BLANKS:
        position += 1
    if line[position : position + 1] != ":":
        return False, rest
    while position < len(line) and line[position] == ":":
        position += 1
    return True, position


def rest_of(line: str, rest: int) -> Line:
    """The words behind the colon of a header, of which there should be none. Raises WordFault."""
    found = split(line, rest)
    if found.words:
        raise WordFault("nothing may follow the name", "put it into a line of its own", found.words[0].column)
    return found
