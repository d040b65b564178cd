"""One line of DSL text: words, pairs, quotes, commas, comments, and their columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.dsl_word import MAX_PIECES, MAX_WORDS, WordFault, quoted_name, split


def words(line, keys=True):
    return [(word.key, [piece.text for piece in word.pieces], word.column) for word in split(line, 0, keys).words]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("any", [("", ["any"], 1)]),
        ("route=x=y", [("route", ["x=y"], 1)]),
        ("latency_ms=>120 rtt_ms===5", [("latency_ms", [">120"], 1), ("rtt_ms", ["==5"], 17)]),
        ("sni=\"a b\",'c,d',e", [("sni", ["a b", "c,d", "e"], 1)]),
        ("a = b", [("a", ["b"], 1)]),
        ("a =b", [("", ["a"], 1), ("", ["=b"], 3)]),
        ("\tport=80,,443 ", [("port", ["80", "", "443"], 2)]),
        ("=example.com", [("", ["=example.com"], 1)]),
        ("ssh://a?b=c", [("", ["ssh://a?b=c"], 1)]),
        (r'x="say \"hi\" \\ \d"', [("x", [r'say "hi" \ \d'], 1)]),
        ("a#b # c", [("", ["a#b"], 1)]),
        ("state=", [("state", [""], 1)]),
    ],
)
def test_words_and_their_columns(line, expected):
    assert words(line) == expected


def test_without_keys_an_equals_sign_is_a_character():
    assert words("a=b c", keys=False) == [("", ["a=b"], 1), ("", ["c"], 5)]


def test_the_comment_is_kept_and_quotes_hide_it():
    assert split('a "# no" # yes  ').comment == "# yes"
    assert split("# all").comment == "# all"
    assert split("a").comment == ""


@pytest.mark.parametrize(
    ("line", "text", "column"),
    [
        ('a="', "unterminated quote", 3), ("a='b\"", "unterminated quote", 3), ('a="b"c', "ends in the middle", 1),
        ('a=b"c"', "in the middle", 4), ('"\\"', "unterminated quote", 1),
    ],
)  # fmt: skip
def test_quotes_that_do_not_fit_are_faults_with_their_column(line, text, column):
    with pytest.raises(WordFault) as fault:
        split(line)
    assert text in fault.value.text
    assert fault.value.column == column


def test_a_quoted_name_ends_at_its_quote():
    assert quoted_name('rule "a: \\"b\\"":', 5) == ('a: "b"', 15)


@given(st.text("ab=,#\"'\\ \t", max_size=30))
def test_every_line_is_taken_apart_or_refused(line):
    try:
        split(line)
    except WordFault as fault:
        assert 1 <= fault.column <= len(line) + 1  # noqa: PT017


def test_columns_are_those_of_the_first_character_of_a_value():
    line = "  port=80, x 'y',\"z\""
    for word in split(line).words:
        for piece in word.pieces:
            assert line[piece.column - 1 :].startswith(piece.text)


def test_a_line_of_more_words_or_values_than_anybody_writes_is_refused():
    assert len(split("a " * MAX_WORDS).words) == MAX_WORDS
    for line in ("a " * (MAX_WORDS + 1), "a" + "," * MAX_PIECES):
        with pytest.raises(WordFault) as fault:
            split(line)
        assert fault.value.code == "NP004"


@given(st.lists(st.text("ab=,\"'\\# \té", max_size=8), min_size=1, max_size=4))
def test_whatever_is_quoted_comes_back(texts):
    quoted = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]
    assert [piece.text for piece in split("k=" + ",".join(quoted) + " # end").words[0].pieces] == texts
