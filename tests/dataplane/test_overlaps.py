"""Boxes that have a point in common, told by bits: as comparing each with each tells it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.dataplane import overlaps
from netpolicy.dataplane.overlaps import Overlaps

SPAN = 40

Range = tuple[int, int]


def ranges():
    return st.tuples(st.integers(0, SPAN), st.integers(0, SPAN)).map(lambda pair: (min(pair), max(pair)))


def disjoint(pair: Range) -> list[tuple[int, int, int]]:
    """One or two intervals that do not touch, with some label."""
    low, high = pair
    return [(low, high, 1)] if high - low < 2 else [(low, low, 1), (high, high, 2)]


buckets_of_three_parts = st.tuples(st.tuples(ranges(), ranges()), ranges().map(disjoint))


def meet(one: Range, other: Range) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.tuples(ranges(), ranges()), ranges().map(disjoint)), min_size=1, max_size=30), st.booleans()
)
def test_a_bucket_meets_those_that_have_a_point_in_common_in_every_part(buckets, few_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlaps, "ROWS", 2 if few_rows else overlaps.ROWS)
        found = Overlaps(buckets)
    for index, (others, inside) in enumerate(buckets):
        for other, (its_others, its_inside) in enumerate(buckets):
            wanted = all(map(meet, others, its_others)) and any(meet(a[:2], b[:2]) for a in inside for b in its_inside)
            assert bool(found.of(index) & found.own(other)) == wanted, (index, other)


def test_boxes_have_bits_of_their_own():
    found = Overlaps([(((0, 9),), [(0, 1, 1), (5, 6, 2)]), (((3, 4),), [(1, 5, 3)]), (((8, 9),), [(7, 7, 4)])])
    assert [found.own(index) for index in range(3)] == [0b0011, 0b0100, 0b1000]
    assert [found.of(index) for index in range(3)] == [0b0111, 0b0111, 0b1000]
