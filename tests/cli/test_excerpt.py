"""A finding with its line and a mark: what stands under what, whatever the line holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.cli.excerpt import CUT, marked, render
from netpolicy.cli.terminal import cells
from netpolicy.config.diagnostic import Diagnostic


def item(column: int, length: int, line: int = 32, hint: str = "did you mean 'wan'?", fix: str = "wan") -> Diagnostic:
    return Diagnostic(
        "NP204", "error", "net", line, column, "mail", "route 'wann' is not an outbound", hint, length, fix
    )


def test_the_whole_of_a_finding() -> None:
    assert render(item(16, 4), "\toption route 'wann'") == (
        "error[NP204]: rule 'mail': route 'wann' is not an outbound\n"
        "   --> net:32:16\n"
        "   |\n"
        "32 |     option route 'wann'\n"
        "   |                   ^^^^\n"
        "   = help: did you mean 'wan'?"
    )


def test_without_a_line_the_place_alone_is_shown() -> None:
    assert render(item(3, 4, hint=""), "").splitlines()[1:] == ["   --> net:32:3", "   = help: write 'wan'"]
    assert render(item(0, 0, 0, "", "")).splitlines()[1:] == [" --> net"]


def test_colours_are_around_the_words_and_change_nothing_else() -> None:
    def paint(text: str, colour: str) -> str:
        return f"<{colour}>{text}</>"

    painted = render(item(16, 4), "\toption route 'wann'", paint=paint)
    assert painted.startswith("<red>error[NP204]</>: rule")
    assert "<red>                  ^^^^</>" in painted


@pytest.mark.parametrize(
    ("line", "column", "length", "shown", "mark"),
    [
        ("\tab\tc", 5, 1, "    ab  c", "        ^"),
        ("a\tb", 1, 3, "a   b", "^^^^^"),
        ("视频=x", 4, 1, "视频=x", "     ^"),
        ("a视频", 2, 2, "a视频", " ^^^^"),
        ("e\u0301x", 3, 1, "e\u0301x", " ^"),
        ("a\x1b[2Jb", 6, 1, "a?[2Jb", "     ^"),
        ("a\u202eb", 3, 1, "a?b", "  ^"),
        ("ab  ", 1, 4, "ab", "^^"),
    ],
)
def test_the_mark_stands_under_its_part(line: str, column: int, length: int, shown: str, mark: str) -> None:
    assert marked(line, column, length, 80) == (shown, mark)


def test_a_long_line_is_cut_around_the_mark() -> None:
    line = "a" * 500 + "HERE" + "b" * 500
    shown, mark = marked(line, 501, 4, 40)
    assert cells(shown) <= 40 and shown[0] == shown[-1] == CUT
    assert shown[mark.index("^") :][:4] == "HERE" and mark.count("^") == 4
    shown, mark = marked("x" * 1000, 1, 1000, 40)
    assert cells(shown) <= 40 and cells(mark) <= 40
    assert marked("HERE" + "b" * 500, 1, 4, 40)[0].startswith("HEREb")
    assert marked("a" * 500 + "HERE", 501, 4, 40)[0].endswith("aHERE")


@given(st.text(max_size=200).map(lambda text: text.replace("\n", "")), st.integers(1, 200), st.integers(0, 50))
def test_nothing_that_a_terminal_acts_upon_comes_through(line: str, column: int, length: int) -> None:
    for text in render(item(column, length), line, 60).split("\n"):
        assert text.isprintable()
    if 0 < column <= len(line):
        shown, mark = marked(line, column, max(length, 1), 57)
        assert cells(shown) <= 57 and "^" in mark and cells(mark) <= 58
