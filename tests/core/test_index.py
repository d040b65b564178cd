"""The compiled rule set decides as the reference does, is built in slices, and is not seen before it is whole."""

import pytest

from benchmarks.shapes import MAKERS, packets_for, shape
from netpolicy.core.evaluate import World
from netpolicy.core.health import DEGRADED, FAILOVER, NORMAL
from netpolicy.core.index import Building, build
from netpolicy.core.index_order import SLICE
from netpolicy.core.model import Ruleset
from tests.core.index_agreement import difference, differences


@pytest.mark.parametrize("seed", range(4))
def test_index_and_reference_decide_alike(seed: int) -> None:
    assert differences(seed, 10_000) == []


@pytest.mark.parametrize("name", MAKERS)
def test_they_decide_alike_where_rules_are_many(name: str) -> None:
    ruleset = shape(name, 300)
    index = build(ruleset)
    views = [index.view(NORMAL), index.view(FAILOVER, World(down=("line1",))), index.view(DEGRADED)]
    facts = packets_for(name, ruleset, 60) + packets_for(name, ruleset, 30, hit=False)
    found = [difference(view, one, with_reasons=False) for view in views for one in facts]
    assert [text for text in found if text] == []


def test_a_disagreement_would_be_seen() -> None:
    ruleset = shape("mixed", 100)
    view = build(ruleset).view()
    view.outcomes.ruleset = Ruleset(ruleset.rules[:50], ruleset.outbounds, ruleset.settings)
    assert [text for one in packets_for("mixed", ruleset, 50) if (text := difference(view, one, False))]


def test_an_index_under_construction_is_not_there_yet() -> None:
    ruleset = shape("mixed", 3 * SLICE)
    building = Building(ruleset)
    steps = 0
    for _ in building.steps():
        assert building.index is None
        steps += 1
    assert building.index is not None
    assert building.index.rules == ruleset.ranked
    assert steps > 20
