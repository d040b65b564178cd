"""The bits of the mark: every class has its own, none outside the mask, and the way back is exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.pairs import MOST_OUTBOUNDS
from netpolicy.dataplane.marks import MINIMUM_BITS, Marks
from netpolicy.dataplane.routing import SPAN

masks = st.integers(1, 0xFFFFFFFF).filter(lambda mask: bin(mask).count("1") >= MINIMUM_BITS)


def test_the_usual_mask_is_spelled_as_documented():
    marks = Marks(0x77000000)
    assert (marks.done, marks.class_mask) == (0x40000000, 0x37000000)
    assert [marks.bits(number) for number in (0, 1, 8, 31)] == [0, 0x01000000, 0x10000000, 0x37000000]
    assert (marks.drop, marks.reject, marks.bypass, marks.capacity) == (29, 30, 31, 28)


@given(masks, st.data())
def test_a_class_number_survives_the_mark(mask, data):
    marks = Marks(mask)
    number = data.draw(st.integers(0, marks.bypass))
    bits = marks.bits(number)
    assert bits & ~marks.class_mask == 0
    assert marks.number(bits | marks.done | ~mask & 0xFFFFFFFF) == number


@given(masks)
def test_the_classes_of_a_mask_do_not_meet(mask):
    marks = Marks(mask)
    assert marks.done | marks.class_mask == mask and not marks.done & marks.class_mask
    assert marks.capacity < marks.drop < marks.reject < marks.bypass
    assert marks.is_done(marks.done) and not marks.is_done(marks.class_mask)


@given(masks)
def test_every_class_has_its_table_and_both_priorities_among_ours(mask):
    assert Marks(mask).capacity <= MOST_OUTBOUNDS < SPAN


@pytest.mark.parametrize("mask", [0, 1, 0x7, 0x100000000, 0x77000000 << 8, -1])
def test_a_mask_that_cannot_serve_is_refused(mask):
    with pytest.raises(ValueError, match="at least 4 of 32 bits"):
        Marks(mask)


def test_a_class_beyond_the_mask_is_refused():
    with pytest.raises(ValueError, match="cannot hold"):
        Marks(0x77000000).bits(32)
