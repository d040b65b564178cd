"""Width, colour and what may reach a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.cli.terminal import NARROWEST, Terminal, cells, clean, cut, screen_width, wrap


@pytest.mark.parametrize(
    ("columns", "width"), [("132", 132), ("10", NARROWEST), ("", 80), ("0", 80), ("x", 80), ("9" * 9, 99999)]
)
def test_columns_says_how_wide(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert screen_width(io.StringIO()) == width


def test_what_is_no_terminal_gets_no_colour() -> None:
    assert Terminal(io.StringIO(), io.StringIO()).paint("text", "red") == "text"


@given(st.text(), st.integers(25, 100), st.integers(0, 5))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int, indent: int) -> None:
    lines = wrap(clean(text), width, indent)
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(clean(text).split())


def test_a_paragraph_hangs_under_its_label() -> None:
    assert wrap("label  one two three four", 14, 7) == ["label  one two", "       three", "       four"]


def test_leading_blanks_stay() -> None:
    assert wrap("  why: because", 80, 4) == ["  why: because"]


@given(st.text(), st.integers(2, 40))
def test_cut_text_fits_and_shows_that_it_was_cut(text: str, width: int) -> None:
    plain = clean(text)
    short = cut(plain, width)
    assert cells(short) <= width
    assert short == plain or short.endswith("…")


@given(st.text())
def test_clean_text_has_no_character_that_acts(text: str) -> None:
    assert clean(text).isprintable()
