"""Sorting in slices gives what sorting in one go gives."""

import random
from collections.abc import Generator

import pytest

from netpolicy.core.index_order import SLICE, ranked_steps, sorted_steps
from netpolicy.core.model import Action, Rule, Ruleset


def finished(steps: Generator[None, None, list]) -> tuple[list, int]:
    """What the steps return, and how many there were."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


ROWS = {
    "short": lambda rng: rng.sample(range(1000), 10),
    "empty": lambda rng: [],
    "random": lambda rng: rng.sample(range(10**9), 20 * SLICE),
    "sorted": lambda rng: list(range(10 * SLICE)),
    "reversed": lambda rng: list(range(10 * SLICE, 0, -1)),
    "sawtooth": lambda rng: [at % 8 * 10**6 + at for at in range(10 * SLICE)],
    "one heap": lambda rng: [at if at % 80 else at * 10**9 for at in range(10 * SLICE)],
    "pairs": lambda rng: [(at % 7, -at) for at in range(5 * SLICE)],
    "fractions": lambda rng: [at / 3 for at in range(3 * SLICE, 0, -1)],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_sorted(name: str) -> None:
    row = ROWS[name](random.Random(1))
    found, steps = finished(sorted_steps(list(row)))
    assert found == sorted(row)
    assert steps >= len(row) // (2 * SLICE)


def test_the_ranks_are_those_of_the_rule_set() -> None:
    rng = random.Random(2)
    for priorities in (1, 5, 10**9):
        rules = tuple(Rule(str(n), rng.randrange(priorities), (), Action("block", "drop")) for n in range(3 * SLICE))
        ruleset = Ruleset(rules)
        found, steps = finished(ranked_steps(ruleset))
        assert tuple(found) == ruleset.ranked
        assert steps >= 3
