"""Read the UCI file format, strictly, with the place of every word.

Never raises for what a file contains, never guesses: what libuci would lose without a
word is an error here. Behaviour follows libuci's file parser (openwrt/uci, file.c), seen
running: a text that both accept means the same to both (tests/config/test_uci_contract.py).
"""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from netpolicy.config.diagnostic import Diagnostic, Findings, Place
from netpolicy.config.uci_word import Cursor, SyntaxFault, Word, next_word

MAX_BYTES = 4 << 20  # far above 10 000 rules; below what hurts a router with 64 MB
MAX_COMMANDS = 200_000  # 10 000 rules of 20 lines; a megabyte of one-letter sections is an attack
MAX_SYNTAX_ERRORS = 100  # each recovery may scan the rest of the file again

NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
PACKAGE_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
TYPE = re.compile(r"[!-~]+", re.ASCII)
KEYWORD = re.compile(r"[^ \t\n]+")

# Keyword (libuci also takes its first letter): arguments that must be there, arguments at most.
COMMANDS = {"package": (1, 1), "config": (1, 2), "option": (1, 2), "list": (1, 2)}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. A plain option has one value; "" is one that UCI treats as absent."""

    name: str
    values: tuple[str, ...]
    is_list: bool
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """One section; a named one that appears twice in a file is one section here."""

    type: str
    name: str  # "" for an anonymous one
    anonymous: bool
    line: int
    options: tuple[Option, ...]

    def option(self, name: str) -> Option | None:
        """The option of that name, or None."""
        for option in self.options:
            if option.name == name:
                return option
        return None


@dataclass(frozen=True, slots=True)
class UciFile:
    """What one file says, and what is wrong with its form. Sections are complete only without errors."""

    file: str
    sections: tuple[Section, ...]
    diagnostics: tuple[Diagnostic, ...]


class BuiltinReader:
    """Our own reader: needs nothing but Python."""

    name = "builtin"

    def read(self, path: str) -> UciFile:
        """The file at `path`. An unreadable one gives no section and an NP001."""
        findings = Findings()
        data = read_bytes(path, findings)
        return UciFile(path, (), findings.all) if data is None else read_data(data, path)


def read_bytes(path: str, findings: Findings) -> bytes | None:
    """The content of a plain file of bounded size; None after reporting why not."""
    place = Place(path)
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a FIFO would wait for ever
            findings.error("NP001", place, "not a plain file")
            return None
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:  # ValueError: a NUL byte in the path
        reason = getattr(problem, "strerror", None) or str(problem)
        findings.error("NP001", place, f"failed to read {path}: {reason}")
        return None
    if len(data) > MAX_BYTES:
        findings.error("NP004", place, f"the file is larger than {MAX_BYTES >> 20} MiB")
        return None
    return data


def read_data(data: bytes, file: str) -> UciFile:
    """The sections of a file's content."""
    if len(data) > MAX_BYTES:
        findings = Findings()
        findings.error("NP004", Place(file), f"the text is larger than {MAX_BYTES >> 20} MiB")
        return UciFile(file, (), findings.all)
    try:
        return read_text(data.decode("utf-8"), file)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        findings = Findings()
        findings.error("NP002", Place(file, line), "not UTF-8 text", "save the file as UTF-8")
        return UciFile(file, (), findings.all)


def read_text(text: str, file: str = "<text>") -> UciFile:
    """The sections of a text."""
    findings = Findings()
    _check_characters(text, file, findings)
    builder = _Builder(file, findings)
    cursor = Cursor(text)
    faults = 0
    while not cursor.at_end and faults < MAX_SYNTAX_ERRORS:
        if builder.commands > MAX_COMMANDS:
            findings.error("NP004", Place(file, cursor.line), f"more than {MAX_COMMANDS} lines of configuration")
            break
        try:
            _read_line(cursor, builder)
        except SyntaxFault as fault:
            faults += 1
            findings.error("NP003", Place(file, fault.line, fault.column), fault.text, fault.hint)
            cursor.go_after_line(fault.resume)
    return UciFile(file, builder.sections(), findings.all)


FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _check_characters(text: str, file: str, findings: Findings) -> None:
    if text.startswith("\ufeff"):
        findings.error("NP002", Place(file, 1, 1), "the file begins with a byte order mark", "save it without one")
    found = FORBIDDEN.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        message = f"control character 0x{ord(found[0]):02x}"
        findings.error("NP002", Place(file, line, column), message, "remove it; UCI loses what follows it")


def _read_line(cursor: Cursor, builder: "_Builder") -> None:
    """One line: nothing, a comment, or commands separated by ";"."""
    cursor.skip_blanks()
    if cursor.take_line_end():
        return
    while True:
        separated = _read_command(cursor, builder)
        if not separated:
            return
        cursor.skip_blanks()
        if cursor.peek in ("\n", "", "#"):
            raise cursor.fault("nothing follows the ;", "remove the ;")


