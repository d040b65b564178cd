"""The distance of words, against the definition, and what is suggested."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.nearest import closest, distance

WORDS = st.text("abc", max_size=6)


@cache
def by_definition(one: str, other: str) -> int:
    """Damerau's distance with neighbours swapped at most once (optimal string alignment), recursively."""
    if not one or not other:
        return len(one) + len(other)
    found = [
        by_definition(one[:-1], other) + 1,
        by_definition(one, other[:-1]) + 1,
        by_definition(one[:-1], other[:-1]) + (one[-1] != other[-1]),
    ]
    if one[-2:] == other[-2:][::-1] and len(one) > 1 and len(other) > 1:
        found.append(by_definition(one[:-2], other[:-2]) + 1)
    return min(found)


@given(WORDS, WORDS)
def test_the_distance_is_the_definitions(one, other):
    assert distance(one, other) == by_definition(one, other)


@given(st.text(max_size=12), st.text(max_size=12))
def test_the_distance_is_the_same_both_ways_and_bounded(one, other):
    found = distance(one, other)
    assert found == distance(other, one)
    assert abs(len(one) - len(other)) <= found <= max(len(one), len(other))
    assert (found == 0) == (one == other)


@given(WORDS, WORDS, WORDS)
def test_suggestions_are_among_the_known_words_and_no_known_word_is_closer(word, first, second):
    known = (first, second)
    found = closest(word, known)
    if found:
        assert found in known
        assert distance(word, found) == min(distance(word, one) for one in known)


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("priorty", ("priority", "proto"), "priority"),
        ("Priority", ("priority",), "priority"),
        ("wna", ("wan", "lan"), "wan"),
        ("ab", ("ba", "xy"), "ba"),
        ("abcdefgh", ("zyxwvuts",), ""),
        ("lan", (), ""),
        ("cat", ("hat", "bat"), "bat"),  # the first in the alphabet
    ],
)
def test_what_is_suggested(word, known, meant):
    assert closest(word, known) == meant


def test_a_word_of_any_length_costs_no_more_than_a_long_one():
    assert closest("a" * 1_000_000, ("a" * 64, "b")) == "a" * 64
