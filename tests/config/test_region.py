"""Which characters a finding is about."""

from __future__ import annotations

import pytest

from netpolicy.config.diagnostic import Diagnostic
from netpolicy.config.region import is_exact, region


def item(column: int, length: int, line: int = 1, fix: str = "") -> Diagnostic:
    return Diagnostic("NP101", "error", "f", line, column, "", "text", "", length, fix)


@pytest.mark.parametrize(
    ("line", "column", "length", "shown"),
    [
        ("  match port=25", 14, 2, "25"),
        ("\toption dest_prot '25'", 2, 9, "dest_prot"),
        ("\tlist 'dest_prot' '25'", 2, 9, "dest_prot"),
        ("\toption", 2, 6, "option"),
        ("config rule 'x'", 1, 0, "x"),
        ('config "rule" "x"', 1, 9, "x"),
        ("config rule", 1, 0, "config rule"),
        ("rule x:", 1, 0, "rule x:"),
        ("  match port=25 proto=tcp", 9, 0, "port"),
        ("option x", 1, 6, "x"),
        ("rule option y", 6, 6, "option"),  # not at the beginning: no keyword
        ("short", 3, 99, "ort"),
    ],
)
def test_the_characters_that_it_is_about(line: str, column: int, length: int, shown: str) -> None:
    start, count = region(item(column, length), line)
    assert line[start - 1 : start - 1 + count] == shown


@pytest.mark.parametrize("made", [item(1, 1, line=0), item(0, 1), item(99, 1)])
def test_a_place_that_the_line_does_not_have(made: Diagnostic) -> None:
    assert region(made, "abc") == (0, 0)
    assert not is_exact(made, "abc")


def test_a_proposal_replaces_one_word_only() -> None:
    assert is_exact(item(14, 2, fix="26"), "  match port=25")
    assert is_exact(item(2, 9, fix="dest_port"), "\toption dest_prot '25'")
    assert not is_exact(item(14, 2), "  match port=25")
    assert not is_exact(item(1, 0, fix="rule"), "config rulle 'x'")
    assert not is_exact(item(1, 11, fix="rule"), "rulle 'x' or y")
    assert not is_exact(item(3, 8, fix="x"), "  a b c d e")
