"""Fields of names: patterns, stars and label boundaries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.field import parse_field
from netpolicy.core.field_name import name_matches
from netpolicy.core.value import ValueProblem

LABELS = st.lists(st.sampled_from(["a", "evil", "zoom", "us"]), min_size=1, max_size=4)


@given(LABELS, LABELS)
def test_a_star_and_a_dot_respect_the_label_boundary(pattern, name):
    expected = name[-len(pattern) :] == pattern
    assert name_matches("*." + ".".join(pattern), ".".join(name)) == expected


@given(st.text(st.sampled_from("ab.*"), min_size=1, max_size=6), st.text(st.sampled_from("ab."), max_size=6))
def test_stars_at_the_ends_are_the_only_ones(pattern, name):
    try:
        field = parse_field("sni", (pattern,))
    except ValueProblem:
        return
    seen = name.removesuffix(".")
    pattern = pattern.removesuffix(".")
    if pattern.startswith("*.") and not pattern.endswith("*"):
        expected = ("." + seen).endswith(pattern[1:])
    elif pattern == "*":
        expected = True
    elif pattern.startswith("*") and pattern.endswith("*"):
        expected = pattern[1:-1] in seen
    elif pattern.startswith("*"):
        expected = seen.endswith(pattern[1:])
    elif pattern.endswith("*"):
        expected = seen.startswith(pattern[:-1])
    else:
        expected = seen == pattern
    assert field.matches(name) == expected


@pytest.mark.parametrize("text", ["", ".", "*.", "a*b", "münchen.de", "a b", "a\x7f"])
def test_a_pattern_that_is_a_slip_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_field("sni", (text,))
