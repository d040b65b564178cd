"""Boxes as bytes: what went in comes out, in any choice, and a digest stands for all of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.boxes import LONG, SHORT, Boxes, Gathering, packed

LARGEST = {SHORT: (1 << 32) - 1, LONG: (1 << 128) - 1}


def gathered(size: int, parts: int, *shapes: tuple[list, int]) -> Boxes:
    found = Gathering(parts, size)
    for boxes, label in shapes:
        found.add(packed(boxes, size), len(boxes), label)
    return found.boxes()


@given(st.data(), st.sampled_from((SHORT, LONG)), st.integers(0, 3))
def test_whatever_boxes_go_in_come_out_with_their_labels(data, size, parts):
    number = st.integers(0, LARGEST[size])
    box = st.tuples(*[st.tuples(number, number)] * parts)
    shapes = data.draw(st.lists(st.tuples(st.lists(box, min_size=1, max_size=3), st.integers(1, LARGEST[SHORT]))))
    wanted = [(box, label) for boxes, label in shapes for box in boxes]
    found = gathered(size, parts, *shapes)
    assert len(found) == len(wanted) and list(found) == wanted
    chosen = data.draw(st.lists(st.sampled_from(range(len(wanted))), unique=True)) if wanted else []
    assert list(found.chosen(chosen)) == [wanted[place] for place in chosen]
    for part in range(parts):
        assert found.lows(part) == [box[part][0] for box, _ in wanted]
        assert found.highs(part) == [box[part][1] for box, _ in wanted]
        assert found.various(part) == len({box[part] for box, _ in wanted})


@pytest.mark.parametrize("size", [SHORT, LONG])
def test_another_box_label_or_order_is_another_digest(size):
    one, other = ((1, 2), (3, 3)), ((1, 2), (3, 4))
    found = gathered(size, 2, ([one, other], 7)).digest()
    assert found == gathered(size, 2, ([one], 7), ([other], 7)).digest()
    others = [([one, other], 8)], [([other, one], 7)], [([one], 7)], [([one, one], 7)]
    assert len({found, *[gathered(size, 2, *shapes).digest() for shapes in others]}) == 5
