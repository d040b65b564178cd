"""Decide what one written YAML value is: its kind, its Python value, or why it is refused.

Never guesses as YAML 1.1 does (`yes`, `12:30`, `010` are texts here), never looks at the lines
around. The types are those of the core schema, YAML 1.2.2 section 10.3, except that a number
with a needless leading zero is a text: `007` is a name, and `010` would be eight elsewhere.
"""

from __future__ import annotations

import json
import re
from typing import Any

from netpolicy.config.node import Node
from netpolicy.config.yaml_gate import MAX_NUMBER

CONSTANTS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(("~", "null", "Null", "NULL"), ("null", None)),
    **dict.fromkeys(("true", "True", "TRUE"), ("boolean", True)),
    **dict.fromkeys(("false", "False", "FALSE"), ("boolean", False)),
}
# Kind and number base by the group that matched.
NUMBER = re.compile(
    r"([-+]?(?:0|[1-9][0-9]*))"
    r"|0x([0-9a-fA-F]+)"
    r"|0o([0-7]+)"
    r"|([-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|([-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
BASES = {1: 10, 2: 16, 3: 8}
NUMBER_STARTS = frozenset("0123456789+-.")

# First characters that cannot begin a plain text, and what they would be in full YAML.
INDICATORS = {
    "*": "an alias",
    "&": "an anchor",
    "!": "a tag",
    "|": "a text block",
    ">": "a folded text block",
    "%": "a directive",
    "@": "reserved",
    "`": "reserved",
    "?": "a complex key",
    ":": "a value without a key",
    "-": "an item of a list",
    ",": "a separator",
    "]": "the end of a list",
    "}": "the end of a map",
    '"': "the begin of a quoted text",
    "'": "the begin of a quoted text",
    "#": "a comment",
}
# They may begin a text when the next character is neither a blank nor, inside brackets, punctuation.
SOMETIMES = frozenset("-?:")
FLOW_PUNCTUATION = frozenset(",[]{}")

BLOCK_HEADER = re.compile(r"[|>][-+0-9]{0,2} *(?:#[^\n]*)?\Z")

ESCAPES = {
    "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b", "0": "\0",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([^xuU])|())", re.DOTALL)

# As in a UCI file: no program that shows a value should have to expect these. A lone half of a
# surrogate pair cannot be written to any file.
UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class YamlFault(Exception):
    """The text is not in the subset: the place (from 1), what is wrong, what to do, what to write instead."""

    def __init__(self, line: int, column: int, text: str, hint: str = "", length: int = 0, fix: str = "") -> None:
        super().__init__(text)
        self.line = line
        self.column = column
        self.text = text
        self.hint = hint
        self.length = length
        self.fix = fix


class YamlLimit(YamlFault):
    """A limit is passed: nothing more is read."""


def quoted(text: str) -> str:
    """The text in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def plain_node(raw: str, line: int, column: int) -> Node:
    """The node of an unquoted value outside brackets, that begins as one may. Raises YamlFault."""
    constant = CONSTANTS.get(raw)
    if constant is not None:
        return Node(constant[0], constant[1], line, column, raw)
    if raw[0] in NUMBER_STARTS:
        found = NUMBER.fullmatch(raw)
        if found is not None:
            return _number(raw, found, line, column)
    if "\t" in raw:
        raise tab_fault(line, column + raw.index("\t"))
    return Node("text", raw, line, column, raw)


def flow_node(raw: str, line: int, column: int) -> Node:
    """The node of an unquoted value inside brackets. Raises YamlFault.

    Versions of YAML and its readers differ about `?` and a free colon there: such a text needs quotes.
    """
    if raw[0] in "?:" or "?" in raw or " :" in raw or raw == "-":
        raise YamlFault(
            line,
            column,
            f"{shortened(raw)} is not clear inside brackets",
            f"write {quoted(raw)}",
            len(raw),
            quoted(raw),
        )
    return plain_node(raw, line, column)


def _number(raw: str, found: re.Match[str], line: int, column: int) -> Node:
    if len(raw) > MAX_NUMBER:
        hint = "a text of digits needs quotes"
        raise YamlFault(line, column, f"a number of {len(raw)} characters, at most {MAX_NUMBER}", hint, len(raw))
    group = found.lastindex or 0
    if group in BASES:
        return Node("integer", int(found[group], BASES[group]), line, column, raw)
    return Node("float", float(raw.replace(".", "", 1) if group == 5 else raw), line, column, raw)


def tab_fault(line: int, column: int) -> YamlFault:
    """A tab where YAML has blanks."""
    return YamlFault(line, column, "a tab outside quotes", "use blanks; in a text write \\t in double quotes", 1, " ")


def begins_plain(text: str, at: int, in_flow: bool) -> bool:
    """Whether an unquoted value may begin at that place of the text, which ends with a line feed."""
    first = text[at]
    if first in SOMETIMES:
        following = text[at + 1]
        return following not in " \n" and not (in_flow and (first != "-" or following in FLOW_PUNCTUATION))
    return first not in INDICATORS and first not in "[]{}\t\n"


def start_fault(word: str, line: int, column: int) -> YamlFault:
    """Why a value may not begin as `word` does: for the mistakes that YAML makes easy."""
    first = word[:1]
    if first == "\t":
        return tab_fault(line, column)
    if BLOCK_HEADER.match(word):
        hint = "write the text on one line, in quotes; a comparator such as '>120' needs quotes, too"
        return YamlFault(line, column, "texts over several lines (| and >) are not supported", hint, len(word))
    meaning = INDICATORS.get(first, "something else")
    message = f"{shortened(word)} without quotes is {meaning} in YAML"
    if first in "*&!" or word == "<<":
        message += ", which is not supported"
    return YamlFault(line, column, message, f"if it is a text, write {quoted(word)}", len(word), quoted(word))


def shortened(text: str) -> str:
    """The text as a message shows it."""
    return text if len(text) <= 60 else text[:60] + "…"


def unescaped(text: str, line: int, column: int) -> str:
    """What stands between double quotes, with its escapes resolved; the place is the first character's."""

    def resolve(found: re.Match[str]) -> str:
        digits = found[1] or found[2] or found[3]
        if digits and int(digits, 16) <= 0x10FFFF:
            return chr(int(digits, 16))
        if found[4] in ESCAPES:
            return ESCAPES[found[4]]
        wrong = text[found.start() : found.start() + (10 if digits else 2)]
        hint = "a backslash itself is \\\\ in double quotes, or use single quotes"
        raise YamlFault(line, column + found.start(), f"{wrong} is no escape", hint, len(wrong))

    return ESCAPE.sub(resolve, text)


def check_value(value: str, line: int, column: int) -> None:
    """Raise YamlFault for a text that holds what no value may hold, by whatever escape it came there."""
    found = UNSPEAKABLE.search(value)
    if found is not None:
        raise YamlFault(line, column, f"the text holds the character U+{ord(found[0]):04X}", "remove that escape")
