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


@given(PATTERNS, st.lists(st.text("abz9.-", max_size=12), min_size=1, max_size=5))
@settings(max_examples=600)
def test_it_finds_what_pythons_expressions_find(pattern, names):
    ours = compile_pattern(pattern)
    for name in names:
        # \Z: Python's $ also matches before a final line end, which no name has
        assert ours.search(name) == bool(re.search(pattern, name)), (pattern, name)


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        (r"^ads?[0-9]*\.", ["ad.example.com", "ads12.x"], ["bad.example.com", "adx.com"]),
        (r"(^|\.)tracker\.", ["tracker.x", "a.tracker.com"], ["mytracker.com"]),
        (r"cdn-[a-f0-9]{4}$", ["cdn-12ab"], ["cdn-12a", "cdn-12abz"]),
        ("VIDEO", ["my-video.com"], ["vide.com"]),
    ],
)
def test_examples(pattern, hits, misses):
    compiled = compile_pattern(pattern)
    assert all(compiled.search(name) for name in hits)
    assert not any(compiled.search(name) for name in misses)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(a*)*b", "(.*)(.*)(.*)x"])
def test_no_pattern_makes_it_slow(pattern):
    compiled = compile_pattern(pattern)
    assert not compiled.search("a" * 255 + "!")
    assert compiled.steps <= 256 * (len(pattern) * 4)


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


def test_repetitions_are_limited_by_what_they_cost():
    with pytest.raises(ValueProblem, match="too large"):
        compile_pattern("(a{100}){100}")
    assert len(compile_pattern("a{100}")._states) < MAX_STATES


@given(st.text("ab.()[]{}*+?|^$\\-,0129dws:", max_size=60))
def test_any_text_compiles_or_is_refused(text):
    with contextlib.suppress(ValueProblem):
        compile_pattern(text).search("a.b-c")
