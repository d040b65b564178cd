"""Labels: their order is the rank order after any history, and what keeps its place keeps its label."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpolicy.dataplane.labels import NONE, assign

NAMES = st.sampled_from([f"r{number}" for number in range(40)])
ORDERS = st.lists(st.lists(NAMES, unique=True, max_size=30), min_size=1, max_size=8)
LABELS = st.integers(1, NONE - 1) | st.integers(1, 60) | st.integers(NONE - 60, NONE - 1)


def in_order(ranked: list[str], given_: dict[str, int]) -> bool:
    """Whether these are labels of exactly these names, ascending, and none is the end of the scale."""
    labels = [given_[name] for name in ranked]
    return (
        len(given_) == len(ranked)
        and all(0 < label < NONE for label in labels)
        and all(one < other for one, other in pairwise(labels))
    )


def ones(label: int) -> int:
    """How many prefixes the kernel keeps for the interval behind the label."""
    return bin(NONE - label).count("1")


@given(ORDERS)
def test_after_any_history_the_order_of_labels_is_the_rank_order(history):
    known: dict[str, int] = {}
    for ranked in history:
        known = assign(ranked, known)
        assert in_order(ranked, known)


@given(st.dictionaries(NAMES, LABELS, max_size=20), st.lists(NAMES, unique=True, max_size=30))
@example({"a": NONE - 10, "b": NONE - 12, "gone": NONE - 11}, ["b", "new", "a"])
@example({"a": NONE - 10, "b": NONE - 20, "gone": NONE - 11}, ["b", "c", "d", "e", "a"])
@example({"a": 1, "b": 2}, ["x", "a", "b"])
@example({"a": NONE - 1}, ["a", "x"])
def test_whatever_labels_were_there_before_the_order_is_right(before, ranked):
    """Labels come back from the kernel, where somebody else may have put any."""
    assert in_order(ranked, assign(ranked, before))


def test_nothing_has_no_label():
    assert assign([]) == {} and assign([], {"a": 5}) == {}


def test_a_rule_that_keeps_its_place_keeps_its_label():
    drawn = random.Random(1)
    ranked = [f"r{number}" for number in range(300)]
    known = assign(ranked)
    for turn in range(60):
        before = known
        # One goes, one moves, two come: the others stay where they are.
        ranked.pop(drawn.randrange(len(ranked)))
        moved = ranked.pop(drawn.randrange(len(ranked)))
        for name in (moved, f"new{turn}", f"more{turn}"):
            ranked.insert(drawn.randrange(len(ranked) + 1), name)
        known = assign(ranked, before)
        assert in_order(ranked, known)
        # One that passes its neighbour cannot be told from a neighbour that passes it.
        assert len([name for name in ranked if name in before and known[name] != before[name]]) <= 1


def test_of_two_that_change_places_only_one_gets_a_new_label():
    before = assign(["a", "b", "c", "d"])
    after = assign(["a", "c", "b", "d"], before)
    assert in_order(["a", "c", "b", "d"], after)
    assert len([name for name in before if after[name] != before[name]]) == 1


@given(ORDERS)
@example([["a", "b", "c"], ["a", "x", "c"]])
def test_a_label_that_was_given_up_is_not_given_to_another_at_once(history):
    """The maps of before still say it while the new ones are staged."""
    known: dict[str, int] = {}
    for ranked in history:
        before, known = known, assign(ranked, known)
        owners = {label: name for name, label in before.items()}
        if any(before.get(name) == label for name, label in known.items()):  # else all were numbered anew
            assert [name for name, label in known.items() if owners.get(label, name) != name] == []


def test_ten_thousand_rules_need_few_prefixes_each():
    known = assign([f"r{number}" for number in range(10_000)])
    assert max(ones(label) for label in known.values()) <= 4
    assert max(ones(label) for label in assign([f"r{number}" for number in range(16)]).values()) == 1


@pytest.mark.parametrize("count", [5, 10_000])
def test_rules_that_come_later_need_few_prefixes_too(count):
    """A number just in the middle of a gap would have up to 31."""
    ranked = [f"r{number}" for number in range(count)]
    known = assign([*(f"new{number}" for number in range(300)), *ranked], assign(ranked))
    assert sum(ones(known[f"new{number}"]) for number in range(300)) < 300 * 9
    drawn = random.Random(2)
    known = assign(ranked)
    for turn in range(30):
        ranked.insert(drawn.randrange(len(ranked)), f"late{turn}")
        known = assign(ranked, known)
    assert max(ones(label) for label in known.values()) <= 8


def test_everything_is_numbered_anew_only_where_there_is_no_room():
    full = {"a": NONE - 11, "b": NONE - 10, "far": NONE - 4}
    between = assign(["a", "new", "b", "far"], full)
    assert in_order(["a", "new", "b", "far"], between)
    assert all(between[name] != full[name] for name in full)
    room_for_one = {"a": NONE - 12, "b": NONE - 10, "far": NONE - 4}
    kept = assign(["a", "new", "b", "far"], room_for_one)
    assert kept == {**room_for_one, "new": NONE - 11}


@pytest.mark.parametrize("place", [0, None])
def test_a_hundred_rules_one_after_the_other_at_an_end_leave_the_others_alone(place):
    """People add rules at the end of a file, and important ones before all others."""
    ranked = [f"r{number}" for number in range(1000)]
    first = known = assign(ranked)
    for turn in range(100):
        ranked.insert(len(ranked) if place is None else place, f"late{turn}")
        known = assign(ranked, known)
    assert {name: known[name] for name in first} == first


@given(st.integers(2, 60), st.data())
def test_what_fits_between_two_gets_a_place_there(width, data):
    """Every number between them may be used, apart from those that were given up now."""
    before = {"first": NONE - 100 - width, "last": NONE - 100}
    free = list(range(before["first"] + 1, before["last"]))
    for number in data.draw(st.lists(st.sampled_from(free), unique=True, max_size=len(free) - 1)):
        before[f"gone{number}"] = number
    room = len(free) - (len(before) - 2)
    new = [f"new{number}" for number in range(data.draw(st.integers(1, room)))]
    known = assign(["first", *new, "last"], before)
    assert (known["first"], known["last"]) == (before["first"], before["last"])
    assert in_order(["first", *new, "last"], known)
    assert not set(before.values()) & {known[name] for name in new}


def test_a_hundred_rules_at_one_place_at_once_leave_the_others_alone():
    ranked = [f"r{number}" for number in range(10_000)]
    before = assign(ranked)
    for place in (0, 5_000, 10_000):
        longer = [*ranked[:place], *(f"new{number}" for number in range(100)), *ranked[place:]]
        known = assign(longer, before)
        assert in_order(longer, known)
        assert all(known[name] == before[name] for name in ranked)
