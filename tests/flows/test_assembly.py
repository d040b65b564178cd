"""Pieces of streams: in any order, twice, too many, and such that say different things."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows.assembly import PIECE_COST, Assembly
from netpolicy.flows.names import MALFORMED, Refused

from .seen_flows import flow

TEXT = Random(1).randbytes(768)


def test_pieces_in_order_are_joined():
    joined = Assembly()
    assert joined.add(flow(1), 0, b"abc", 0) == b"abc"
    assert joined.add(flow(1), 3, b"def", 0) == b"abcdef"
    assert joined.add(flow(2), 0, b"x", 0) == b"x", "flows do not mix"


def test_pieces_that_come_too_early_wait():
    joined = Assembly()
    assert joined.add(flow(1), 4, b"ef", 0) == b""
    assert joined.add(flow(1), 2, b"cd", 0) == b""
    assert joined.add(flow(1), 0, b"ab", 0) == b"abcdef"


@given(data=st.data())
def test_any_cutting_in_any_order_with_overlaps_gives_the_text(data):
    """Each byte is in some piece; pieces overlap, repeat and come in any order."""
    spans = data.draw(st.lists(st.tuples(st.integers(0, len(TEXT) - 1), st.integers(1, 200)), max_size=12))
    cuts = sorted({0, len(TEXT), *data.draw(st.lists(st.integers(1, len(TEXT) - 1), max_size=6))})
    pieces = [(start, TEXT[start : start + size]) for start, size in spans]
    pieces += [(begin, TEXT[begin:end]) for begin, end in itertools.pairwise(cuts)]
    joined = Assembly()
    found = [joined.add(flow(1), *piece, 0) for piece in data.draw(st.permutations(pieces))]
    assert found[-1] == TEXT or TEXT in found
    assert all(TEXT.startswith(one) for one in found)
    assert joined.held == len(TEXT) + PIECE_COST, "nothing waits, and what was counted for waiting is given back"


@pytest.mark.parametrize(
    "pieces",
    [
        [(0, b"abcd"), (2, b"cX")],
        [(0, b"abcd"), (0, b"Xbcd")],
        [(4, b"ef"), (4, b"eX")],
        [(4, b"eX"), (0, b"abcdef")],
        [(2, b"cdX"), (4, b"efg"), (0, b"ab")],
    ],
)
def test_pieces_that_contradict_each_other_are_refused(pieces):
    joined = Assembly()
    for piece in pieces[:-1]:
        joined.add(flow(1), *piece, 0)
    with pytest.raises(Refused, match=MALFORMED):
        joined.add(flow(1), *pieces[-1], 0)
    assert flow(1) not in joined.waiting
    assert joined.held == 0
    assert joined.counters["contradicted"] == 1


def test_what_waits_for_too_long_is_taken_out():
    joined = Assembly(age_seconds=10)
    joined.add(flow(1), 0, b"old", 100)
    joined.add(flow(2), 5, b"loose", 105)
    joined.add(flow(1), 3, b"er", 109)
    assert joined.expire(109.9) == []
    assert joined.expire(110) == [(flow(1), b"older")], "its age is that of the first piece"
    assert joined.expire(200) == [(flow(2), b"")]
    assert joined.held == 0
    assert joined.counters["expired"] == 2


def test_the_oldest_flow_gives_way():
    joined = Assembly(flows=3)
    for number in range(5):
        joined.add(flow(number), 0, b"x", number)
    assert [flow(number) in joined.waiting for number in range(5)] == [False, False, True, True, True]
    assert joined.counters["evicted"] == 2


def test_bytes_are_bounded_with_what_holding_them_costs():
    joined = Assembly(flows=1000, total_bytes=10_000)
    for number in range(50):
        joined.add(flow(number), 1, bytes(1000), 0)
    assert joined.held <= 10_000
    assert len(joined) == 10_000 // (1000 + 2 * PIECE_COST)
    tiny = Assembly(flows=1000, total_bytes=10_000)
    for offset in range(1, 1000, 2):
        tiny.add(flow(1), offset, b"x", 0)
    assert tiny.held <= 10_000


def test_one_flow_cannot_have_the_others_thrown_out():
    joined = Assembly(pieces=8)
    joined.add(flow(1), 0, b"x", 0)
    for offset in range(1, 100, 2):
        joined.add(flow(2), offset, b"x", 0)
    assert flow(1) in joined.waiting
    assert joined.counters["evicted"] > 0


def test_nothing_is_kept_beyond_the_limit_of_a_stream():
    joined = Assembly(flow_bytes=100)
    assert joined.add(flow(1), 150, b"x", 0) == b""
    assert len(joined) == 0
    assert joined.add(flow(1), 0, bytes(99), 0) == bytes(99)
    assert joined.add(flow(1), 99, b"xyz", 0) == bytes(99) + b"x"
    assert joined.counters["beyond"] == 2


def test_what_is_dropped_is_forgotten():
    joined = Assembly()
    joined.add(flow(1), 0, b"abc", 0)
    joined.drop(flow(1))
    joined.drop(flow(1))
    assert joined.add(flow(1), 3, b"def", 0) == b""
