"""Every example is sound, canonical, the same in all spellings, and decides as its sidecar says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netpolicy.config.convert import convert_text
from netpolicy.config.diagnostic import ERROR, WARNING
from netpolicy.config.linter import lint_file
from netpolicy.config.load import load, load_text
from netpolicy.config.spelling import DSL, FORMATS, format_of
from netpolicy.config.unload import as_key
from netpolicy.core.evaluate import World
from netpolicy.core.model import Ruleset
from netpolicy.service.dry_run import document, moment, question
from netpolicy.service.standing import not_enforced, partly

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(one for one in FOLDER.iterdir() if one.suffix in (".np", ".uci", ".yaml"))

NO_RULE = "no rule"
MONDAY_NOON = (0, 12 * 60)

by_name = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)


def sidecar(path: Path) -> list[str]:
    lines = path.with_suffix(".decisions").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def words(path: Path, label: str) -> set[str]:
    """What stands behind a label such as `lint:` in the sidecar."""
    return {word for line in sidecar(path) if line.startswith(label) for word in line[len(label) :].split()}


def decisions(path: Path) -> list[str]:
    return [line for line in sidecar(path) if " -> " in line]


def ruleset_of(path: Path) -> Ruleset:
    return load(str(path)).ruleset


def without_header(path: Path, text: str) -> str:
    """What the printers can print: only the DSL formatter keeps comments."""
    if format_of(str(path)) == DSL:
        return text
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")).lstrip("\n")


def answer(ruleset: Ruleset, facts: str) -> str:
    given = dict(word.split("=", 1) for word in facts.split())
    down = tuple(given.pop("down", "").split(","))
    connection, state = question(given)
    found: dict[str, Any] = document(ruleset, connection, state, World(down), moment(given, MONDAY_NOON))
    return f"{found['rule'] or NO_RULE}, outbound {found['outbound']}"


def test_there_are_examples_in_every_spelling() -> None:
    assert len(EXAMPLES) >= 10
    assert {format_of(str(path)) for path in EXAMPLES} == set(FORMATS)


def test_the_index_names_every_example() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if f"({path.name})" not in index] == []


@by_name
def test_an_example_has_no_errors_and_only_the_warnings_that_it_announces(path: Path) -> None:
    found = lint_file(str(path))
    assert [item.text() for item in found if item.severity == ERROR] == []
    assert {item.code for item in found if item.severity == WARNING} == words(path, "lint:")
    loaded = load(str(path))
    assert not loaded.fatal
    assert loaded.ruleset.settings.enabled


@by_name
def test_an_example_says_for_whom_it_is_and_what_is_missing(path: Path) -> None:
    header = path.read_text(encoding="utf-8").split("\n\n", 1)[0]
    assert all(line.startswith("#") for line in header.splitlines())
    for part in ("# For whom:", "# What it does:", "# What it does not do yet:"):
        assert part in header


@by_name
def test_an_example_says_which_of_its_rules_the_kernel_does_not_follow_yet(path: Path) -> None:
    """The same question as `netpolicy plan` asks."""
    ruleset = ruleset_of(path)
    found = {rule.name for rule in ruleset.rules if not_enforced(ruleset, rule) or partly(ruleset, rule)}
    assert found == words(path, "not enforced:")


@by_name
def test_an_example_is_in_canonical_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    format = format_of(str(path))
    assert convert_text(text, str(path), format, format).text == without_header(path, text)


@pytest.mark.parametrize("target", FORMATS)
@by_name
def test_an_example_says_the_same_in_the_other_spellings_and_back(path: Path, target: str) -> None:
    text, format = path.read_text(encoding="utf-8"), format_of(str(path))
    there = convert_text(text, path.name, format, target).text
    assert there is not None
    back = convert_text(there, path.name, target, format).text
    assert back is not None
    key = as_key(load_text(text, path.name, format).ruleset)
    assert as_key(load_text(there, path.name, target).ruleset) == key
    assert as_key(load_text(back, path.name, format).ruleset) == key


@by_name
def test_an_example_decides_as_it_says(path: Path) -> None:
    lines = decisions(path)
    ruleset = ruleset_of(path)
    assert len(lines) == len([line for line in sidecar(path) if not line.startswith(("lint:", "not enforced:"))])
    assert len(lines) >= 5
    wrong = []
    for line in lines:
        facts, _, expected = line.partition(" -> ")
        found = answer(ruleset, facts)
        if found != expected:
            wrong.append(f"{facts}: {found}, not {expected}")
    assert wrong == []


@by_name
def test_every_rule_of_an_example_decides_something(path: Path) -> None:
    """A rule that the sidecar never sees win could be wrong without a test noticing."""
    seen = {line.partition(" -> ")[2].split(",")[0] for line in decisions(path)}
    rules = [rule.name for rule in ruleset_of(path).rules if rule.enabled]
    assert [name for name in rules if name not in seen] == []
