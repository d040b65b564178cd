"""Columns read as the tuple of elements that they stand for, and take a small part of its memory."""

from __future__ import annotations

import sys

import pytest

from netpolicy.dataplane import rows
from netpolicy.dataplane.labels import NONE
from netpolicy.dataplane.rows import BoxRows, LabelRows, column

BOXES = [(((0, 7), (80, 80)), 5), (((8, WIDE := 1 << 100), (0, 65535)), 9)]
ELEMENTS = ((((0, 7), (80, 80), (6, NONE)), 5, ""), (((8, WIDE), (0, 65535), (10, NONE)), 9, ""))


def test_boxes_read_as_elements_with_the_labels_that_they_are_better_than():
    found = BoxRows(BOXES)
    assert tuple(found) == ELEMENTS and len(found) == 2 and found[1] == ELEMENTS[1]
    assert found == ELEMENTS and found == BoxRows(BOXES) and found != BoxRows(BOXES[:1]) and found != 5


def test_of_a_map_that_is_asked_first_the_labels_are_values_only():
    found = BoxRows(BOXES, first=True)
    assert tuple(found) == tuple((key[:-1], label, "") for key, label, _ in ELEMENTS) and found != BoxRows(BOXES)


def test_labels_read_as_elements_with_a_comment_or_a_chain():
    assert tuple(LabelRows(column([5, 9]), ("a", "b"), has_values=False)) == (
        (((5, 5),), None, "a"),
        (((9, 9),), None, "b"),
    )
    assert LabelRows(column([5]), ("v_02",), has_values=True)[0] == (((5, 5),), "v_02", "")


def test_past_the_end_there_is_nothing():
    with pytest.raises(IndexError):
        BoxRows(BOXES)[2]
    assert not BoxRows([]) and tuple(BoxRows([])) == ()


def test_what_leads_elsewhere_is_found_by_place():
    before = LabelRows(column([5, 9]), ("v_01", "v_01"), has_values=True)
    assert LabelRows(column([5, 9]), ("v_01", "v_02"), has_values=True).replaced(before) == [1]
    assert LabelRows(column([5, 9]), before.words, has_values=True).replaced(before) == []
    assert LabelRows(column([5, 8]), before.words, has_values=True).replaced(before) is None
    assert LabelRows(column([5, 9]), before.words, has_values=False).replaced(before) is None


@pytest.mark.parametrize("numbers", [[], [0, 0xFFFFFFFF], [1, 1 << 32], [1 << 127]])
def test_a_column_holds_every_number(numbers):
    assert list(column(numbers)) == numbers


def test_without_arrays_it_is_the_same(monkeypatch):
    monkeypatch.setattr(rows, "array", None)
    assert BoxRows(BOXES) == ELEMENTS


def test_an_element_takes_bytes_and_not_hundreds_of_them():
    boxes = [(((number << 8, (number << 8) + 255), (80, 80), (6, 6)), number + 1) for number in range(1000)]
    found = BoxRows(boxes)
    held = [found.labels, *found._lows, *found._highs]
    assert sum(map(sys.getsizeof, held)) < 40 * len(boxes)
