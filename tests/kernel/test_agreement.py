"""The strongest test we have: for random rules and packets, reference evaluator and kernel agree.

A sample of what `make prove` does at length (tests/prove). Seeded: a failure names its seed, and
`python -m tests.prove shrink SEED` makes a small case of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from netpolicy.config.assemble import assemble
from netpolicy.config.load import read_source
from netpolicy.config.spelling import DSL
from netpolicy.service.compile import Compiled
from tests.netns import needs_root
from tests.prove import compare
from tests.prove.chain import journey
from tests.prove.compare import Memory, travel
from tests.prove.mutate import MUTATIONS
from tests.prove.router import Router
from tests.prove.scene import Scene
from tests.prove.shrink import Shrinker

pytestmark = [pytest.mark.kernel, needs_root]

MOST_RULES = 120  # larger ones are for `make prove`


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    made = Router()
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(20))
def test_reference_and_kernel_agree_on_random_rules_and_packets_and_after_a_reload(router: Router, seed: int) -> None:
    assert travel(router, journey(seed, packets=100, steps=1, most_rules=MOST_RULES)).differences == []


@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
def test_reference_and_kernel_agree_after_every_kind_of_change_and_counters_stay(router: Router, mutation: str) -> None:
    assert travel(router, journey(1000, packets=60, steps=2, most_rules=40, only=mutation)).differences == []


def _compiler_that_forgets_negated_ports(original):
    def compiled(router: Router, scene: Scene, memory: Memory) -> Compiled:
        return original(router, scene.with_rules(tuple(_forgetful(rule) for rule in scene.rules)), memory)

    return compiled


def _forgetful(rule):
    return replace(rule, fields=tuple(
        (name, tuple(value.lstrip("!") for value in values) if name == "dest_port" else values)
        for name, values in rule.fields
    ))  # fmt: skip


def test_a_wrong_data_plane_is_noticed_and_shrinks_to_few_rules_and_one_packet(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "compiled", _compiler_that_forgets_negated_ports(compare.compiled))
    shrinker = Shrinker(router, journey(FORGOTTEN, packets=60, steps=0, most_rules=15))
    assert shrinker.run()
    (_, scene, samples) = shrinker.journey[-1]
    assert len(scene.rules) <= 2
    assert len(samples) == 1
    read = read_source(shrinker.text(), "shrunk.np", DSL)
    assert [rule.name for rule in assemble((read,)).ruleset.rules] == [rule.name for rule in scene.rules]


FORGOTTEN = 16  # a seed whose first scene has a rule with negated ports that a packet meets
