"""A finding as compilers show it: what is wrong, the line it is in, a mark under the place, what to do.

Text in, lines out; opens no file. Nothing of a file reaches the terminal that could act upon it,
and a line is cut around the mark, however long it is.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.config.diagnostic import ERROR, WARNING, Diagnostic
from netpolicy.config.region import region

from .terminal import cells, clean, prefix

TAB = 4
NARROWEST = 20  # of a source line
CUT = "…"

Paint = Callable[[str, str], str]

COLOUR = {ERROR: "red", WARNING: "yellow"}


def plain(text: str, colour: str) -> str:
    """No colour."""
    del colour
    return text


def render(item: Diagnostic, line: str = "", width: int = 80, paint: Paint = plain) -> str:
    """The finding in several lines; `line` is the source line, "" where it must not be shown or is not known."""
    head = f"{item.severity}[{item.code}]"
    rule = f" rule {item.rule!r}:" if item.rule else ""
    lines = [paint(head, COLOUR.get(item.severity, "bold")) + clean(f":{rule} {item.message}")]
    number = str(item.line) if item.line else ""
    gutter = " " * len(number)
    place = ":".join([item.file, *[str(one) for one in (item.line, item.column) if one]])
    lines.append(clean(f"{gutter} --> {place}"))
    column, length = region(item, line)
    if column:
        shown, mark = marked(line, column, length, max(width - len(number) - 3, NARROWEST))
        lines += [f"{gutter} |", f"{number} | {shown}", f"{gutter} | " + paint(mark, COLOUR.get(item.severity, "bold"))]
    lines += [f"{gutter} = help: {clean(text)}" for text in helps(item)]
    return "\n".join(lines)


def helps(item: Diagnostic) -> list[str]:
    """What to do, in words; the proposal too, where the words do not contain it."""
    found = [item.hint] if item.hint else []
    if item.fix and item.fix not in item.hint:
        found.append(f"write {item.fix!r}")
    return found


def marked(line: str, column: int, length: int, width: int) -> tuple[str, str]:
    """The line in at most `width` cells, and the mark under its part from `column` on."""
    before = _expanded(line[: column - 1])
    part = _expanded(line[column - 1 : column - 1 + length], cells(before))
    after = _expanded(line[column - 1 + length :], cells(before + part))
    part = _cut_end(part, width - 2)
    room = width - cells(part)
    shown_before = _cut_start(before, max(room // 2, room - cells(after), 1))
    shown = shown_before + part
    shown += _cut_end(after.rstrip(), width - cells(shown))
    return shown.rstrip(), " " * cells(shown_before) + "^" * max(1, cells(part.rstrip()))


def _expanded(text: str, at: int = 0) -> str:
    """Without tabs and without characters that a terminal would act upon; `at` cells are before it."""
    found = []
    for piece in text.split("\t"):  # not for every character: a line can be as long as a file
        if found:
            found.append(" " * (TAB - at % TAB))
            at += len(found[-1])
        found.append(clean(piece))
        at += cells(found[-1])
    return "".join(found)


def _cut_end(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    return prefix(text, max(width - 1, 0)) + (CUT if width > 0 else "")


def _cut_start(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    kept = text[len(text) - min(len(text), width) :]
    while kept and cells(kept) > width - 1:
        kept = kept[1:]
    return CUT + kept
