"""A number's cell has the groups whose ranges hold it, and no others."""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Generator

import pytest

from netpolicy.core.field import parse_field
from netpolicy.core.index_column import Groups, ranks_of
from netpolicy.core.index_interval import EXEMPT, measured_steps, number_steps, page_steps

ANY = parse_field("dest_port", ("80",))


def finished(steps: Generator[None, None, tuple]) -> tuple:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def groups(count: int) -> Groups:
    """Groups of one rule each, whose rank is the group's number."""
    made = Groups()
    for number in range(count):
        made.add(number, ANY, (number, None, None, None, None))
        made.note_keys(number, 1)
    return made


def held(cell: object) -> list[int]:
    return sorted(ranks_of([] if cell is None else [cell]))  # type: ignore[list-item]


@pytest.mark.parametrize("seed", range(30))
def test_cells_are_what_a_walk_over_the_ranges_finds(seed: int) -> None:
    rng = random.Random(seed)
    top = rng.choice((20, 300))
    ranges = []
    for group in range(rng.choice((0, 1, 5, 60))):
        low = rng.randrange(top)
        ranges.append((low, min(top, low + rng.choice((0, 0, 1, 5, top))), group))
    exempt = ((3, 4), (top, top)) if rng.random() < 0.5 else ()
    starts, cells = finished(number_steps(ranges, groups(60), exempt))
    for number in range(top + 3):
        cell = cells[bisect_right(starts, number)]
        if any(low <= number <= high for low, high in exempt):
            assert cell is EXEMPT
        else:
            assert held(cell) == [group for low, high, group in ranges if low <= number <= high]


def test_ranges_that_all_overlap_need_no_more_than_n_log_n() -> None:
    count = 500
    _, cells = finished(number_steps([(at, at + count, at) for at in range(count)], groups(count)))
    objects = {id(cell) for cell in cells}
    assert len(objects) <= 2 * count + 1
    assert len(cells) == 2 * count + 1


@pytest.mark.parametrize("seed", range(20))
def test_measured_facts_meet_their_comparators(seed: int) -> None:
    rng = random.Random(seed)
    bounds = [(rng.choice((">", "<", ">=", "<=", "==")), rng.choice((1, 2, 2.5, 7)), at) for at in range(30)]
    values, cells = finished(measured_steps(bounds, groups(30)))
    says = {
        ">": lambda fact, bound: fact > bound,
        "<": lambda fact, bound: fact < bound,
        ">=": lambda fact, bound: fact >= bound,
        "<=": lambda fact, bound: fact <= bound,
        "==": lambda fact, bound: fact == bound,
    }
    for fact in (0, 0.5, 1, 1.0, 1.5, 2, 2.25, 2.5, 3, 7, 8.0):
        found = held(cells[bisect_left(values, fact) + bisect_right(values, fact)])
        assert found == [at for operator, bound, at in bounds if says[operator](fact, bound)]


@pytest.mark.parametrize("bits", [14, 16, 20])
def test_pages_say_where_to_look(bits: int) -> None:
    rng = random.Random(1)
    starts = [*sorted(rng.sample(range(1 << 32), 3000)), 1 << 32]
    pages = finished(page_steps(starts, bits))  # type: ignore[arg-type]
    assert len(pages) == (1 << 32 - bits) + 1
    for number in [0, (1 << 32) - 1, *starts[:-1], *(rng.randrange(1 << 32) for _ in range(500))]:
        page = number >> bits
        assert bisect_right(starts, number, pages[page], pages[page + 1]) == bisect_right(starts, number)
