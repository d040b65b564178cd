"""Definitions without a user, and rules that are called alike."""

from __future__ import annotations

import pytest

from netpolicy.config.linter import lint_text

from .linted import LINES, findings, marked, rule

PARTS = """schedule late from=20:00 to=22:00
throttle slow down=2mbit
list nets 192.0.2.0/24
"""


def unused(text: str) -> list[str]:
    return [marked(text, item) for item in findings(text, "NP463")]


def test_what_nothing_uses_is_named() -> None:
    assert unused(LINES + PARTS + rule("a", "match port=25")) == ["wan", "wg", "nets", "late", "slow"]


@pytest.mark.parametrize(
    ("head", "severities"),
    [
        ("netpolicy:\n  primary wan\n", ["warning"]),
        ("netpolicy:\n  enabled 0\n", ["info"]),
        ("netpolicy:\n  enabled 1\n", []),
        ("assert lan can wan\n", []),
        ("", []),
    ],
)
def test_rules_that_count_for_nothing_are_not_called_fine(head: str, severities: list[str]) -> None:
    text = head + "outbound wan interface wan\n"
    assert [item.severity for item in findings(text + rule("a", "match port=25"), "NP219")] == severities
    assert findings(text + rule("a", "enabled 0", "match port=25"), "NP219") == []


def test_every_kind_of_use_counts() -> None:
    head = LINES.replace("enabled 1", "enabled 1\n  primary wan\n  assert @nets can wan tcp/443")
    text = head + PARTS + rule("a", "enabled 0", "match schedule=!late", action="route=wg throttle=slow")
    assert unused(text) == []
    both = "outbound both group failover wan,wg\n"
    assert unused(LINES + both + rule("a", "match port=25", action="fallback=both,direct")) == []


def test_a_file_of_definitions_alone_is_for_other_files() -> None:
    assert unused(LINES + PARTS) == []


def test_nothing_is_unused_while_a_rule_was_left_out() -> None:
    broken = LINES + rule("a", "match port=25") + rule("b", "match port=99999", action="route=wan")
    assert not [item for item in lint_text(broken, "f", "dsl") if item.code == "NP463"]


def test_rules_that_are_called_alike() -> None:
    text = LINES + rule("a", "title Mail", "match port=25") + rule("b", "title MAIL", "match port=26")
    (item,) = findings(text, "NP464")
    assert item.rule == "b" and "called alike" in item.message
    assert findings(LINES + rule("a", "match port=25") + rule("b", "match port=26"), "NP464") == []
