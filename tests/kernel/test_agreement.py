"""The strongest test we have: for random rules and packets, engine and kernel agree.

Seeded; a failure prints its seed, and `python -m tests.kernel.test_agreement FIRST LAST`
repeats or extends the run (a hundred packets a seed).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import pytest

from tests.kernel.agreement import Router, disagreements, random_ruleset, unique_samples
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

PACKETS = 100


def differences(router: Router, seed: int) -> list[str]:
    rng = random.Random(seed)
    ruleset = random_ruleset(rng)
    found = disagreements(router, ruleset, unique_samples(rng, PACKETS))
    rules = [(rule.name, rule.priority, rule.match_text, rule.action.text) for rule in ruleset.rules]
    return [f"seed {seed}: {text}; rules {rules}, default {ruleset.settings.default}" for text in found]


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    made = Router()
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(20))
def test_engine_and_kernel_agree_on_random_rules_and_packets(router: Router, seed: int) -> None:
    assert differences(router, seed) == []


def main(first: int, last: int) -> int:
    """The long run: `make prove`. Prints what differs, returns how many seeds did."""
    router = Router()
    wrong = 0
    for seed in range(first, last):
        found = differences(router, seed)
        wrong += bool(found)
        for text in found[:5]:
            print(text)
    router.close()
    print(f"{(last - first) * PACKETS} packets, {wrong} of {last - first} rule sets with a disagreement")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]), int(sys.argv[2])) else 0)
