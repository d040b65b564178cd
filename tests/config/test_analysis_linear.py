"""Rules that are looked at one by one are named, where they are many."""

from __future__ import annotations

import pytest

from netpolicy.config.analysis import analyse
from netpolicy.config.analysis_linear import FEW
from netpolicy.config.diagnostic import Findings
from netpolicy.config.load import load_text
from netpolicy.config.spelling import DSL


def said(*matches: str) -> list[str]:
    """What is found of rules with these matches, one each."""
    rules = [f"rule r{number}:\n  match {match}\n  action block\n" for number, match in enumerate(matches)]
    loaded = load_text("schedule night days=daily from=22:00 to=06:00\n" + "\n".join(rules), "r.np", DSL)
    assert len(loaded.ruleset.rules) == len(matches), [item.message for item in loaded.diagnostics]
    found = Findings()
    analyse(loaded, found)
    return [item.message for item in found.all if item.code == "NP465"]


@pytest.mark.parametrize(
    ("match", "is_found"),
    [
        ("src_iface=!lan{}", False),
        ("proto=!{}", False),
        ("schedule=night family=!ipv4", False),
        ("dest_port=!{} schedule=night", True),  # everything but a port is two intervals
    ],
)
def test_many_rules_without_a_key_are_counted(match, is_found):
    some = [match.format(number) for number in range(FEW + 1)]
    begin = f"{FEW + 1} rules are looked at one by one"
    assert [text[: len(begin)] for text in said(*some)] == ([] if is_found else [begin])
    assert said(*some[:-1]) == []


def test_the_first_are_named_and_those_with_a_key_do_not_count():
    matches = [f"src_iface=!lan{number}" for number in range(FEW + 1)] + ["port=25", "src_iface=lan proto=!tcp"]
    (text,) = said(*matches)
    assert text.endswith(f"'r0', 'r1', 'r2', 'r3', 'r4' and {FEW - 4} more")
