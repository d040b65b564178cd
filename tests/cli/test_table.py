"""Tables: cut, never wrapped."""

from __future__ import annotations

import io

import pytest

from netpolicy.cli.table import Column, amount, show
from netpolicy.cli.terminal import Terminal, cells


def drawn(columns: list[Column], rows: list[tuple[object, ...]], width: int) -> list[str]:
    terminal = Terminal(io.StringIO(), io.StringIO())
    terminal.width = width
    show(terminal, columns, rows)
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue().splitlines()


def test_columns_line_up() -> None:
    assert drawn([Column("NAME"), Column("HITS", is_number=True)], [("a", 5), ("longer", 12345)], 80) == [
        "NAME     HITS",
        "a           5",
        "longer  12345",
    ]


def test_the_widest_column_gives_way_first_and_numbers_never() -> None:
    columns = [Column("A"), Column("B"), Column("N", is_number=True)]
    assert drawn(columns, [("short", "x" * 40, 1234567890)], 40)[1] == f"short  {'x' * 20}…  1234567890"


def test_no_column_is_cut_below_its_least_width() -> None:
    lines = drawn([Column("A", least=6), Column("B", least=6)], [("a" * 30, "b" * 30)], 10)
    assert lines[1] == "aaaaa…  bbbbb…"


def test_wide_characters_take_two_cells() -> None:
    lines = drawn([Column("NAME"), Column("X")], [("視訊會議", "1"), ("abc", "2")], 80)
    assert [cells(line) for line in lines] == [11, 11, 11]


def test_wide_characters_are_cut_at_a_whole_one() -> None:
    lines = drawn([Column("N", least=5)], [("視訊會議",)], 6)
    assert lines[1] == "視訊…"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (9949, "9.9k"), (9951, "10k"), (999_499, "999k"), (999_500, "1.0M"),
     (123_456_789, "123M"), (2**63, "9E"), (None, "-"), ("x", "-"), (True, "1")],
)  # fmt: skip
def test_amounts_have_at_most_five_characters(number: object, text: str) -> None:
    assert amount(number) == text
    assert len(text) <= 5
