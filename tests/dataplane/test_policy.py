"""Entries read as the tuple that they stand for, and take a small part of its memory."""

from __future__ import annotations

import sys

import pytest

from netpolicy.dataplane.policy import Entries, Entry, Policy, in_columns
from tests.router import rule

VIDEO, MAIL = rule("video", dest_port="443"), rule("mail", dest_port="25")
BOTH = (Entry(VIDEO, 2, log=True), Entry(MAIL, 70_000, blocks=True))


def test_entries_read_as_they_were_given():
    found = in_columns(BOTH)
    assert tuple(found) == BOTH and len(found) == 2 and found[1] == BOTH[1]
    assert list(found.pairs()) == [(VIDEO, 2), (MAIL, 70_000)]
    assert tuple(in_columns(())) == () and not in_columns(())


@pytest.mark.parametrize(
    "other",
    [
        (Entry(VIDEO, 3, log=True), BOTH[1]),
        (Entry(VIDEO, 2), BOTH[1]),
        (BOTH[0], Entry(MAIL, 70_000)),
        (Entry(rule("video", dest_port="443"), 2, log=True), BOTH[1]),
        BOTH[:1],
        BOTH[::-1],
    ],
    ids=["class", "log", "blocks", "rule", "fewer", "order"],
)
def test_whatever_differs_makes_others(other):
    assert in_columns(other) != in_columns(BOTH) and Policy(entries=other) != Policy(entries=BOTH)


def test_the_same_columns_are_equal():
    again = Entries((VIDEO, MAIL), (2, 70_000), bytes((1, 0)), bytes((0, 1)))
    assert again == in_columns(BOTH) and hash(again) == hash(in_columns(BOTH)) and again != BOTH
    assert Policy(entries=again) == Policy(entries=BOTH)


def test_columns_take_no_object_for_an_entry():
    found = in_columns([Entry(VIDEO, 2) for _ in range(1000)])
    held = sum(sys.getsizeof(one) for one in (found, found.rules, found.numbers, found.log, found.blocks))
    assert held < 16_000, "an object and its place in a tuple are 72 bytes each"
