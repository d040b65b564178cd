"""Scenarios use commands that exist, in the order of their time, and leave the lab as it began."""

from __future__ import annotations

import pytest

from netpolicy.lab.control import command_for
from netpolicy.lab.edit import STAGES
from netpolicy.lab.scenario import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_in_order_and_knows_its_commands(name: str) -> None:
    steps = SCENARIOS[name]
    assert [second for second, _ in steps] == sorted(second for second, _ in steps)
    assert all(command_for(word) for _, word in steps)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_repairs_what_it_breaks(name: str) -> None:
    words = [word for _, word in SCENARIOS[name]]
    assert words.count("edit") % len(STAGES) == 0
    assert all(words.count(word) % 2 == 0 for word in ("line-a", "line-b", "silent"))
