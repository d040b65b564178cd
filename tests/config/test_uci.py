"""Our own UCI reader: recovery, limits, hostile input."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netpolicy.config import uci
from netpolicy.config.text_file import MAX_BYTES
from netpolicy.config.uci import BuiltinReader, read_data, read_text
from netpolicy.config.uci_text import read_carefully


def places(text: str) -> list[tuple[str, int, int]]:
    return [(item.code, item.line, item.column) for item in read_text(text).diagnostics]


def test_reading_goes_on_in_the_next_line_after_a_mistake():
    file = read_text("config a b\nfoo\n\toption x y z\n\toption v w\nconfig c d e\nconfig c d\n")
    assert [(one.type, one.name) for one in file.sections] == [("a", "b"), ("c", "d")]
    assert [option.name for option in file.sections[0].options] == ["v"]
    assert [(item.line, item.column) for item in file.diagnostics] == [(2, 1), (3, 13), (5, 12)]


def test_an_unterminated_quote_does_not_hide_later_mistakes():
    assert places("config a b\n\toption x 'y\nfoo\n") == [("NP003", 2, 11), ("NP003", 3, 1)]


def test_options_of_a_refused_section_do_not_fall_into_the_one_before():
    file = read_text("config a b\noption x 1\nconfig a c-d\noption x 2\n")
    assert file.sections[0].options[0].values == ("1",)
    assert [(item.line, item.column) for item in file.diagnostics] == [(3, 10)]


def test_what_is_replaced_joined_or_ignored_is_said():
    text = "config a b\noption x 1\noption x 2\nlist x 3\nlist x 4\noption x 5\noption y ''\nconfig a b\n"
    assert [(item.code, item.line) for item in read_text(text).diagnostics] == [
        ("NP005", 3),
        ("NP005", 4),
        ("NP005", 6),
        ("NP006", 7),
        ("NP005", 8),
    ]


def test_a_byte_order_mark_a_nul_and_bytes_that_are_no_text_have_places():
    assert ("NP002", 1, 1) in places("\ufeffconfig a b\n")
    assert places("config a b\n\toption x 'a\0'\n") == [("NP002", 2, 13)]
    file = read_data(b"config a b\noption x '\xff'\n", "f")
    assert [(item.code, item.line) for item in file.diagnostics] == [("NP002", 2)]


def test_a_file_over_the_limit_is_refused_unread(tmp_path):
    (tmp_path / "big").write_bytes(b"#" * (MAX_BYTES + 1))
    assert [item.code for item in BuiltinReader().read(str(tmp_path / "big")).diagnostics] == ["NP004"]
    assert [item.code for item in read_data(b"#" * (MAX_BYTES + 1), "f").diagnostics] == ["NP004"]


def test_more_commands_or_pieces_than_anybody_writes_are_refused():
    file = read_text("c a\n" * 300_000)
    assert [item.code for item in file.diagnostics] == ["NP004"]
    for piece in ("''", "\\a", '"a\\b"'):
        assert [item.code for item in read_text("c a b\no x " + piece * 20_000).diagnostics] == ["NP003"]
    assert places('c a b\no x "' + "\\a" * 20_000 + '"\n') == [("NP003", 2, 5)]


def test_a_path_with_a_nul_byte_is_a_finding():
    assert [item.code for item in BuiltinReader().read("/tmp/a\0b").diagnostics] == ["NP001"]


@pytest.mark.parametrize(
    "unit",
    [
        "'",
        '"',
        "\\",
        "\\\n",
        "''",
        "' \n",
        '"\n',
        "c a\n",
        "o x y;",
        "c a b\nl x y\n",
        "#",
        "\n",
        ";",
        "\t",
        "c a 'b' ;",
    ],
)
def test_a_long_run_of_the_same_is_read_in_bounded_time(unit):
    text = "config a b\noption x " + unit * ((1 << 18) // len(unit))
    start = time.process_time()
    read_text(text)
    assert time.process_time() - start < 5, "linear reading takes well under a second here"


INDENT = st.sampled_from(["", "\t", "  ", "\f"])
BLANK = st.sampled_from([" ", "  ", "\t", "\r", "\v", ""])
LINE_END = st.sampled_from(["\n", "\n", "\r\n", "\n\n\n", "\n \n", ""])
WORD = st.sampled_from(
    ["a", "b", "a1_", "c-d", "é", "'a'", "'b c'", '"a"', '"b;#"', "''", '""', "'", '"a\\n"', "a\\ b", "x'y'", ";", "#"]
)
USUAL_LINE = st.tuples(
    INDENT, st.sampled_from(["config ", "option ", "list "]), st.sampled_from(["a ", "b\t"]), WORD, LINE_END
)
ODD_LINE = st.tuples(
    INDENT,
    st.sampled_from(["config", "option", "list", "package", "o", "l", "konfig", "#", ""]),
    st.lists(st.tuples(BLANK, WORD).map("".join), max_size=3).map("".join),
    BLANK,
    LINE_END,
)
LINE = st.one_of(USUAL_LINE, USUAL_LINE, ODD_LINE).map("".join)


@pytest.mark.parametrize("limit", [3, uci.MAX_COMMANDS])
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.lists(LINE, max_size=12).map(lambda lines: "config a b\n" + "".join(lines)))
def test_ordinary_lines_read_at_once_mean_what_they_mean_word_by_word(monkeypatch, limit, text):
    monkeypatch.setattr(uci, "MAX_COMMANDS", limit)
    assert read_text(text) == read_carefully(text)


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from("config option list package 'ab'\"\\;#\n\r\t\0é"), max_size=200))
def test_no_text_makes_the_reader_raise_or_depend_on_the_path(text):
    assert read_text(text) == read_carefully(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(data):
    read_data(data, "f")
