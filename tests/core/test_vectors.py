"""The predecessor's behaviour as input → expected: every `evaluate` and `state_machine` vector.

`must`: the same answer; `must-differ`: the predecessor was wrong and this is the right one.
"""

import json
from pathlib import Path

import pytest

from netpolicy.core.evaluate import decide
from netpolicy.core.facts import parse_facts
from netpolicy.core.health import step
from tests.spellings import NotExpressible, load_plain

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "vectors.json").read_text())


def by_id(section: str) -> list:
    return [pytest.param(vector, id=f"{vector['id']} {vector['title']}") for vector in VECTORS[section]]


@pytest.mark.parametrize("format", ["uci", "dsl", "yaml"])
@pytest.mark.parametrize("vector", by_id("evaluate"))
def test_the_engine_decides_as_the_vector_says_in_every_spelling(vector, format):
    try:
        loaded = load_plain(vector["rules"], format)
    except NotExpressible as reason:
        pytest.skip(str(reason))
    errors = [item for item in loaded.diagnostics if item.severity == "error"]
    if vector["expect"].get("lint_error"):
        assert errors
        return
    assert not errors
    facts = parse_facts({name: str(value) for name, value in vector["context"].items()})
    decision = decide(loaded.ruleset, facts, vector["state"])
    if vector["expect"]["rule"] is None:
        assert decision.rule is None
        return
    assert decision.rule is not None
    found = {"rule": decision.rule.title, "action": decision.action, "log": decision.log}
    assert found == {key: vector["expect"][key] for key in found}


@pytest.mark.parametrize("vector", by_id("state_machine"))
def test_the_states_follow_the_samples(vector):
    state, seen = vector["start"], []
    for latency_ms, error_rate in vector["samples_latency_ms_error_rate"]:
        state = step(state, latency_ms, error_rate)
        seen.append(state)
    assert seen == vector["expect"]["states"]
