"""docs/rules.md: its examples load, its tables are those of the code."""

import re
from pathlib import Path

import pytest

from netpolicy.config.diagnostic import CODES
from netpolicy.config.load import load_text
from netpolicy.config.schema import SECTIONS
from netpolicy.core.health import STATES

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```uci\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_loads(text):
    loaded = load_text(text)
    assert not loaded.fatal
    assert not loaded.skipped
    expected = {"NP207", "NP007", "NP208"}  # said where the example stands
    assert {item.code for item in loaded.diagnostics} <= expected


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


def test_every_option_is_documented_with_its_default_and_choices():
    for section in SECTIONS.values():
        for option in section.options.values():
            assert f"`{option.name}`" in PAGE, option.name
            rows = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{option.name}`" in line]
            if option.default and not option.later and option.name not in ("any", "log", "on_fail"):
                assert any(f"`{option.default}`" in row for row in rows), option.name
            assert all(any(f"`{choice}`" in row for row in rows) for choice in option.choices), option.name


def test_codes_and_states_are_documented():
    for code, meaning in CODES.items():
        assert f"| {code} | {meaning} |" in PAGE
    assert all(f"`{state}`" in PAGE for state in STATES)
