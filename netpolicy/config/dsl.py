"""Read the DSL: one construct per line, sections from header lines, all mistakes in one run.

The predecessor's grammar as it is, with the newer section types, quotes with blanks and comments
at the end of lines. Says nothing about what options mean. Grammar: docs/dsl.md. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.dsl_block import Block, read_name
from netpolicy.config.dsl_rule import RuleBlock
from netpolicy.config.dsl_section import SectionBlock
from netpolicy.config.dsl_word import BLANKS, WordFault
from netpolicy.config.schema import SECTION_TYPES, nearest
from netpolicy.config.source import SourceFile
from netpolicy.config.uci_text import check_characters

MAX_CHARACTERS = 4 << 20
MAX_LINES = 200_000
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
        reader.read(text)
    return reader.finish()


class _Reader:
    def __init__(self, file: str) -> None:
        self.findings = Findings()
        self._file = file
        self._blocks: list[Block] = []
        self._block: Block | None = None
        self._main: SectionBlock | None = None
        self._waiting: list[str] = []  # comments before the next line
        self._waiting_inner: list[str] = []  # indented ones: they belong to the open block
        self.comments: list[Comment] = []

    def read(self, text: str) -> None:
        lines = text.split("\n")
        if len(lines) > MAX_LINES:
            message = f"more than {MAX_LINES} lines"
            self.findings.error("NP004", Place(self._file, MAX_LINES), message)
            lines = lines[:MAX_LINES]
        for number, line in enumerate(lines, 1):
            if self.findings.errors > MAX_ERRORS:
                self.findings.error("NP004", Place(self._file, number), "too many mistakes, the rest is not read")
                break
            try:
                self._line(line.rstrip("\r"), number)
            except WordFault as fault:
                self._fault("NP003", fault.text, number, fault.column, fault.hint)

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
            inner = start > 0 and self._block is not None
            (self._waiting_inner if inner else self._waiting).append(line[start:].rstrip())
            return
        end = start
        while end < len(line) and line[end] not in BLANKS and line[end] not in ":#":
            end += 1
        word = line[start:end]
        is_option = word == ASSERT and self._block is not None and self._block is self._main
        if not is_option and word in HEADERS and (line[end : end + 1] in ("", ":") or line[end] in BLANKS):
            self._header(word, line, number, start, end)
        elif self._block is None:
            hint = nearest(word, HEADERS) or "begin with `rule NAME:`"
            self._fault("NP003", "content must be inside a rule block", number, start + 1, hint)
        else:
            directive, comment = self._block.take(word, line, number, start, end)
            self._keep_comments(self._block, directive, comment)

    def _end_head(self) -> None:
        """An empty line behind the first comments: they are about the whole file."""
        if not self._blocks:
            self.comments.extend(Comment(text, HEAD, HEADER, False) for text in self._waiting_inner + self._waiting)
            self._waiting, self._waiting_inner = [], []

    def _header(self, word: str, line: str, number: int, start: int, end: int) -> None:
        self._close()
        if word == ASSERT:
            self._assert(line, number, start, end)
            return
        before = self._block
        self._block = None
        try:
            name, column, rest = read_name(line, end, word)
        except WordFault:
            self._begin(RuleBlock("", self._file, number, start + 1, self.findings), broken=True)
            raise
        if word == "rule":
            block: Block = RuleBlock(name, self._file, number, column, self.findings)
        else:
            block = self._section(word, name, number, column, before)
        self._begin(block)
        comment = block.begin(line, number, rest)
        self._keep_comments(block, HEADER, comment)

    def _section(self, word: str, name: str, number: int, column: int, before: "Block | None") -> Block:
        if word != "netpolicy":
            return SectionBlock(word, name, self._file, number, column, self.findings)
        if self._main is None:
            self._main = SectionBlock(word, name or "main", self._file, number, column, self.findings)
        return self._main  # written twice, it is one section; options given twice are reported

    def _begin(self, block: Block, broken: bool = False) -> None:
        if block.number < 0:
            block.number = len(self._blocks)
            self._blocks.append(block)
        block.broken = block.broken or broken
        self._block = block

    def _assert(self, line: str, number: int, start: int, end: int) -> None:
        """`assert …` outside of a block: an option of the main section, which it does not make."""
        if self._main is None:
            self._main = SectionBlock("netpolicy", "main", self._file, number, start + 1, self.findings)
        self._begin(self._main)
        directive, comment = self._main.take(ASSERT, line, number, start, end)
        self._keep_comments(self._main, directive, comment)
        self._block = None

    def _keep_comments(self, block: Block, directive: str, comment: str) -> None:
        owner = block.number
        for text in self._waiting_inner + self._waiting:
            self.comments.append(Comment(text, owner, directive, False))
        self._waiting, self._waiting_inner = [], []
        if comment:
            self.comments.append(Comment(comment, owner, directive, True))

    def _close(self) -> None:
        """Indented comments behind the last line of a block stay in it."""
        if self._block is not None:
            owner = self._block.number
            self.comments.extend(Comment(text, owner, TAIL, False) for text in self._waiting_inner)
        else:
            self._waiting = self._waiting_inner + self._waiting
        self._waiting_inner = []

    def finish(self) -> DslFile:
        self._close()
        self.comments.extend(Comment(text, END, TAIL, False) for text in self._waiting)
        if not self._blocks and not self.findings.errors:
            self.findings.error("NP208", Place(self._file), "no rules defined", "begin with `rule NAME:`")
        sections = tuple([block.section() for block in self._blocks])
        return DslFile(SourceFile(self._file, sections, self.findings.all), tuple(self.comments))
