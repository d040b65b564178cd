"""Who gives way in a full table."""

from __future__ import annotations

from netpolicy.flows.giving_way import chosen, crowd, number


def test_whoever_has_more_than_his_share_gives_his_oldest() -> None:
    table = [(0, "quiet"), *[(place, "loud") for place in range(1, 8)], (8, "quiet")]
    assert chosen(table, 3) == [1, 2, 3]


def test_where_nobody_has_the_oldest_go_whoever_they_are() -> None:
    assert chosen([(place, place // 2) for place in range(10)], 3) == [0, 1, 2]
    assert chosen([(place, None) for place in range(10)], 2) == [0, 1]


def test_of_what_belongs_to_several_nobody_has_too_much() -> None:
    assert crowd([None] * 9 + ["a"]) is None
    assert crowd(["a", "a", "b", "c", "d", None]) == "a"
    assert crowd([]) is None


def test_a_part_of_the_table_goes_at_once_and_one_at_least() -> None:
    assert (number(4096), number(16), number(2), chosen([], 5)) == (256, 1, 1, [])
