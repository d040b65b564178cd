"""The literal of a pattern is in every name that the pattern matches."""

import random

import pytest

from netpolicy.core.domain import parse_domain
from netpolicy.core.index_literal import gram_size, grams, literal_of, literal_of_regex
from netpolicy.core.pattern import compile_pattern
from netpolicy.core.value import ValueProblem


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("^ads\\.", "ads."),
        ("track[0-9]+\\.example", ".example"),
        ("a|b", ""),
        ("(a|bcd)ef", "ef"),
        ("abc?def", "def"),
        ("abc*", "ab"),
        ("abc+d", "abc"),
        ("ab{2}cd", "cd"),
        ("ab(cd){2}ef", "ab"),
        ("(?:x)?yz", "yz"),
        ("x.yz", "yz"),
        ("[]a]bc", "bc"),
        ("[^]]bc", "bc"),
        ("[a\\]b]cd", "cd"),
        ("\\dab\\wcd\\.e", "cd.e"),
        ("ABC", "abc"),
        ("ab+?cd", "ab"),
        ("((a)(b)c)de", "de"),
        (".*", ""),
    ],
)
def test_the_literal_of_an_expression(text: str, literal: str) -> None:
    compile_pattern(text)
    assert literal_of_regex(text) == literal


def test_no_name_matches_without_the_literal() -> None:
    rng = random.Random(3)
    parts = (
        "a",
        "b",
        "ab",
        ".",
        "\\.",
        "[ab]",
        "[^a]",
        "(",
        ")",
        "|",
        "*",
        "+",
        "?",
        "{2}",
        "{0,1}",
        "^",
        "$",
        "(?:",
        "\\d",
    )
    names = ["".join(rng.choice("ab.1") for _ in range(rng.randrange(9))) for _ in range(60)]
    matched = with_literal = 0
    for _ in range(4000):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 7)))
        try:
            pattern = compile_pattern(text)
        except ValueProblem:
            continue
        literal = literal_of_regex(text)
        with_literal += literal != ""
        for name in names:
            if literal not in name:
                assert not pattern.search(name), (text, name)
            matched += literal in name
    assert matched > 1000 and with_literal > 500


def test_the_literal_of_a_keyword_is_the_keyword() -> None:
    assert literal_of(parse_domain("keyword:Track")) == "track"
    assert literal_of(parse_domain("regex:^ab[0-9]")) == "ab"


def test_every_part_of_a_text_is_a_key() -> None:
    assert grams("abcde", 3) == ["abc", "bcd", "cde"]
    assert grams("ab", 3) == []
    assert [gram_size(text) for text in ("ab", "abc", "abcde", "abcdef", "abcdefg")] == [0, 3, 3, 6, 6]
