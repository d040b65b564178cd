"""The indexes find everything that they should; what they find too much is no fault."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.analysis_index import MANY_RANGES, NameIndex, SideIndex, ascending
from netpolicy.config.analysis_name import NameSet, sni_atoms
from netpolicy.config.analysis_side import holds
from netpolicy.core.ranges import merge

pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))).map(merge)


@given(st.lists(pairs, max_size=20), st.integers(-1, 32))
def test_exactly_the_sides_that_hold_a_number_are_found(sides, number) -> None:
    found = list(ascending(SideIndex(sides).holding(number), len(sides)))
    assert found == sorted(found) == [at for at, side in enumerate(sides) if holds(side, number)]


def test_a_side_of_very_many_ranges_is_always_found() -> None:
    many = tuple((at * 3, at * 3) for at in range(MANY_RANGES + 1))
    assert list(ascending(SideIndex([((1, 1),), many]).holding(1), 2)) == [0, 1]


def test_positions_end_below_the_limit() -> None:
    assert list(ascending([[1, 4], [2, 3]], 3)) == [1, 2]
    assert list(ascending([], 3)) == []


def test_the_pattern_that_contains_another_is_found() -> None:
    patterns = ("a.b", "*.b", "*x*", "b", "*", "*.c.b", "d*")
    index = NameIndex([NameSet(sni_atoms(one)) for one in patterns])
    for text, expected in (("a.b", {"a.b", "*.b"}), ("q.c.b", {"*.b", "*.c.b"}), ("z", set())):
        (atom,) = sni_atoms(text)
        found = {patterns[at] for at in ascending(index.holding(atom), len(patterns))}
        assert found == expected | {"*x*", "*", "d*"}
