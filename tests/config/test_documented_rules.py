"""docs/rules.md: its tables are those of the code. That its examples load is tests/repository/test_pages.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netpolicy.config.diagnostic import CODES
from netpolicy.config.outbound import NEEDED
from netpolicy.config.schema import OUTBOUND_POSITIONAL, SECTIONS, OptionSpec
from netpolicy.core.field import FIELDS
from netpolicy.core.health import STATES

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")

# The heading under which the options of a section type stand.
CHAPTERS = {
    "netpolicy": "The main section", "outbound": "Outbounds", "schedule": "Schedules", "throttle": "Throttles",
    "list": "Lists",
}  # fmt: skip
RULE_CHAPTERS = ("Match fields", "Actions")

OPTIONS = [(type, option) for type, spec in SECTIONS.items() for option in spec.options.values()]


def chapter(title: str) -> str:
    """The text under a heading of the second level."""
    return re.split(r"^## ", PAGE.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(type: str, option: OptionSpec) -> list[str]:
    """The table rows whose first cell names the option."""
    titles = RULE_CHAPTERS if type == "rule" else (CHAPTERS[type],)
    lines = [line for title in titles for line in chapter(title).splitlines() if line.startswith("| ")]
    return [line for line in lines if f"`{option.name}`" in line.split("|")[1]]


@pytest.mark.parametrize(("type", "option"), OPTIONS, ids=lambda one: one if isinstance(one, str) else one.name)
def test_an_option_has_a_row_with_its_default_and_choices(type: str, option: OptionSpec) -> None:
    found = " ".join(rows(type, option))
    assert found, "no row"
    # What a match field is without a value needs no row: it is not asked for.
    wanted = (*option.choices, *([option.default] if option.default and option.name != "any" else ()))
    assert [word for word in wanted if f"`{word}`" not in found] == []


@pytest.mark.parametrize(("type", "option"), OPTIONS, ids=lambda one: one if isinstance(one, str) else one.name)
def test_a_word_that_differs_between_the_spellings_is_in_the_table_of_them(type: str, option: OptionSpec) -> None:
    if option.word == option.name:
        return
    lines = [line for line in chapter("The three spellings").splitlines() if line.startswith("| ")]
    assert any(f"{option.name}`" in line and f"`{option.word}`" in line for line in lines)


def test_every_section_type_is_in_the_table_of_spellings() -> None:
    table = chapter("The three spellings")
    for type, spec in SECTIONS.items():
        assert f"`config {type} '" in table or type == "throttle" or type == "list"
        assert f"`{spec.plural}:`" in table


def test_every_match_field_stands_in_a_rule_of_the_dsl() -> None:
    block = next(text for text in re.findall(r"```dsl\n(.*?)```", PAGE, re.DOTALL) if "very_particular" in text)
    words = {SECTIONS["rule"].options[name].word for name in FIELDS}
    assert [word for word in sorted(words) if f" {word}=" not in block] == []


def test_what_an_outbound_cannot_do_without_is_marked() -> None:
    for type, name in NEEDED.items():
        (row,) = rows("outbound", SECTIONS["outbound"].options[name])
        assert type in row
        assert "needed" in row
    assert set(OUTBOUND_POSITIONAL) == set(SECTIONS["outbound"].options["type"].choices)


def test_states_are_documented_and_no_code_is_that_does_not_exist() -> None:
    assert all(f"`{state}`" in PAGE for state in STATES)
    assert set(re.findall(r"NP\d{3}", PAGE)) <= set(CODES)
