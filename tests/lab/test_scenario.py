"""Scenarios use commands that exist, in the order of their time, and leave the lab as it began."""

from __future__ import annotations

import pytest

from netpolicy.lab.control import command_for
from netpolicy.lab.edit import STAGES
from netpolicy.lab.scenario import SCENARIOS, TOUR_SECONDS
from netpolicy.lab.starter import ROOT_OF_PACKAGE


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


def test_the_readme_says_how_long_the_tour_takes() -> None:
    readme = (ROOT_OF_PACKAGE / "README.md").read_text()
    assert f'make run ARGS="--scenario tour --seconds {TOUR_SECONDS}"' in readme
