"""Read the DSL: one construct per line, sections from header lines, all mistakes in one run.

The predecessor's grammar as it is, with the newer section types, quotes with blanks and comments
at the end of lines. Says nothing about what options mean. Grammar: docs/dsl.md. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.dsl_block import Block, name_of_broken, read_name
from netpolicy.config.dsl_rule import RuleBlock
from netpolicy.config.dsl_section import SectionBlock
from netpolicy.config.dsl_word import BLANKS, WordFault
from netpolicy.config.schema import SECTION_TYPES, nearest, suggestion
from netpolicy.config.source import SourceFile
from netpolicy.config.uci_text import check_characters

MAX_CHARACTERS = 4 << 20
MAX_LINES = 200_000
MAX_SECTIONS = 50_000  # five times the rules that are ever loaded
MAX_VALUES = 200_000
MAX_ERRORS = 1000  # more lines than that are no mistakes, but another kind of file

ASSERT = "assert"
HEADERS = SECTION_TYPES + (ASSERT,)  # noqa: RUF005 - not in MicroPython


class Comment:
    """A comment with its #. `owner` is the section that it belongs to, or HEAD or END of the file.

    `directive` is the line of the section that it is at or before: a directive or option, HEADER, or
    TAIL for the end of the section. `is_inline`: it stood behind that line.
    """

    __slots__ = ("directive", "is_inline", "owner", "text")

    def __init__(self, text: str, owner: int, directive: str, is_inline: bool) -> None:
        self.text = text
        self.owner = owner
        self.directive = directive
        self.is_inline = is_inline


HEAD = -2  # comments at the beginning, with an empty line behind them
END = -1

HEADER = "<header>"
TAIL = "<tail>"


class DslFile(SourceFile):
    """A DSL text as sections, and its comments in their order."""

    __slots__ = ("comments",)

    def __init__(self, source: SourceFile, comments: tuple[Comment, ...]) -> None:
        super().__init__(source.file, source.sections, source.diagnostics)
        self.comments = comments


def read_dsl(text: str, file: str = "<text>") -> DslFile:
    """The sections of a text, the places of all values, and everything that is wrong."""
    reader = _Reader(file)
    if len(text) > MAX_CHARACTERS:
        message = f"the text is larger than {MAX_CHARACTERS >> 20} MiB"
        reader.findings.error("NP004", Place(file), message)
    else:
        check_characters(text, file, reader.findings)
        reader.read(text[1:] if text.startswith("\ufeff") else text)
    return reader.finish()


class _Reader:
    def __init__(self, file: str) -> None:
        self.findings = Findings()
        self._file = file
        self._blocks: list[Block] = []
        self._block: Block | None = None
        self._main: SectionBlock | None = None
        self._indent = 0  # of the header of the open block
        self._values = 0
        self._waiting: list[tuple[str, bool]] = []  # comments before the next line; whether in the open block
        self.comments: list[Comment] = []

    def read(self, text: str) -> None:
        lines = text.split("\n", MAX_LINES)  # no longer list than needed
        if len(lines) > MAX_LINES:
            message = f"more than {MAX_LINES} lines"
            self.findings.error("NP004", Place(self._file, MAX_LINES), message)
            lines = lines[:MAX_LINES]
        for number, line in enumerate(lines, 1):
            limit = self._limit()
            if limit:
                self.findings.error("NP004", Place(self._file, number), limit + ", the rest is not read")
                break
            line = line.rstrip("\r")
            try:
                if "\r" in line:
                    raise WordFault("a carriage return in a line", "end lines with a line feed", line.find("\r") + 1)
                self._line(line, number)
            except WordFault as fault:
                self._fault(fault.code, fault.text, number, fault.column, fault.hint)

    def _limit(self) -> str:
        """Which limit is passed, or ""."""
        if self.findings.errors > MAX_ERRORS:
            return "too many mistakes"
        if len(self._blocks) > MAX_SECTIONS:
            return f"more than {MAX_SECTIONS} sections"
        return f"more than {MAX_VALUES} values" if self._values > MAX_VALUES else ""

    def _fault(self, code: str, text: str, line: int, column: int, hint: str = "") -> None:
        name = self._block.name if self._block is not None else ""
        self.findings.error(code, Place(self._file, line, column, name), text, hint)
        if self._block is not None:
            self._block.broken = True

    def _line(self, line: str, number: int) -> None:
        start = 0
        while start < len(line) and line[start] in BLANKS:
            start += 1
        if start == len(line):
            self._end_head()
            return
        if line[start] == "#":
            is_inner = self._block is not None and start > self._indent
            self._waiting.append((line[start:].rstrip(), is_inner))
            return
        end = start
        while end < len(line) and line[end] not in BLANKS and line[end] not in ":#":
            end += 1
        word = line[start:end]
        if self._is_header(word, line, start, end):
            self._header(word, line, number, start, end)
        elif self._is_mistyped_header(word, start):
            self._mistyped_header(word, line, number, start, end)
        elif self._block is None:
            hint = nearest(word, HEADERS) or "begin with `rule NAME:`"
            self._fault("NP003", "content must be inside a rule block", number, start + 1, hint)
        else:
            self._take(self._block, word, line, number, start, end)

    def _take(self, block: Block, word: str, line: str, number: int, start: int, end: int) -> None:
        before = block.taken
        directive, comment = block.take(word, line, number, start, end)
        self._values += block.taken - before
        self._keep_comments(block, directive, comment)

    def _end_head(self) -> None:
        """An empty line behind the first comments: they are about the whole file."""
        if not self._blocks:
            self.comments.extend(Comment(text, HEAD, HEADER, False) for text, _ in self._waiting)
            self._waiting = []

    def _is_header(self, word: str, line: str, start: int, end: int) -> bool:
        """Whether the line begins a section, and is not a mistake in one.

        A rule begins wherever it stands, as the predecessor had it. Others do unless they are
        indented deeper than the header before: `schedule evening` in a rule is a forgotten match,
        and a section made of it would silently widen the rule.
        """
        if word not in HEADERS or (line[end : end + 1] not in ("", ":") and line[end] not in BLANKS):
            return False
        if self._block is None or word == "rule":
            return True
        is_option = word == ASSERT and self._block is self._main
        return start <= self._indent and not is_option

    def _is_mistyped_header(self, word: str, start: int) -> bool:
        """Whether the word is none that may stand there, and a section is what was probably meant."""
        if self._block is None:
            return suggestion(word, HEADERS) in SECTION_TYPES
        if start > self._indent or word in self._block.words:
            return False
        known = self._block.words + HEADERS
        return suggestion(word, known) in SECTION_TYPES

    def _mistyped_header(self, word: str, line: str, number: int, start: int, end: int) -> None:
        """Read the section as the one that was meant, so that its lines are not another's; it is broken."""
        meant = suggestion(word, HEADERS)
        self._header(meant, line, number, start, end)
        assert self._block is not None
        place = Place(self._file, number, start + 1, self._block.name, len(word))
        text = f"unknown directive {word[:64]!r}"
        self.findings.error("NP102", place, text, f"did you mean {meant!r}?", meant)
        self._block.broken = True

    def _header(self, word: str, line: str, number: int, start: int, end: int) -> None:
        self._close()
        if word == ASSERT:
            self._assert(line, number, start, end)
            return
        self._block = None
        self._indent = start
        try:
            name, column, rest = read_name(line, end, word)
        except WordFault:
            self._begin(self._new(word, name_of_broken(line, end), number, start + 1))
            raise
        block = self._new(word, name, number, column)
        self._begin(block)
        taken = block.taken
        comment = block.begin(line, number, rest)
        self._values += block.taken - taken
        self._keep_comments(block, HEADER, comment)

    def _new(self, word: str, name: str, number: int, column: int) -> Block:
        if word == "rule":
            return RuleBlock(name, self._file, number, column, self.findings)
        if word != "netpolicy":
            return SectionBlock(word, name, self._file, number, column, self.findings)
        if self._main is None:
            self._main = SectionBlock(word, name or "main", self._file, number, column, self.findings)
        return self._main  # written twice, it is one section; options given twice are reported

    def _begin(self, block: Block) -> None:
        if block.number < 0:
            block.number = len(self._blocks)
            self._blocks.append(block)
        self._block = block

    def _assert(self, line: str, number: int, start: int, end: int) -> None:
        """`assert …` outside of a block: an option of the main section, which it does not make."""
        if self._main is None:
            self._main = SectionBlock("netpolicy", "main", self._file, number, start + 1, self.findings)
        self._begin(self._main)
        self._take(self._main, ASSERT, line, number, start, end)
        self._block = None

    def _keep_comments(self, block: Block, directive: str, comment: str) -> None:
        owner = block.number
        self.comments.extend(Comment(text, owner, directive, False) for text, _ in self._waiting)
        self._waiting = []
        if comment:
            self.comments.append(Comment(comment, owner, directive, True))

    def _close(self) -> None:
        """Indented comments behind the last line of a block stay in it, up to the first at the margin."""
        inner = 0
        while self._block is not None and inner < len(self._waiting) and self._waiting[inner][1]:
            self.comments.append(Comment(self._waiting[inner][0], self._block.number, TAIL, False))
            inner += 1
        self._waiting = self._waiting[inner:]

    def finish(self) -> DslFile:
        self._close()
        self.comments.extend(Comment(text, END, TAIL, False) for text, _ in self._waiting)
        if not self._blocks and not self.findings.errors:
            self.findings.error("NP208", Place(self._file), "no rules defined", "begin with `rule NAME:`")
        sections = tuple([block.section() for block in self._blocks])
        return DslFile(SourceFile(self._file, sections, self.findings.all), tuple(self.comments))
