"""Class numbers: kept as long as possible, never shared, and never more than there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.service.classes import TooManyOutbounds, allocate

NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)
KNOWN = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-3, 12), max_size=8).map(
    lambda found: {name: number for name, number in found.items() if list(found.values()).count(number) == 1}
)


@given(KNOWN, NAMES)
def test_every_outbound_has_a_number_of_its_own(known, wanted):
    made = allocate(known, wanted, 8)
    assert set(made.numbers) == set(wanted)
    assert len(set(made.numbers.values())) == len(wanted)
    assert set(made.numbers.values()) <= set(range(1, 9))


@given(KNOWN, NAMES)
def test_a_known_number_stays(known, wanted):
    made = allocate(known, wanted, 8)
    for name in wanted:
        if 1 <= known.get(name, 0) <= 8:
            assert made.numbers[name] == known[name]


@given(KNOWN, NAMES)
def test_a_freed_number_is_used_only_when_no_other_is_left_and_then_told(known, wanted):
    made = allocate(known, wanted, 8)
    fresh = {made.numbers[name] for name in wanted if made.numbers[name] != known.get(name)}
    assert fresh & set(known.values()) == set(made.recycled)
    if made.recycled:
        assert set(range(1, 9)) <= set(made.numbers.values()) | set(known.values())


def test_one_too_many_is_refused_with_what_to_do():
    with pytest.raises(TooManyOutbounds, match="set option fwmark_mask"):
        allocate({}, [f"o{n}" for n in range(9)], 8)


def test_a_name_given_twice_counts_once():
    assert allocate({}, ["a", "a"], 1).numbers == {"a": 1}
