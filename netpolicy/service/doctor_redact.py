"""What of a text may leave the router in a bundle: lines without secrets, a configuration without its comments.

Stricter than observe.redact, on which it builds: here whole files leave, and nobody reads them first. Decides by names
and looks; rather takes a word too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netpolicy.observe.redact import BLOCK_BEGINS, BLOCK_ENDS, GONE, redact

LONGEST_LINE = 4000
MOST_JOINED = 50  # lines of one quoted value

# `option key 'x'`, `psk: x`, `password=x`, also with the words in quotes. What follows goes to the end of the line.
SECRET_OPTION = re.compile(
    r"^(\s*(?:-\s+)?(?:option\s+|list\s+)?['\"]?\w{0,40}?"
    r"(?:key|psk|pass(?:word|wd|phrase|code)?|pwd|pin|secret|token|auth|login|user(?:name)?|credentials?|cookie|nonce|uuid)"
    r"['\"]?\s*[:=]?\s+|\s*['\"]?\w{0,40}?(?:key|psk|pass\w{0,8}|pwd|secret|token)['\"]?\s*[:=]\s*)\S.*$",
    re.IGNORECASE | re.DOTALL,
)


def without_secrets(text: str) -> str:
    """The output of a program or a log, line by line."""
    return "".join([redact(line, LONGEST_LINE) + "\n" for line in _without_blocks(text.splitlines())])


def of_configuration(text: str) -> str:
    """A configuration in any of our spellings: comments are free text, and values of secret options are secrets."""
    kept = []
    for line in _whole_values(_without_blocks(text.splitlines())):
        line = SECRET_OPTION.sub(rf"\1{GONE}", _without_comment(line))
        kept.append(redact(line, LONGEST_LINE) + "\n")
    return "".join(kept)


def _without_blocks(lines: list[str]) -> Iterator[str]:
    """Without keys in their armour, which go over several lines; one without an end takes all that follows."""
    is_inside = False
    for line in lines:
        if BLOCK_BEGINS in line:
            is_inside = True
            yield GONE
        if not is_inside:
            yield line
        elif BLOCK_ENDS in line:
            is_inside = False


def _whole_values(lines: Iterator[str]) -> Iterator[str]:
    """A secret that goes over several lines is one line: else its rest would have no name."""
    held: list[str] = []
    for line in lines:
        held.append(line)
        joined = "\n".join(held)
        if len(held) < MOST_JOINED and SECRET_OPTION.match(held[0]) and _is_open(joined):
            continue
        yield joined
        held = []
    if held:
        yield "\n".join(held)


def _is_open(text: str) -> bool:
    quote = ""
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (not place or text[place - 1].isspace()):
            return False
    return bool(quote)


def _without_comment(line: str) -> str:
    quote = ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "#" and (not place or line[place - 1].isspace()):
            return line[:place] + "#"
    return line
