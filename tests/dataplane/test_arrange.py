"""Boxes made disjoint: in every list they are, and over the lists the best label of every point is still found."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netpolicy.dataplane import arrange as arrange_module
from netpolicy.dataplane.arrange import MOST_LAYERS, TooManyBoxes, arrange, flatten

SPAN = 12  # values of one part in these tests

Box = tuple[tuple[int, int], ...]


def ranges(span: int = SPAN):
    return st.tuples(st.integers(0, span - 1), st.integers(0, span - 1)).map(lambda pair: (min(pair), max(pair)))


def boxes(most: int = 14):
    """Up to `most` boxes of one to four parts, each with its own label or with one that others have too."""
    return st.integers(1, 4).flatmap(
        lambda parts: st.lists(st.tuples(st.tuples(*[ranges()] * parts), st.integers(1, 9)), min_size=1, max_size=most)
    )


def overlap(one: Box, other: Box) -> bool:
    return all(a[0] <= b[1] and b[0] <= a[1] for a, b in zip(one, other, strict=True))


def best(found: Iterable[tuple[Box, int]], point: tuple[int, ...]) -> int | None:
    inside = [label for box, label in found if all(low <= x <= high for (low, high), x in zip(box, point, strict=True))]
    return min(inside) if inside else None


def corners(found: list[tuple[Box, int]]) -> list[list[int]]:
    """The values of each part at which something begins, ends or is just over."""
    return [
        sorted({x for box, _ in found for x in (box[part][0], box[part][1], box[part][1] + 1)})
        for part in range(len(found[0][0]))
    ]


@given(boxes())
@example([(((0, 5), (0, 5)), 2), (((3, 8), (3, 8)), 1), (((0, 9), (4, 4)), 3)])
def test_in_every_list_the_boxes_are_disjoint_and_sorted(given_boxes):
    for found in arrange(given_boxes):
        assert found == sorted(found)
        for index, (box, _) in enumerate(found):
            assert all(low <= high for low, high in box)
            assert not any(overlap(box, other) for other, _ in found[index + 1 :])


@given(boxes(), st.randoms(use_true_random=False))
@example([(((0, 5), (0, 5)), 2), (((3, 8), (3, 8)), 1), (((0, 9), (4, 4)), 3)], random.Random(1))
def test_for_every_point_the_minimum_over_the_lists_is_the_minimum_over_all_boxes(given_boxes, drawn):
    lists = arrange(given_boxes)
    told = [entry for found in lists for entry in found]
    edges = corners(given_boxes)
    points = [tuple(drawn.choice(values) for values in edges) for _ in range(60)]
    points += [tuple(low for low, _ in box) for box, _ in given_boxes]
    for point in points:
        assert best(told, point) == best(given_boxes, point), point


@given(st.lists(st.tuples(ranges(), st.integers(1, 9)).map(lambda one: (*one[0], one[1])), max_size=20))
def test_intervals_become_disjoint_and_say_the_best_for_every_number(intervals):
    flat = flatten(intervals)
    assert all(one[1] < other[0] for one, other in pairwise(flat))
    for number in range(-1, SPAN + 1):
        wanted = [label for low, high, label in intervals if low <= number <= high]
        assert [label for low, high, label in flat if low <= number <= high] == sorted(wanted)[:1]


def test_nothing_needs_no_list():
    assert arrange([]) == []


def test_the_order_in_which_boxes_come_makes_no_difference():
    drawn = random.Random(3)
    found = [((low, low + 9), (port, port)) for low in range(0, 90, 7) for port in range(9)]
    every = [(box, label) for label, box in enumerate(found, 1)]
    shuffled = drawn.sample(every, len(every))
    assert arrange(every) == arrange(shuffled)


def test_networks_within_networks_become_one_list():
    nested = [(((0, 255 >> depth), (6, 6)), 10 - depth) for depth in range(8)]
    (found,) = arrange(nested)
    assert len(found) == 8


def test_overlap_in_two_parts_takes_a_second_list_and_no_third():
    lists = arrange([(((0, 5), (0, 5)), 1), (((3, 8), (3, 8)), 2), (((20, 25), (0, 5)), 3)])
    assert len(lists) == 2


class Counted(int):
    """A number that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int.__lt__(self, other)

    def __le__(self, other: int) -> bool:
        Counted.compared += 1
        return int.__le__(self, other)

    def __ge__(self, other: int) -> bool:
        Counted.compared += 1
        return int.__ge__(self, other)

    def __gt__(self, other: int) -> bool:
        Counted.compared += 1
        return int.__gt__(self, other)

    __eq__ = int.__eq__
    __hash__ = int.__hash__


