"""Any spelling to any other and back gives an equal rule set, over random rule sets of all options.

Equal: the records themselves (not only what the printers make of them), the key, and the text.
"""

from __future__ import annotations

import os
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.config import convert
from netpolicy.config.convert import convert_text, print_ruleset
from netpolicy.config.load import load_text
from netpolicy.config.source import Section
from netpolicy.config.spelling import FORMATS
from netpolicy.config.unload import as_key, to_sections
from netpolicy.core.model import Ruleset

from .rulesets import EVERY_OPTION, random_ruleset, random_sections, rulesets, same, written_options

PAIRS = tuple(permutations(FORMATS, 2))
CASES = int(os.environ.get("CASES", "2000"))  # over all pairs together; `make prove` takes 10 000
SEED = 20_000_000


def problem(ruleset: Ruleset, first: str, second: str) -> str:
    """What is lost on the way from the one spelling to the other and back, "" for nothing."""
    text = print_ruleset(ruleset, first)
    there, wrong = _loaded(text, first)
    if wrong or same(there) != same(ruleset):
        return f"{wrong or 'not the same'}: {first}\n{text}"
    other_text = print_ruleset(there, second)
    back, wrong = _loaded(other_text, second)
    if wrong or same(back) != same(ruleset):
        return f"{wrong or 'not the same'}: {second}\n{other_text}"
    if as_key(back) != as_key(ruleset):
        return f"the keys differ\n{text}\n{other_text}"
    again = print_ruleset(back, first)
    return "" if again == text else f"printed again it differs: {first}\n{text}\n{again}"


def _loaded(text: str, format: str) -> tuple[Ruleset, str]:
    loaded = load_text(text, "<text>", format)
    return loaded.ruleset, "\n".join(item.text() for item in loaded.diagnostics if item.severity == "error")


@pytest.mark.slow  # thousands of rule sets, each read twice and printed three times
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_to_another_spelling_and_back_nothing_is_lost(first, second):
    start = SEED + PAIRS.index((first, second)) * CASES
    for number in range(start, start + -(-CASES // len(PAIRS))):
        found = problem(random_ruleset(Random(number)), first, second)
        assert not found, f"seed {number}: {found}"


@settings(max_examples=30, deadline=None)
@given(rulesets(), st.sampled_from(PAIRS))
def test_the_same_with_what_hypothesis_makes_small(ruleset, pair):
    found = problem(ruleset, *pair)
    assert not found, found


@pytest.mark.parametrize("format", FORMATS)
def test_printing_what_was_printed_changes_nothing(format):
    for number in range(100):
        text = print_ruleset(random_ruleset(Random(number)), format)
        assert convert_text(text, "<text>", format, format).text == text


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_converting_a_text_gives_what_printing_the_rule_set_gives(first, second):
    for number in range(40):
        ruleset = random_ruleset(Random(number))
        converted = convert_text(print_ruleset(ruleset, first), "<text>", first, second)
        assert converted.text == print_ruleset(ruleset, second), f"seed {number}"


def test_the_random_rule_sets_have_every_option_of_every_section_type():
    written: set[tuple[str, str]] = set()
    for number in range(300):
        written |= written_options(random_sections(Random(number)))
    assert written == EVERY_OPTION


def test_the_same_seed_gives_the_same_rule_set():
    assert same(random_ruleset(Random(5))) == same(random_ruleset(Random(5)))
    assert same(random_ruleset(Random(5))) != same(random_ruleset(Random(6)))


@pytest.mark.parametrize("type", ["outbound", "rule", "list", "schedule", "throttle"])
def test_a_printer_that_forgets_an_option_is_found(monkeypatch, type):
    def forgetful(ruleset: Ruleset) -> tuple[Section, ...]:
        return tuple([_without_title(one) if one.type == type else one for one in to_sections(ruleset)])

    monkeypatch.setattr(convert, "to_sections", forgetful)
    monkeypatch.setattr(convert, "with_titles_as_names", lambda sections: sections)
    assert any(problem(random_ruleset(Random(number)), "uci", "dsl") for number in range(100))


def _without_title(section: Section) -> Section:
    rest = tuple([one for one in section.options if one.name != "name"])
    return Section(section.type, section.name, section.anonymous, section.line, rest)