def _read_command(cursor: Cursor, builder: "_Builder") -> bool:
    """Take one command; whether a ";" announces another on the same line."""
    line, column = cursor.line, cursor.column
    found = KEYWORD.match(cursor.text, cursor.position)
    word = found[0] if found else ""
    keyword = next((key for key in COMMANDS if word in (key, key[0])), "")
    if not keyword:
        shown = word if len(word) <= 40 else word[:40] + "…"
        raise cursor.fault(f"invalid command {shown!r}", "a line begins with config, option, list or #")
    cursor.advance(len(word))
    need, most = COMMANDS[keyword]
    words: list[Word] = []
    separated = False
    while True:
        cursor.skip_blanks()
        if cursor.take_line_end():
            break
        if cursor.peek == ";":
            separated = _take_separator(cursor, keyword, words, most)
            break
        if len(words) == most:
            raise cursor.fault("too many arguments", "put a value with blanks between quotes")
        words.append(next_word(cursor))
    if len([word for word in words if word.text]) < need:
        raise SyntaxFault(f"{keyword} needs a name", "", line, column, cursor.line_start(line))
    builder.take(keyword, words, line, column)
    return separated


def _take_separator(cursor: Cursor, keyword: str, words: list[Word], most: int) -> bool:
    """Step over a ";" where libuci does not lose what follows it."""
    if len(words) < most:
        raise cursor.fault(f"a ; before {keyword} is complete", "write one command per line")
    if words[-1].is_plain and words[-1].end == cursor.position:
        raise cursor.fault(
            "UCI ignores the rest of the line after a ; that touches an unquoted word", "write one command per line"
        )
    cursor.advance(1)
    return True


class _OpenOption:
    """An option that a later line may still extend; a list may grow long, so it grows in place."""

    def __init__(self, value: str, is_list: bool, line: int, column: int) -> None:
        self.values = [value]
        self.is_list = is_list
        self.line = line
        self.column = column

    @property
    def is_absent(self) -> bool:
        """Whether UCI would not store it: a plain option without a value."""
        return not self.is_list and self.values == [""]


class _Open:
    """A section that is still being filled."""

    def __init__(self, type: str, name: str, line: int) -> None:
        self.type = type
        self.name = name
        self.line = line
        self.options: dict[str, _OpenOption] = {}

    def closed(self) -> Section:
        """The section as a value."""
        options = (
            Option(name, tuple(one.values), one.is_list, one.line, one.column) for name, one in self.options.items()
        )
        return Section(self.type, self.name, not self.name, self.line, tuple(options))


class _Builder:
    """Puts commands together into sections, joining as libuci does."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self.opened: list[_Open] = []
        self.named: dict[str, _Open] = {}
        self.current: _Open | None = None
        self.commands = 0

    def sections(self) -> tuple[Section, ...]:
        """Everything taken so far."""
        return tuple(one.closed() for one in self.opened)

    def take(self, keyword: str, words: list[Word], line: int, column: int) -> None:
        """One complete command. Raises SyntaxFault for names that UCI refuses."""
        self.commands += 1
        if keyword == "package":
            self._check(PACKAGE_NAME, words[0], "a package name has letters, digits, _ and -")
        elif keyword == "config":
            self._take_config(words, line)
        else:
            self._take_option(keyword == "list", words, line, column)

    def _check(self, pattern: re.Pattern[str], word: Word, what: str) -> None:
        if not pattern.fullmatch(word.text):
            raise SyntaxFault(f"invalid character in {word.text[:40]!r}", what, word.line, word.column, word.end)

    def _take_config(self, words: list[Word], line: int) -> None:
        self.current = None  # options of a refused section must not fall into the one before
        type_word = words[0]
        self._check(TYPE, type_word, "a section type has visible ASCII characters only")
        name = words[1].text if len(words) > 1 else ""
        if name:
            self._check(NAME, words[1], "a section name has letters, digits and _")
        known = self.named.get(name)
        if known is None:
            self.current = _Open(type_word.text, name, line)
            self.opened.append(self.current)
            if name:
                self.named[name] = self.current
            return
        if known.type != type_word.text:
            text = f"section {name!r} was of type {known.type!r} in line {known.line}"
            raise SyntaxFault(text, "give one of them another name", type_word.line, type_word.column, type_word.end)
        place = Place(self.file, line, 1, name)
        self.findings.warning("NP005", place, f"the section goes on, it began in line {known.line}")
        self.current = known

    def _take_option(self, is_list: bool, words: list[Word], line: int, column: int) -> None:
        name_word = words[0]
        self._check(NAME, name_word, "an option name has letters, digits and _")
        if self.current is None:
            raise SyntaxFault("an option outside of a section", "begin with a config line", line, column, name_word.end)
        value = words[1].text if len(words) > 1 else ""
        options = self.current.options
        new = _OpenOption(value, is_list, line, column)
        options[name_word.text] = self._joined(name_word.text, options.get(name_word.text), new)

    def _joined(self, name: str, old: _OpenOption | None, new: _OpenOption) -> _OpenOption:
        """What libuci makes of an option that is given again."""
        if new.is_absent:
            self._warn("NP006", new, f"option {name} has no value, UCI ignores the line")
            return old or new
        if old is None or old.is_absent:
            return new
        if not new.is_list:
            self._warn("NP005", new, f"option {name} replaces what line {old.line} says")
            return new
        if not old.is_list:
            self._warn("NP005", new, f"list {name} also takes the value of line {old.line}")
        old.values += new.values
        old.is_list = True
        return old

    def _warn(self, code: str, option: _OpenOption, text: str) -> None:
        section = self.current.name if self.current else ""
        self.findings.warning(code, Place(self.file, option.line, option.column, section), text)