def single_ports(count: int) -> list[Box]:
    return [((port * 6, port * 6), (6, 6)) for port in range(count)]


def subnets_and_ports(count: int) -> list[Box]:
    """Networks of several sizes, some within others, each with some port."""
    drawn = random.Random(4)
    found = []
    for _ in range(count):
        size = 1 << drawn.choice((0, 4, 8, 8, 8, 12, 16))
        low = drawn.randrange(1 << 32) // size * size
        port = drawn.choice((22, 25, 53, 80, 123, 443, 993, 8080))
        found.append(((low, low + size - 1), (port, port), (6, 6)))
    return found


def subnets(count: int) -> list[Box]:
    return [box[:1] for box in subnets_and_ports(count)]


def pairs_of_networks(count: int) -> list[Box]:
    drawn = random.Random(5)
    found = []
    for _ in range(count):
        source = drawn.randrange(256) << 8
        low = drawn.randrange(1 << 24) << 8
        found.append(((low, low + 255), (source, source + 255)))
    return found


def pairs_of_hosts(count: int) -> list[Box]:
    """Different in both parts: as many buckets as rules."""
    drawn = random.Random(7)
    return [((one, one), (other, other)) for one, other in enumerate(drawn.sample(range(1 << 32), count))]


def address_and_port_range(count: int) -> list[Box]:
    """The part behind the first overlaps everywhere: the hard case of what is ordinary."""
    drawn = random.Random(6)
    found = []
    for number in range(count):
        first = drawn.choice((1, 1024, 32768, 49152))
        found.append(((number, number), (first, first + drawn.choice((0, 100, 1000)))))
    return found


def networks_and_port_ranges(count: int) -> list[Box]:
    """Four parts that all overlap: each rule meets a good many others."""
    drawn = random.Random(8)

    def network() -> tuple[int, int]:
        size = 1 << drawn.choice((0, 4, 8, 12, 16))
        low = drawn.randrange(1 << 32) // size * size
        return low, low + size - 1

    def ports() -> tuple[int, int]:
        first, last = sorted(drawn.sample(range(65536), 2))
        return first, last

    return [(network(), network(), ports(), ports()) for _ in range(count)]


def comparisons(boxes_: list[Box]) -> int:
    counted = [(tuple((Counted(low), Counted(high)) for low, high in box), label) for label, box in enumerate(boxes_)]
    Counted.compared = 0
    arrange(counted)
    return Counted.compared


@pytest.mark.parametrize(
    "drawn", [
        single_ports, subnets, subnets_and_ports, pairs_of_networks, pairs_of_hosts, address_and_port_range,
        networks_and_port_ranges,
    ],
)  # fmt: skip
def test_ten_thousand_ordinary_rules_are_not_compared_each_with_each(drawn):
    """Ten times the rules: ten times the work and a logarithm, where each with each were a hundred times."""
    few, many = comparisons(drawn(1_000)), comparisons(drawn(10_000))
    assert many < 40 * few
    assert many < 300 * 10_000


def test_the_count_of_comparisons_would_show_quadratic_work(monkeypatch):
    def each_with_each(found):
        layers: list[int] = []
        for index, (others, _) in enumerate(found):
            used = [layer for layer, (other, _) in zip(layers, found[:index], strict=True) if overlap(other, others)]
            layers.append(max(used, default=-1) + 1)
        return layers

    monkeypatch.setattr(arrange_module, "_layers", each_with_each)
    few, many = comparisons(pairs_of_hosts(100)), comparisons(pairs_of_hosts(1_000))
    assert many > 60 * few


@settings(max_examples=60, deadline=None)
@given(boxes(most=40))
def test_bits_say_the_same_layers_as_comparing_each_with_each(given_boxes):
    with pytest.MonkeyPatch.context() as patch:
        walked = arrange(given_boxes)
        patch.setattr(arrange_module, "FEW", 0)
        assert arrange(given_boxes) == walked


def steps(count: int) -> list[tuple[Box, int]]:
    """Ranges of two parts, each of which meets all others."""
    return [(((0, number), (0, count - number)), number + 1) for number in range(count)]


def test_rules_that_all_meet_in_two_parts_are_refused_beyond_what_a_packet_should_be_looked_up_in():
    assert len(arrange(steps(MOST_LAYERS))) == MOST_LAYERS
    with pytest.raises(TooManyBoxes, match=f"more than {MOST_LAYERS} rules of the same fields overlap in several"):
        arrange(steps(MOST_LAYERS + 1))
