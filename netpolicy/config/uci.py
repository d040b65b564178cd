"""Read the UCI file format, strictly, with the place of every word.

Never raises for what a file contains, never guesses: what libuci would lose without a
word is an error here. Never quotes what breaks the syntax: the file may be one of
passwords, and everybody sees the findings. Behaviour follows libuci's file parser (openwrt/uci, file.c), seen
running: a text that both accept means the same to both (tests/config/test_uci_contract.py).
"""

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netpolicy.config.diagnostic import Diagnostic, Findings, Place
from netpolicy.config.uci_section import Section, Sections
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

# A line as programs and most people write it: keyword, name and one value, no escape, no comment.
# Groups: keyword, name, the value in single quotes, in double quotes or bare, empty lines after it.
ORDINARY_LINE = re.compile(
    r"[ \t]*(config|option|list)[ \t]+([A-Za-z0-9_]+)[ \t]+"
    r"""(?:'([^'\n]*)'|"([^"\\\n]*)"|([^ \t\r\n\v\f'"#;\\]+))[ \t\r]*\n(\n*)"""
)


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
    return _read(text, file, _skip_ordinary_lines)


def read_carefully(text: str, file: str = "<text>") -> UciFile:
    """The same word by word: slow, and what `read_text` has to agree with."""
    return _read(text, file, lambda cursor, sections: None)


def _read(text: str, file: str, read_ahead: Callable[[Cursor, Sections], None]) -> UciFile:
    findings = Findings()
    _check_characters(text, file, findings)
    sections = Sections(file, findings)
    cursor = Cursor(text)
    faults = 0
    while faults < MAX_SYNTAX_ERRORS:
        read_ahead(cursor, sections)
        if cursor.at_end:
            break
        if sections.commands > MAX_COMMANDS:
            findings.error("NP004", Place(file, cursor.line), f"more than {MAX_COMMANDS} lines of configuration")
            break
        try:
            _read_line(cursor, sections)
        except SyntaxFault as fault:
            faults += 1
            findings.error("NP003", Place(file, fault.line, fault.column), fault.text, fault.hint)
            cursor.go_after_line(fault.resume)
    return UciFile(file, sections.all(), findings.all)


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


def _skip_ordinary_lines(cursor: Cursor, sections: Sections) -> None:
    """Take lines of the ordinary shape, up to the first that is not, or that may hold a mistake."""
    line, start = cursor.line, cursor.position
    while sections.commands <= MAX_COMMANDS:
        found = ORDINARY_LINE.match(cursor.text, start)
        if found is None:
            break
        keyword, name, single, double, bare, empty_lines = found.groups()
        value = single or double or bare or ""
        if keyword != "config":
            if not sections.is_open:
                break
            sections.add(name, value, keyword == "list", line, found.start(1) - start + 1)
        elif NAME.fullmatch(value) and sections.named(value) is None:
            sections.open(name, value, line)
        else:
            break
        sections.commands += 1
        line, start = line + 1 + len(empty_lines), found.end()
    cursor.go_to_line(line, start)


def _read_line(cursor: Cursor, sections: Sections) -> None:
    """One line: nothing, a comment, or commands separated by ";"."""
    cursor.skip_blanks()
    if cursor.take_line_end():
        return
    while True:
        separated = _read_command(cursor, sections)
        if not separated:
            return
        cursor.skip_blanks()
        if cursor.peek in ("\n", "", "#"):
            raise cursor.fault("nothing follows the ;", "remove the ;")


def _read_command(cursor: Cursor, sections: Sections) -> bool:
    """Take one command; whether a ";" announces another on the same line."""
    line, column = cursor.line, cursor.column
    found = KEYWORD.match(cursor.text, cursor.position)
    word = found[0] if found else ""
    keyword = next((key for key in COMMANDS if word in (key, key[0])), "")
    if not keyword:
        raise cursor.fault("invalid command", "a line begins with config, option, list or #")
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
    _take(sections, keyword, words, line, column)
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


def _take(sections: Sections, keyword: str, words: list[Word], line: int, column: int) -> None:
    """One complete command. Raises SyntaxFault for names that UCI refuses."""
    sections.commands += 1
    if keyword == "package":
        _check(PACKAGE_NAME, words[0], "a package name has letters, digits, _ and -")
    elif keyword == "config":
        _take_config(sections, words, line)
    else:
        _take_option(sections, keyword == "list", words, line, column)


def _check(pattern: re.Pattern[str], word: Word, what: str) -> None:
    if not pattern.fullmatch(word.text):
        raise SyntaxFault("invalid character", what, word.line, word.column, word.end)


def _take_config(sections: Sections, words: list[Word], line: int) -> None:
    sections.close()
    type_word = words[0]
    _check(TYPE, type_word, "a section type has visible ASCII characters only")
    name = words[1].text if len(words) > 1 else ""
    if name:
        _check(NAME, words[1], "a section name has letters, digits and _")
    known = sections.named(name)
    if known is not None and known.type != type_word.text:
        text = f"the section of this name was of another type in line {known.line}"
        raise SyntaxFault(text, "give one of them another name", type_word.line, type_word.column, type_word.end)
    sections.open(type_word.text, name, line)


def _take_option(sections: Sections, is_list: bool, words: list[Word], line: int, column: int) -> None:
    name_word = words[0]
    _check(NAME, name_word, "an option name has letters, digits and _")
    if not sections.is_open:
        raise SyntaxFault("an option outside of a section", "begin with a config line", line, column, name_word.end)
    value = words[1].text if len(words) > 1 else ""
    sections.add(name_word.text, value, is_list, line, column)
