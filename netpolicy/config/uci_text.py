"""The grammar of a UCI text: lines, commands, sections, strictly and with the place of every word.

Never raises for what a text contains, never guesses: what libuci would lose without a word is
an error here. Never quotes what breaks the syntax: the file may be one of passwords, and
everybody sees the findings. Behaviour follows libuci's file parser (openwrt/uci, file.c), seen
running: a text that both accept means the same to both (tests/config/test_uci_contract.py).
Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import SECTION_TYPES
from netpolicy.config.source import SourceFile
from netpolicy.config.uci_section import OpenSection, Sections
from netpolicy.config.uci_word import Cursor, SyntaxFault, Word, next_word, reaching, until
from netpolicy.config.value import NAME_CHARACTERS

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_COMMANDS = 200_000  # 10 000 rules of 20 lines; a megabyte of one-letter sections is an attack
MAX_SYNTAX_ERRORS = 100  # each recovery may scan the rest of the file again


PACKAGE_CHARACTERS = NAME_CHARACTERS + "-"
TYPE_CHARACTERS = "".join([chr(code) for code in range(0x21, 0x7F)])

# Keyword (libuci also takes its first letter): arguments that must be there, arguments at most.
COMMANDS = {"package": (1, 1), "config": (1, 2), "option": (1, 2), "list": (1, 2)}
EXAMPLES = {
    "package": "package netpolicy", "config": "config rule 'mail'", "option": "option block '1'",
    "list": "list dest_port '25'",
}  # fmt: skip


def read_carefully(text: str, file: str = "<text>") -> SourceFile:
    """The sections of a text, word by word: what every faster way has to agree with."""
    return read_with(text, file, lambda cursor, sections: None)


def read_with(text: str, file: str, read_ahead: "Callable[[Cursor, Sections], None]") -> SourceFile:
    """The sections of a text; `read_ahead` may take lines that it knows, before each one."""
    findings = Findings()
    check_characters(text, file, findings)
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
            findings.error("NP003", Place(file, fault.line, fault.column, fault.rule), fault.text, fault.hint)
            cursor.go_after_line(fault.resume)
    return SourceFile(file, sections.all(), findings.all)


# Neither text nor line end to a person, and to some programs one of them: C1 controls, line and
# paragraph separators, and what turns the direction of text round, so that a reviewer reads other rules.
MISLEADING = ((0x7F, 0x9F), (0x61C, 0x61C), (0x200E, 0x200F), (0x2028, 0x202E), (0x2066, 0x2069))


def check_characters(text: str, file: str, findings: Findings) -> None:
    """Report a byte order mark and the first character that is no text."""
    if text.startswith("\ufeff"):
        findings.error("NP002", Place(file, 1, 1), "the file begins with a byte order mark", "save it without one")
    found = [text.find(c) for c in set(text) if (c < " " and c not in "\t\n\r") or (c > "~" and _misleads(ord(c)))]
    if found:
        start = min(found)
        line = text.count("\n", 0, start) + 1
        column = start - text.rfind("\n", 0, start)
        message = f"control character 0x{ord(text[start]):02x}"
        findings.error("NP002", Place(file, line, column), message, "remove it; UCI loses what follows some of them")


def _misleads(code: int) -> bool:
    return any(first <= code <= last for first, last in MISLEADING)


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
    word = cursor.text[cursor.position : until(cursor.text, cursor.position, " \t\n")]
    keyword = ""
    for key in COMMANDS:
        if word in (key, key[0]):
            keyword = key
    if not keyword:
        raise cursor.fault("invalid command", "a line begins with config, option, list or #")
    cursor.advance(len(word))
    if keyword == "config":
        sections.close()
    need, _ = COMMANDS[keyword]
    words: list[Word] = []
    try:
        separated = _read_words(cursor, keyword, words)
        if len([word for word in words if word.text]) < need:
            hint = "for example " + EXAMPLES[keyword]
            raise SyntaxFault(f"{keyword} needs a name", hint, line, column, cursor.line_start(line))
        _take(sections, keyword, words, line, column)
    except SyntaxFault as fault:
        # Of a quote that nobody closed the words after it have the mistakes; its own place is the one to show.
        raise next((one for one in map(reaching, words) if one is not None), fault)  # noqa: B904 - not in MicroPython
    return separated


def _read_words(cursor: Cursor, keyword: str, words: list[Word]) -> bool:
    """Take the arguments of a command; whether a ";" ended them."""
    most = COMMANDS[keyword][1]
    while True:
        cursor.skip_blanks()
        if cursor.take_line_end():
            return False
        if cursor.peek == ";":
            return _take_separator(cursor, keyword, words, most)
        if len(words) == most:
            raise cursor.fault("too many arguments", "put a value with blanks between quotes")
        words.append(next_word(cursor))


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
        _check(PACKAGE_CHARACTERS, words[0], "a package name has letters, digits, _ and -")
    elif keyword == "config":
        _take_config(sections, words, line)
    else:
        _take_option(sections, keyword == "list", words, line, column)


def _check(allowed: str, word: Word, what: str) -> None:
    if not word.text or not all(c in allowed for c in word.text):
        raise SyntaxFault("invalid character", what, word.line, word.column, word.end)


def _take_config(sections: Sections, words: list[Word], line: int) -> None:
    type_word = words[0]
    _check(TYPE_CHARACTERS, type_word, "a section type has visible ASCII characters only")
    name = words[1].text if len(words) > 1 else ""
    if name and not all(c in NAME_CHARACTERS for c in name):
        raise _bad_name(type_word.text, words[1])
    known = sections.named(name)
    if known is not None and known.type != type_word.text:
        raise _shared_name(known, type_word, words[1])
    sections.open(type_word.text, name, line)


def _bad_name(type: str, word: Word) -> SyntaxFault:
    what = type if type in SECTION_TYPES else "section"
    hint = "letters, digits and _; `option name`, a name for people, may have any characters"
    return SyntaxFault(f"invalid character in the name of the {what}", hint, word.line, word.column, word.end)


def _shared_name(known: OpenSection, type: Word, name: Word) -> SyntaxFault:
    if known.type in SECTION_TYPES and type.text in SECTION_TYPES:  # else a file of something else: nothing is shown
        text = f"the name {name.text!r} is already used by the {known.type} in line {known.line}"
    else:
        text = f"the section of this name was of another type in line {known.line}"
    hint = "in UCI all sections share their names, whatever they are: give one of them another name"
    rule = name.text if type.text == "rule" else ""
    return SyntaxFault(text, hint, name.line, name.column, type.end, rule)


def _take_option(sections: Sections, is_list: bool, words: list[Word], line: int, column: int) -> None:
    name_word = words[0]
    _check(NAME_CHARACTERS, name_word, "an option name has letters, digits and _")
    if sections.is_refused:
        return  # reported with its first line
    if not sections.is_open:
        raise SyntaxFault("an option outside of a section", "begin with a config line", line, column, name_word.end)
    value, at = (words[1].text, words[1].spot) if len(words) > 1 else ("", 0)
    sections.add(name_word.text, value, is_list, line, column, at)
