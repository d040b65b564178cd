"""Ranges against sets of small numbers."""

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.ranges import contains, intersect, merge, subtract

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


def numbers(ranges) -> set[int]:
    return {number for low, high in ranges for number in range(low, high + 1)}


def is_merged(ranges) -> bool:
    return all(low <= high for low, high in ranges) and all(
        ranges[i][1] + 1 < ranges[i + 1][0] for i in range(len(ranges) - 1)
    )


@given(PAIRS)
def test_merging_keeps_the_numbers_and_is_canonical(pairs):
    merged = merge(pairs)
    assert numbers(merged) == numbers(pairs)
    assert is_merged(merged)


@given(PAIRS, PAIRS)
def test_subtracting_and_intersecting_are_those_of_sets(left, right):
    left, right = merge(left), merge(right)
    assert numbers(subtract(left, right)) == numbers(left) - numbers(right)
    assert numbers(intersect(left, right)) == numbers(left) & numbers(right)
    assert is_merged(subtract(left, right))
    assert is_merged(intersect(left, right))


@given(PAIRS, st.integers(-1, 60))
def test_a_number_is_in_the_ranges_when_it_is_in_the_set(pairs, number):
    assert contains(merge(pairs), number) == (number in numbers(pairs))
