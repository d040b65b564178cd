"""Areas: every box in one of them, few boxes in each, and a change concerns few of them."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.dataplane import groups
from netpolicy.dataplane.areas import AREAS, MOST, Area
from netpolicy.dataplane.areas import split as split_boxes
from netpolicy.dataplane.boxes import LONG, SHORT, Boxes, Gathering, packed
from tests.netns import needs_root
from tests.prove.chain import journey
from tests.prove.compare import travel
from tests.prove.router import Router

Labelled = tuple[tuple[tuple[int, int], ...], int]


def networks(count: int, start: int = 0x0A000000) -> list[Labelled]:
    """So many networks of 256 addresses side by side, each with a port, in no order."""
    found = [(((start + (n << 8), start + (n << 8) + 255), (n % 7, n % 7)), n + 1) for n in range(count)]
    random.Random(78).shuffle(found)
    return found


def packed_boxes(boxes: list[Labelled]) -> Boxes:
    size = SHORT if max(high for box, _ in boxes for _, high in box) < 1 << 32 else LONG
    found = Gathering(len(boxes[0][0]), size)
    for box, label in boxes:
        found.add(packed([box], size), 1, label)
    return found.boxes()


def split(boxes: list[Labelled], parts: tuple[int, ...], most: int = MOST) -> tuple[int, list[Area]]:
    return split_boxes(packed_boxes(boxes), parts, most)


def held(boxes: list[Labelled], parts: tuple[int, ...] = (0, 1), most: int = MOST) -> dict[tuple[int, int], list]:
    part, areas = split(boxes, parts, most)
    found = {(area.low, area.high): list(area.boxes) for area in areas}
    assert len(found) == len(areas) and all(found.values())
    assert sorted(box for inside in found.values() for box in inside) == sorted(boxes)
    for (low, high), inside in found.items():
        assert high < 0 or all(low <= box[part][0] and box[part][1] <= high for box, _ in inside)
    return found


def test_few_boxes_are_one_area_wherever_they_are():
    boxes = networks(MOST)
    assert split(boxes, (0, 1))[0] == -1
    assert held(boxes) == {(0, -1): boxes}


def test_many_boxes_are_aligned_blocks_with_few_in_each():
    found = held(networks(4 * MOST))
    assert len(found) == 4 and {len(inside) for inside in found.values()} == {MOST}
    for low, high in found:
        size = high - low + 1
        assert size & (size - 1) == 0 and low % size == 0


def test_a_box_that_reaches_into_both_halves_stays_with_the_block_around_them():
    wide = (((0x0A000000, 0x0AFFFFFF), (0, 9)), 99)
    found = held([*networks(4 * MOST), wide])
    assert found[0, -1] == [wide] and len(found) == 5
    areas = split([wide, *networks(4 * MOST)], (0, 1))[1]
    assert [area.around for area in areas] == [False] * 4 + [True]


def test_one_box_more_concerns_its_own_area_only():
    before = held(networks(4500), most=1500)
    more = (((0x0A000500, 0x0A0005FF), (9, 9)), 7)
    after = held([*networks(4500), more], most=1500)
    changed = [ends for ends in after if sorted(after[ends]) != sorted(before.get(ends, []))]
    assert set(after) == set(before) and len(changed) == 1 and more in after[changed[0]]


def test_a_box_far_away_leaves_the_others_where_they_are():
    before = held(networks(5000))
    far = (((0xC0A80000, 0xC0A800FF), (9, 9)), 7)
    after = held([*networks(5000), far])
    kept = [ends for ends in before if ends in after and sorted(after[ends]) == sorted(before[ends])]
    assert len(kept) >= len(before) - 1


def test_the_part_in_which_boxes_differ_most_is_split():
    assert split(networks(3000), (0, 1))[0] == 0
    assert split([((port, net), label) for (net, port), label in networks(3000)], (0, 1))[0] == 1
    assert split([((port, net), label) for (net, port), label in networks(3000)], (0,))[0] == 0


@pytest.mark.parametrize("boxes", [
    [(((5, 5), (n, n)), n + 1) for n in range(3000)],
    [(((n, 0xFFFFFFFF - n), (n, n)), n + 1) for n in range(3000)],
    [(((0, (1 << 128) - 1), (n, n)), n + 1) for n in range(3000)],
])  # fmt: skip
def test_what_cannot_be_split_stays_together(boxes):
    assert list(held(boxes, (0,)).values()) == [boxes]


def test_nothing_to_split_by_is_one_area():
    assert held(networks(3000), ()).keys() == {(0, -1)}


def test_very_many_boxes_take_larger_areas_and_not_more_of_them():
    assert len(held(networks(100), most=1)) <= 2 * AREAS


spans = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda two: (min(two), max(two)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=40), st.integers(1, 6))
def test_whatever_the_boxes_none_is_lost_and_the_order_does_not_matter(boxes, most):
    labelled = [(box, label) for label, box in enumerate(boxes, 1)]
    found = held(labelled, most=most)
    again = held(labelled[::-1], most=most)
    assert {ends: sorted(inside) for ends, inside in found.items()} == {
        ends: sorted(inside) for ends, inside in again.items()
    }


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("least_to_lead", [1, 1000])
def test_reference_and_kernel_agree_where_three_boxes_are_many(monkeypatch, least_to_lead):
    """Random rules and packets, and reloads, as in tests/kernel/test_agreement.py."""
    split_sets = []

    def fine(boxes, parts):
        part, areas = split_boxes(boxes, parts, 3)
        split_sets.append(len(areas))
        return part, areas

    monkeypatch.setattr(groups, "split", fine)
    monkeypatch.setattr(groups, "LEAST_TO_LEAD", least_to_lead)
    with contextlib.closing(Router()) as router:
        for seed in range(4):
            assert travel(router, journey(seed, packets=100, steps=1, most_rules=60)).differences == []
    assert max(split_sets) > 4
