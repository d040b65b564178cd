"""Print plain objects (dicts, lists, texts, numbers) as YAML.

Never writes an unquoted text that any YAML reader of today, of version 1.1 or 1.2, could take for something
else. What is printed is in the subset of docs/yaml.md: reading it gives the same objects.
"""

from __future__ import annotations

import re
from typing import Any

from netpolicy.config.yaml_gate import FORBIDDEN, MAX_DEPTH, MAX_KEY, MAX_NUMBER

WIDTH = 100  # a list of scalars that is longer has one item per line

# Words joined by single blanks or colons: nothing that means something to YAML, in brackets or outside.
SAFE = re.compile(r"(?:[\w/]|\.(?=\w))[\w./+=@%()*-]*(?:(?: |::?)[\w./+=@(][\w./+=@%()*-]*)*")
WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
# Numbers, times and dates of YAML 1.1 and 1.2, taken broadly.
NUMBER_LIKE = re.compile(
    r"0[xob][0-9a-f_]*"
    r"|[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]*)?"
    r"|\.[0-9_]*(?:e[-+]?[0-9]*)?|\.(?:inf|nan)"
    r"|[0-9_]+(?::[0-9_]*)+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*",
    re.IGNORECASE,
)
ESCAPED = re.compile('["\\\\\n\t]|' + FORBIDDEN.pattern + "|\r")
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote_yaml(text: str) -> str:
    """The text as a YAML value or key: plain where that is safe everywhere, else in double quotes."""
    return text if is_plain(text) else '"' + ESCAPED.sub(_escape, text) + '"'


def is_plain(text: str) -> bool:
    """Whether the text needs no quotes, neither in a line of its own nor inside brackets."""
    return (
        SAFE.fullmatch(text) is not None
        and text.lower() not in WORDS
        and NUMBER_LIKE.fullmatch(text.lstrip("+")) is None
    )


def to_yaml(value: Any) -> str:
    """The text of a file that holds this value: block style, two blanks per level, a line feed at the end.

    Dicts keep their order; short lists of scalars stand in brackets. Raises ValueError for anything that
    could not be read back: other types, other keys than texts, more than 32 levels, numbers and keys
    beyond the limits.
    """
    return "\n".join(_lines(value, WIDTH, 0)) + "\n"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] in SHORT:
        return SHORT[found[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _lines(value: Any, width: int, depth: int) -> list[str]:
    """The lines of a value that `depth` maps and lists hold."""
    short = _one_line(value, width, depth)
    return _block(value, width, depth) if short is None else [short]


def _block(value: Any, width: int, depth: int) -> list[str]:
    """The lines of a map or list, one per entry or more."""
    lines = []
    if isinstance(value, dict):
        for key, one in value.items():
            lines += _pair(key, one, width, depth + 1)
        return lines
    for one in value:
        first, *more = _lines(one, width - 2, depth + 1)
        lines += ["- " + first, *("  " + line for line in more)]
    return lines


def _pair(key: Any, value: Any, width: int, depth: int) -> list[str]:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not a text")
    head = quote_yaml(key) + ":"
    if len(head) > MAX_KEY:
        raise ValueError(f"a key of more than {MAX_KEY} characters")
    short = _one_line(value, width - len(head) - 1, depth)
    if short is not None:
        return [f"{head} {short}"]
    return [head, *("  " + line for line in _block(value, width - 2, depth))]


def _one_line(value: Any, width: int, depth: int) -> str | None:
    """A scalar, an empty collection or a short list of scalars; None for what needs lines of its own."""
    if not isinstance(value, dict | list | tuple):
        return _scalar(value)
    if depth >= MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels of maps and lists")
    if not value:
        return "{}" if isinstance(value, dict) else "[]"
    if isinstance(value, dict) or any(isinstance(one, dict | list | tuple) for one in value):
        return None
    line = "[" + ", ".join(_scalar(one) for one in value) + "]"
    return line if len(line) <= width else None


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote_yaml(value)
    if isinstance(value, int) and abs(value) < 10 ** (MAX_NUMBER - 1):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        return text.replace("inf", ".inf").replace("nan", ".nan")
    raise ValueError(f"{type(value).__name__} has no form in YAML here, or is too large")
