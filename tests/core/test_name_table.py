"""The table of many names holds what a set holds."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.name_table import CROWD, NameTable

NAMES = st.text(alphabet="ab.-\n", max_size=6)
PLAIN = st.text(alphabet="abc.-1", min_size=1, max_size=5)


def table_of(names: list[str]) -> NameTable:
    table = NameTable()
    for name in names:
        table.add(name)
    return table


@given(st.lists(PLAIN, max_size=120), st.lists(NAMES, max_size=30))
def test_it_holds_exactly_what_a_set_holds(names: list[str], asked: list[str]) -> None:
    table = table_of(names)
    assert sorted(table) == sorted(set(names))
    assert len(table) == len(set(names))
    assert table.least == min(map(len, names), default=0)
    assert [name in table for name in asked + names] == [name in set(names) for name in asked + names]


@given(st.lists(PLAIN, max_size=60), NAMES)
def test_it_finds_what_is_behind_a_dot(names: list[str], asked: str) -> None:
    dots = [place for place, letter in enumerate(asked) if letter == "."]
    for number, dot in enumerate(dots):
        behind = [asked[place + 1 :] for place in dots[number:]]
        assert table_of(names).has_parent(asked, dot) == any(name in set(names) for name in behind)


@given(st.lists(PLAIN, max_size=120), st.sets(st.sampled_from("abc.-1")))
def test_what_is_dropped_is_gone_and_nothing_else(names: list[str], letters: set[str]) -> None:
    table = table_of(names)
    table.drop(lambda name: name[0] in letters)
    left = {name for name in names if name[0] not in letters}
    assert (sorted(table), len(table)) == (sorted(left), len(left))
    assert table._letters == sum(map(len, left))


def test_lines_of_a_bucket_are_no_name() -> None:
    table = NameTable()
    table.add("a.b")
    table.add("c.d")
    assert len(table._buckets) == 1, "they are neighbours"
    assert "a.b\nc.d" not in table
    assert not table.has_parent("x.a.b\nc.d", 1)
    assert "" not in table
    assert "a.b" in table


def test_it_says_about_how_many_bytes_it_takes() -> None:
    table = table_of([f"name-{number}.example" for number in range(20_000)])
    taken = sys.getsizeof(table._buckets) + sum(map(sys.getsizeof, table._buckets))
    assert taken < table.memory < 1.5 * taken
    assert CROWD / 2 <= len(table) / len(table._buckets) <= CROWD


def test_tables_are_equal_that_took_the_same_names() -> None:
    names = [f"name-{number}.example" for number in range(3000)]
    assert table_of(names) == table_of(names)
    assert table_of(names) != table_of([*names[:-1], "name-x.example"])
    assert table_of(["a.example"]) != {"a.example"}
