"""Tables that fit the terminal: columns are cut with …, lines never wrap.

Knows texts and widths, nothing of what they mean. What is too wide is taken from the widest
column that may shrink, cell by cell, so that short columns stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .terminal import Terminal, cells, clean, cut

GAP = 2
NARROWEST_COLUMN = 4


class Column:
    """A heading, and how its cells are shown: `numbers` to the right, `colour` by the cell's text."""

    __slots__ = ("colour", "is_number", "least", "title")

    def __init__(
        self, title: str, is_number: bool = False, least: int = 0, colour: Callable[[str], str] | None = None
    ) -> None:
        self.title = title
        self.is_number = is_number
        self.least = least or NARROWEST_COLUMN  # cells below which it is not cut
        self.colour = colour


def show(terminal: Terminal, columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Print the heading and the rows."""
    texts = [[clean(cell) for cell in row] for row in rows]
    widths = fit(columns, texts, terminal.width)
    terminal.line(_heading(columns, widths))
    for row in texts:
        terminal.line(line(terminal, columns, widths, row))


def _heading(columns: Sequence[Column], widths: Sequence[int]) -> str:
    return _join([_padded(column, column.title, width) for column, width in zip(columns, widths, strict=True)])


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int) -> list[int]:
    """The widths of the columns: as wide as their texts, less where the line would be too long."""
    widths = [max([cells(column.title), *(cells(row[index]) for row in rows)]) for index, column in enumerate(columns)]
    over = sum(widths) + GAP * (len(widths) - 1) - available
    while over > 0:
        shrinkable = [index for index, column in enumerate(columns) if widths[index] > _floor(column)]
        if not shrinkable:
            break
        widest = max(shrinkable, key=lambda index: widths[index])
        widths[widest] -= 1
        over -= 1
    return widths


def _floor(column: Column) -> int:
    # A number that lost a digit is another number.
    return 1 << 16 if column.is_number else column.least


def line(terminal: Terminal, columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> str:
    """One row as a line without blanks at its end."""
    parts = []
    for column, width, text in zip(columns, widths, row, strict=True):
        padded = _padded(column, cut(text, width), width)
        parts.append(terminal.paint(padded, column.colour(text)) if column.colour else padded)
    return _join(parts)


def _padded(column: Column, text: str, width: int) -> str:
    blanks = " " * max(width - cells(text), 0)
    return blanks + text if column.is_number else text + blanks


def _join(parts: Sequence[str]) -> str:
    return (" " * GAP).join(parts).rstrip()


def amount(number: object) -> str:
    """A count in at most five characters: 950, 1.2k, 34M."""
    if not isinstance(number, (int, float)):
        return "-"
    size = float(number)
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(size) < 999.5:
            return f"{size:.1f}{unit}" if unit and abs(size) < 9.95 else f"{size:.0f}{unit}"
        size /= 1000
    return f"{size:.0f}E"
