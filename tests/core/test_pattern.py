"""Regular expressions on names: RE2's answers, in linear time."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.core.pattern import MAX_STATES, compile_pattern
from netpolicy.core.value import ValueProblem

ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "z",
        "9",
        ".",
        "-",
        r"\.",
        r"\d",
        r"\w",
        r"\D",
        r"\W",
        "[ab]",
        "[^a]",
        "[a-c9]",
        "[.-]",
        "[]a]",
        "Z",
        "_",
        r"\s",
        r"\S",
        "[A-C]",
        "[A-z]",
        "[0-Z]",
        "[^Z-a]",
        "()",
        "^",
        "$",
    ]
)
REPEATS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}", "{0}", "*?", "+?"])


def join(parts):
    return "".join(atom + ("" if atom in "^$" else repeat) for atom, repeat in parts)


SIMPLE = st.lists(st.tuples(ATOMS, REPEATS), min_size=1, max_size=5).map(join)
PATTERNS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("|".join),
        st.tuples(inner, st.sampled_from(["", "?", "{2}"])).map(lambda pair: f"({pair[0]}){pair[1]}"),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=4,
)


@given(PATTERNS, st.lists(st.text("abz9.-_", max_size=12), min_size=1, max_size=5))
@settings(max_examples=600)
def test_it_finds_what_pythons_expressions_find(pattern, names):
    ours = compile_pattern(pattern)
    for name in names:
        assert ours.search(name) == bool(re.search(pattern, name, re.IGNORECASE | re.ASCII)), (pattern, name)


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        (r"^ads?[0-9]*\.", ["ad.example.com", "ads12.x"], ["bad.example.com", "adx.com"]),
        (r"(^|\.)tracker\.", ["tracker.x", "a.tracker.com"], ["mytracker.com"]),
        (r"cdn-[a-f0-9]{4}$", ["cdn-12ab"], ["cdn-12a", "cdn-12abz"]),
        ("VIDEO", ["my-video.com", "VIDEO.com"], ["vide.com"]),
        (r"^(?:a|b+?){2,}$", ["ab", "bbbb"], ["a", "abc"]),
        (r"^[^.]+\.example\.com$", ["a.example.com"], ["example.com", "a.b.example.com", "a.examplexcom"]),
        ("^[0-Z]+$", ["a9"], ["a_9"]),  # as in re: Z comes before _ and the small letters
    ],
)
def test_examples(pattern, hits, misses):
    compiled = compile_pattern(pattern)
    assert all(compiled.search(name) for name in hits)
    assert not any(compiled.search(name) for name in misses)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(a*)*b", "(.*)(.*)(.*)x", "(a{0,20}){0,20}b"])
def test_no_pattern_makes_it_slow(pattern):
    compiled = compile_pattern(pattern)
    assert not compiled.search("a" * 255 + "!")
    assert compiled.steps <= 257 * len(compiled._states)
    assert not compiled.search("a" * 2550 + "!")
    assert compiled.steps <= 2552 * len(compiled._states)


@pytest.mark.timeout(60)  # it would take for ever
@pytest.mark.parametrize("inner", ["", "a{0}", "a{0,0}", "(?:)", "()*"])
def test_repetitions_of_nothing_take_no_time(inner):
    compiled = compile_pattern("(" * 18 + inner + "){100}" * 18 + "b")
    assert compiled.search("ab")
    assert len(compiled._states) == 1


@pytest.mark.parametrize(
    ("times", "states"), [("+", 21), ("*", 41), ("{1,}", 21), ("{2,}", None), ("{2}", None), ("{0,2}", None)]
)
def test_groups_in_groups_double_only_what_is_said_twice(times, states):
    text = "(" * 19 + "a" + times + (")" + times) * 19
    if states is None:
        with pytest.raises(ValueProblem, match="more than 1000 states"):
            compile_pattern(text)
    else:
        assert len(compile_pattern(text)._states) <= states


def test_a_set_costs_as_much_as_its_different_characters():
    compiled = compile_pattern("[" + "!-~" * 80 + "]")
    assert all(len(state[1][1]) <= 95 for state in compiled._states)


@pytest.mark.parametrize(
    "text",
    ["", "(", ")", "a)", "[", "[]", "[z-a]", "*", "a**", "a{3,1}", "a{,3}", "a{1000}", "(?=a)", "(?P<n>a)", r"\1",
     r"\b", "\\", "a{", "}", "]", "ä", "a\n", "[[:alpha:]]", "(?i)a",
     "((((a{100}){100}){100}", "^*", "a" * 257, "(" * 30],
)  # fmt: skip
def test_what_is_not_in_the_subset_is_refused_with_a_reason(text):
    with pytest.raises(ValueProblem) as refused:
        compile_pattern(text)
    assert refused.value.text
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "what", "character"),
    [
        ("ab)", "a ) without its (", 3), ("a(bc", "a ( without its )", 2), ("ab[cd", "a [ without its ]", 3),
        ("a[bz-c]", "a range that", 4), ("a(*b)", "nothing to repeat", 3), ("ab**", "repetition of a repetition", 4),
        ("a*+", "repetition of a repetition", 3), ("a{3,1}", "a repetition other", 2), ("a{3,1001}", "0 to 1", 5),
        ("a(?=b)", "a group other than", 2), ("a(?P<n>b)", "a group other than", 2), ("(?i)a", "a group other than", 1),
        ("(a)\\1", "\\1, which has no meaning", 4), ("a\\b", "\\b, which has no", 2), ("abc\\", "\\, which", 4),
        ("a[[:alpha:]]", "a named class", 3), ("[a\\D]", "negated class", 3), ("ab}", "a } that is not written as", 3),
        ("ab\u00e4", "ASCII", 3), ("(" * 21 + "a" + ")" * 21, "more than 20 groups", 21),
        ("b(a{100}){100}", "more than 1000 states", 10), ("a{100}" * 11, "more than 1000 states", 61),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_wrong_and_at_which_character(text, what, character):
    with pytest.raises(ValueProblem) as refused:
        compile_pattern(text)
    assert what in refused.value.text
    assert refused.value.text.endswith(f" at character {character}")


def test_twenty_groups_in_each_other_are_the_limit():
    assert compile_pattern("(" * 20 + "a" + ")" * 20).search("a")


def test_repetitions_are_limited_by_what_they_cost():
    with pytest.raises(ValueProblem, match="more than 1000 states"):
        compile_pattern("(a{100}){100}")
    assert len(compile_pattern("a{100}" * 10)._states) == MAX_STATES
    with pytest.raises(ValueProblem, match="more than 1000 states"):
        compile_pattern("a{100}" * 10 + "|")


SYNTAX = st.text("ab.()[]{}*+?|^$\\-,0129dws:", max_size=300)
PIECES = st.lists(st.sampled_from(["(", ")", "a", "|", "{0}", "{100}", "{0,99}", "+", "*", "[a-z]"]), max_size=60)


@given(st.one_of(st.text(max_size=300), SYNTAX, PIECES.map("".join)))
@settings(max_examples=600)
def test_any_text_compiles_or_is_refused(text):
    with contextlib.suppress(ValueProblem):
        compiled = compile_pattern(text)
        assert len(compiled._states) <= MAX_STATES
        compiled.search("a.b-c")
