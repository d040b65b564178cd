"""A text that must occur in whatever a name pattern matches, by which such a pattern can be looked up.

Never says that a name matches: a name with the literal in it may still not. "" where a pattern has
no such text, or none that was found: what is inside groups is not looked at.
"""

from netpolicy.core.domain import KEYWORD
from netpolicy.core.pattern import CLASSES

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.domain import DomainPattern

# So many characters are one key of a table of literals; a literal hangs under the longest that it has.
LONG_GRAM = 6
SHORT_GRAM = 3


def literal_of(pattern: "DomainPattern") -> str:
    """The literal of a keyword or an expression."""
    return pattern.word if pattern.kind == KEYWORD else literal_of_regex(pattern.word)


def literal_of_regex(text: str) -> str:
    """The longest literal outside of groups and sets, in lower case as expressions are matched; "" without one."""
    best = run = ""
    depth = at = 0
    while at < len(text):
        part, at = _part(text, at)
        if part == "|" and depth == 0:
            return ""  # either side matches without the other
        if part in ("(", ")"):
            depth += 1 if part == "(" else -1
        times = _times(text, at) if part != "(" else text[at : at + 2] if text[at : at + 1] == "?" else ""
        at += len(times)
        literal = "" if depth else _literal(part)
        run = "" if not literal or times[:1] in ("*", "?", "{") else run + literal
        if len(run) > len(best):
            best = run
        if times:
            run = ""  # what follows may stand behind another one of these
    return best.lower()


def _part(text: str, at: int) -> tuple[str, int]:
    """One character, escape or set of a valid pattern, and where the next part begins."""
    first = text[at]
    if first == "\\":
        return text[at : at + 2], at + 2
    if first != "[":
        return first, at + 1
    end = at + 2 if text[at + 1] == "^" else at + 1
    end = _behind_member(text, end)  # a ] at this place stands for itself
    while text[end] != "]":
        end = _behind_member(text, end)
    return text[at : end + 1], end + 1


def _behind_member(text: str, at: int) -> int:
    return at + 2 if text[at] == "\\" else at + 1


def _literal(part: str) -> str:
    """The one character that the part takes, "" where it takes one of several or none."""
    if part[0] == "\\":
        return "" if part[1].lower() in CLASSES else part[1]
    return "" if part[0] in "[.^$()" else part


def _times(text: str, at: int) -> str:
    """The repetition that stands there, "" without one."""
    if text[at : at + 1] not in ("*", "+", "?", "{"):
        return ""
    end = text.index("}", at) + 1 if text[at] == "{" else at + 1
    return text[at : end + 1] if text[end : end + 1] == "?" else text[at:end]


def grams(text: str, size: int) -> "list[str]":
    """Every key of that size that the text has in a table of literals."""
    return [text[at : at + size] for at in range(len(text) - size + 1)]


def gram_size(literal: str) -> int:
    """The size of the keys that a literal may hang under, 0 for one that is too short."""
    for size in (LONG_GRAM, SHORT_GRAM):
        if len(literal) >= size:
            return size
    return 0
