"""Sections as front ends give them."""

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.diagnostic import Diagnostic
from netpolicy.config.source import LAST_COLUMN, Option, Section, SourceFile, line_and_column, spot


@given(st.integers(0, 10_000_000), st.integers(0, 5_000_000))
def test_a_spot_is_a_line_and_a_column_that_helps(line, column):
    assert line_and_column(spot(line, column)) == (line, min(column, LAST_COLUMN))


def test_an_option_is_found_by_its_name():
    first, second = Option("proto", ("tcp",), False), Option("proto", ("udp",), False)
    section = Section("rule", "a", False, 3, (first, second))
    assert section.option("proto") is first
    assert section.option("port") is None


def test_what_says_the_same_at_the_same_place_is_equal():
    def made(value: str, line: int = 2) -> Section:
        return Section("rule", "a", False, 1, (Option("proto", (value,), False, line, 1),))

    assert made("tcp") == made("tcp")
    assert hash(made("tcp")) == hash(made("tcp"))
    assert made("tcp") != made("udp")
    assert made("tcp") != made("tcp", 3)
    assert made("tcp") != "tcp"
    assert Option("a", ("b",), False) != Option("a", ("b",), True)
    assert repr(made("tcp")) == "Section('rule', 'a', False, 1, (Option('proto', ('tcp',), False, 2, 1),))"


def test_files_are_equal_with_their_findings():
    finding = Diagnostic("NP003", "error", "f", 1, 1, "", "wrong")
    assert SourceFile("f", (), ()) == SourceFile("f", (), ())
    assert SourceFile("f", (), ()) != SourceFile("f", (), (finding,))
    assert len({SourceFile("f", (), ()), SourceFile("f", (), ())}) == 1
