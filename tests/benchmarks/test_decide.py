"""What is asked of index and reference is the same, and its figures have their names. No time is asserted."""

from __future__ import annotations

import pytest

from benchmarks.decide import FAMILIES, SHAPES
from benchmarks.measure import Options, Turns, run
from benchmarks.shapes import MAKERS, packets, shape
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import Facts

TINY = Options(sizes=(10,), rounds=1, seconds=0.001)


def all_of(word: str) -> list[Turns]:
    return list(FAMILIES[word](TINY))


def test_every_shape_is_decided_by_index_and_reference() -> None:
    results = {result.name: result for turns in all_of("decide") for result in run(turns, TINY)}
    for name in SHAPES:
        for ours in (f"decide/{name}/10", f"decide/{name}/10/miss"):
            assert results[ours].unit == "µs"
            assert results[ours].against == f"{ours}/reference"


@pytest.mark.parametrize(("word", "names"), [
    ("compile", {"compile/10", "compile/10/longest"}),
    ("memory", {"memory/index/10"}),
])  # fmt: skip
def test_compilations_and_footprints_have_their_names(word: str, names: set[str]) -> None:
    results = [result for turns in all_of(word) for result in run(turns, TINY)]
    assert {result.name for result in results} == names
    assert all(result.value > 0 for result in results)


@pytest.mark.parametrize("name", MAKERS)
def test_a_shape_is_the_same_every_time_and_its_packets_hit(name: str) -> None:
    ruleset = shape(name, 50)
    assert [rule.match_text for rule in ruleset.rules] == [rule.match_text for rule in shape(name, 50).rules]
    asked = packets(name, 50, 20)
    assert [_shown(one) for one in asked] == [_shown(one) for one in packets(name, 50, 20)]
    assert all(decide(ruleset, one).rule is not None for one in asked)


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"mixed"}))
def test_packets_for_no_rule_miss(name: str) -> None:
    ruleset = shape(name, 50)
    assert all(decide(ruleset, one).rule is None for one in packets(name, 50, 20, hit=False))


def _shown(facts: Facts) -> list[object]:
    return [getattr(facts, name) for name in Facts.__slots__]
