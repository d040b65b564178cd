"""Ranges in little memory read like the tuple of tuples that they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.address import BITS
from netpolicy.core.range_table import FEW, RangeTable, WideNumbers, compact
from netpolicy.core.ranges import merge

FAMILIES = st.sampled_from([4, 6])


@st.composite
def merged(draw: st.DrawFn) -> tuple[int, tuple[tuple[int, int], ...]]:
    family = draw(FAMILIES)
    last = (1 << BITS[family]) - 1
    numbers = draw(st.lists(st.one_of(st.integers(0, last), st.sampled_from([0, 1, last - 1, last])), max_size=40))
    return family, merge([(min(pair), max(pair)) for pair in zip(numbers[::2], numbers[1::2], strict=False)])


@given(merged())
def test_a_table_reads_like_the_tuple(found: tuple[int, tuple[tuple[int, int], ...]]) -> None:
    family, pairs = found
    table = RangeTable(family, iter(pairs))
    assert tuple(table) == pairs
    assert (len(table), [table[at] for at in range(len(table))]) == (len(pairs), list(pairs))
    assert table == pairs and table == RangeTable(family, pairs) and hash(table) == hash(RangeTable(family, pairs))
    assert table != pairs + ((0, 0),)  # noqa: RUF005
    assert table.widest == max((high - low for low, high in pairs), default=0)


def test_tables_of_other_numbers_are_not_equal() -> None:
    assert RangeTable(4, [(1, 2), (4, 5)]) != RangeTable(4, [(1, 2), (4, 6)])
    assert RangeTable(4, [(1, 2)]) != "more"


@pytest.mark.parametrize("at", [-1, 2])
def test_a_number_that_is_not_there_is_no_number(at: int) -> None:
    with pytest.raises(IndexError):
        WideNumbers(bytes(32))[at]


@pytest.mark.parametrize("family", [4, 6])
def test_few_ranges_stay_a_tuple_and_a_table_is_taken_as_it_is(family: int) -> None:
    few = tuple((3 * number, 3 * number + 1) for number in range(FEW))
    assert compact(family, iter(few)) == few
    many = (*few, (3 * FEW, 3 * FEW))
    table = compact(family, iter(many))
    assert isinstance(table, RangeTable)
    assert tuple(table) == many
    assert compact(family, table) is table


def test_an_ipv4_range_takes_eight_bytes_and_an_ipv6_range_thirty_two() -> None:
    pairs = [(2 * number, 2 * number) for number in range(1000)]
    assert memoryview(RangeTable(4, pairs).starts).nbytes == 4000
    wide = RangeTable(6, pairs).starts
    assert isinstance(wide, WideNumbers) and len(wide._data) == 16_000
