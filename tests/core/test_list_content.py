"""A list that is merged while it is read means what its entries mean one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpolicy.core import list_content
from netpolicy.core.address import BITS, format_range
from netpolicy.core.domain import MAX_SET, DomainPattern
from netpolicy.core.list_budget import LARGE, Budget
from netpolicy.core.list_content import Gathering
from netpolicy.core.list_entry import parse_entry
from netpolicy.core.name_table import NameTable
from netpolicy.core.range_table import RangeTable
from netpolicy.core.value import ValueProblem
from tests.core.gathered import gathered

TIGHT = Budget("a test", 10, 10, 1 << 20, 1 << 20, 1 << 20)

WORDS = st.sampled_from(["a", "b", "aa", "a-b", "xn--p1ai", "co", "1", "1a"])
NAMES = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.tuples(st.sampled_from(["", "", "=", "*.", "keyword:"]), NAMES).map("".join)
ASKED = st.one_of(NAMES, st.text(alphabet="ab.\n-", max_size=8))


def means(entry: str) -> bool:
    try:
        parse_entry(entry)
    except ValueProblem:
        return False
    return True


@given(st.lists(PATTERNS.filter(means), max_size=40), st.lists(ASKED, min_size=1, max_size=20))
@example(["a.b", "*.a.b", "=a.b", "=x.a.b", "*.c", "c"], [".a.b", "a.b", "x.a.b", "..a.b", "c", "x.c", ".c", "a.b\nc"])
@example(["*.a", "*.b.a", "=b.a", "=a"], ["a", "b.a", "c.b.a", ".a"])
def test_names_match_as_the_patterns_do_one_by_one(entries: list[str], asked: list[str]) -> None:
    patterns = [found for found in map(parse_entry, entries) if isinstance(found, DomainPattern)]
    names = gathered(*entries).names
    for name in asked + [one.word for one in patterns] + ["x." + one.word for one in patterns]:
        assert names.matches(name) == any(one.matches(name) for one in patterns), name


@given(st.lists(PATTERNS.filter(means), max_size=40))
def test_no_name_that_is_left_is_covered_by_another(entries: list[str]) -> None:
    names = gathered(*entries).names
    whole = {"": names.suffix, "*.": names.under, "=": names.exact}
    left = [(sign, name) for sign, table in whole.items() for name in table]
    assert len(left) == len(set(left))
    for sign, name in left:
        assert not any(name.endswith("." + other) for kind, other in left if kind != "="), (sign, name)
        assert sign == "" or ("", name) not in left


def test_a_long_list_of_names_matches_as_a_short_one() -> None:
    words = [f"n{number}" for number in range(MAX_SET + 500)]
    entries = [f"{word}.example" for word in words] + ["x.n1.example", "=n2.example", "*.n3.example", "=n4.other"]
    names = gathered(*entries).names
    assert isinstance(names.suffix, NameTable)
    assert (len(names.suffix), sorted(names.exact), sorted(names.under)) == (len(words), ["n4.other"], [])
    assert all(names.matches(f"{word}.example") and names.matches(f"www.{word}.example") for word in words)
    assert not any(
        names.matches(name) for name in ("example", "n1.example.org", "n1.exampl", "an1.example", ".example")
    )


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int, int]:
    family = draw(st.sampled_from([4, 6]))
    last = (1 << BITS[family]) - 1
    ends = st.one_of(st.integers(0, 40), st.integers(last - 20, last), st.integers(0, last))
    pair = sorted((draw(ends), draw(ends)))
    return family, pair[0], pair[1]


@given(st.lists(ranges(), max_size=60), st.integers(1, 8))
def test_addresses_are_those_of_the_entries_whatever_their_order(found: list[tuple[int, int, int]], part: int) -> None:
    gathering = Gathering()
    kept, list_content.PART = list_content.PART, part
    try:
        for number, one in enumerate(found):
            gathering.take(format_range(*one))
            if number % 7 == 6:
                gathering.excess(TIGHT)  # merges what waits
        content = gathering.finish()
    finally:
        list_content.PART = kept
    for family in (4, 6):
        pairs = tuple(content.ranges[family])
        assert all(low <= high for low, high in pairs)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(pairs)), "merged"
        borders = {number + near for one in found if one[0] == family for number in one[1:] for near in (-1, 0, 1)}
        for number in borders:
            naive = any(low <= number <= high for kind, low, high in found if kind == family)
            assert naive == any(low <= number <= high for low, high in pairs), number


@given(
    st.one_of(
        st.text(alphabet="0123456789./-", min_size=1, max_size=20),
        st.text(alphabet="abK1İ.-=*:/_ \u212a", min_size=1, max_size=12),
        PATTERNS,
        st.tuples(st.ip_addresses(v=4).map(str), st.sampled_from(["", "/0", "/8", "/32", "/033", "/33"])).map("".join),
    ).map(str.strip).filter(bool)
)  # fmt: skip
@example("1.2-x.com")
@example("192.0.2.1-192.0.2.9")
@example("a" * 64)
@example("a." * 32 + "example")
@example("10.0.0.0/8/8")
@example("=")
@example("*.")
def test_what_the_fast_way_takes_the_slow_way_takes_as_the_same(entry: str) -> None:
    fast = Gathering()
    if not fast.take_plain(entry):
        return
    slow = Gathering()
    slow.take(entry)
    mine, theirs = fast.finish(), slow.finish()
    assert mine.ranges == theirs.ranges
    for table in ("suffix", "exact", "under", "others"):
        assert getattr(mine.names, table) == getattr(theirs.names, table)


@pytest.mark.parametrize("entry", ["192.0.2.7", "192.0.2.0/24", "a.example", "*.A.Example", "=a.example", "1a.example"])
def test_the_usual_entry_goes_the_fast_way(entry: str) -> None:
    assert Gathering().take_plain(entry)


def test_a_list_of_ranges_beyond_the_budget_is_said_to_be() -> None:
    gathering = Gathering()
    for number in range(12):
        assert not gathering.excess(TIGHT)
        gathering.take(f"192.0.2.{2 * number}")
    assert not gathering.excess(TIGHT), "a list that is just above its limit may still be merged"
    assert gathering.finish().excess(TIGHT) == "more than 10 addresses, networks and ranges"
    for number in range(12, 15):
        gathering.take(f"192.0.2.{2 * number}")
    assert gathering.excess(TIGHT) == "more than 10 addresses, networks and ranges"


def test_what_is_merged_does_not_count() -> None:
    gathering = Gathering()
    for number in range(200):
        gathering.take(f"192.0.2.{number}")
        gathering.take(f"n{number}.example")
        gathering.take("example")
        assert not gathering.excess(TIGHT)
    content = gathering.finish()
    assert (content.count_addresses(), content.count_names(), content.excess(TIGHT)) == (1, 1, "")


def test_too_many_names_and_too_many_patterns_are_said() -> None:
    gathering = Gathering()
    for number in range(13):
        gathering.take(f"n{number}.example")
    assert gathering.excess(TIGHT) == "more than 10 names"
    assert gathering.finish().excess(TIGHT) == "more than 10 names"
    gathering = Gathering()
    for number in range(201):
        gathering.take(f"keyword:k{number}")
        gathering.take("keyword:k0")
    assert "keyword: and regex: entries" in gathering.excess(LARGE)


def test_a_content_says_about_what_it_takes() -> None:
    short = gathered("192.0.2.0/24", "2001:db8::/32", "a.example")
    assert (short.kernel, short.memory) == (192 + 256, 250 + 250 + 300)
    gathering = Gathering()
    for number in range(25_000):
        gathering.take_plain(f"10.{number >> 8}.{number & 255}.1")
        gathering.take_plain(f"n{number}.example")
    long = gathering.finish()
    assert isinstance(long.ranges[4], RangeTable)
    assert long.kernel == 25_000 * 192
    names = long.names.suffix
    assert isinstance(names, NameTable)
    assert long.memory == 25_000 * 8 + names.memory
