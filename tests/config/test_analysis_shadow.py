"""Which rules are reported as never winning, and in which words."""

from __future__ import annotations

import pytest

from netpolicy.config.analysis_cover import Budget
from netpolicy.config.analysis_place import Places
from netpolicy.config.analysis_shadow import check_shadowed
from netpolicy.config.analysis_shape import Shapes
from netpolicy.config.diagnostic import Findings
from netpolicy.config.load import load_text
from netpolicy.config.spelling import DSL

from .linted import LINES, findings, marked, rule

CODES = ("NP401", "NP402", "NP403")


def test_a_shadowed_rule_names_its_shadow_and_what_to_do() -> None:
    text = (
        LINES
        + rule("web", "priority 9", "match protocol=tcp")
        + rule("mail", "priority 5", "match protocol=tcp port=25")
    )
    (item,) = findings(text, *CODES)
    assert item.code == "NP401" and item.rule == "mail" and marked(text, item) == "mail"
    assert "'web' (rules.np:5, priority 9) ranks above it" in item.message
    assert item.hint == "give it a priority above 9, or remove it"


def test_a_block_that_never_wins_says_that_it_does_not_block() -> None:
    text = LINES + rule("a", "priority 9", "match any", action="route=direct") + rule("b", "match src_iface=lan")
    (item,) = findings(text, *CODES)
    assert item.message.endswith("what it is to block passes")
    assert "it would win only if lan were the device of an outbound" in item.hint


def test_several_rules_are_named_up_to_three() -> None:
    parts = "".join(rule(f"p{at}", "priority 9", f"match port={at * 10}-{at * 10 + 9}") for at in range(5))
    (item,) = findings(LINES + parts + rule("all", "match port=0-49"), *CODES)
    assert (
        "'p2'" in item.message
        and "'p3'" not in item.message
        and "and 2 more rank above it and together match" in item.message
    )


def test_a_block_below_a_route_that_matches_more_counts_while_the_line_is_down() -> None:
    text = LINES + rule("all", "priority 9", "match any", action="route=wan") + rule("mail", "match port=25")
    (item,) = findings(text, *CODES, "NP411")
    assert (item.code, item.severity, item.rule) == ("NP411", "info", "mail")
    assert item.message.startswith(
        "the block counts only while 'wan' is down: 'all' (rules.np:5, priority 9) ranks above"
    )
    assert item.hint == "give it a priority above 9 if it is to count always"


@pytest.mark.parametrize(
    ("route", "block"),
    [
        (("match any", "route=wan"), ("match any",)),  # a kill switch in two rules
        (("match src_iface=tv", "route=wan"), ("match src_iface=tv",)),
        (("match any", "route=wan"), ("match port=25", "when state=FAILOVER")),
        (("match any", "route=wan"), ("match port=25", "disable state=NORMAL")),
        (("match any", "route=wan"), ("priority 10", "match port=25")),
        (("match port=25", "route=wan"), ("match any",)),
        (("match port=25", "route=wan"), ("match port=25,587",)),
        (("match any", "route=wan on_fail=direct"), ("match any", "enabled 0")),
    ],
)
def test_a_block_that_may_well_be_meant_for_a_dead_line_is_left_alone(
    route: tuple[str, str], block: tuple[str, ...]
) -> None:
    text = LINES + rule("r", "priority 9", route[0], action=route[1]) + rule("b", *block)
    assert findings(text, "NP411") == []


@pytest.mark.parametrize("second", ["match port=25 protocol=tcp", "match protocol=6 port=25"])
def test_a_repeated_rule_is_called_so(second: str) -> None:
    text = LINES + rule("a", "match protocol=tcp port=25") + rule("b", second)
    (item,) = findings(text, *CODES)
    assert item.code == "NP403" and item.rule == "b" and "repeats 'a'" in item.message


def test_the_same_match_with_another_action_is_shadowed_not_repeated() -> None:
    text = LINES + rule("a", "match port=25") + rule("b", "match port=25", action="block=reject")
    assert [item.code for item in findings(text, *CODES)] == ["NP401"]


def test_rules_that_are_switched_off_shadow_nothing() -> None:
    text = LINES + rule("a", "enabled 0", "match any") + rule("b", "match port=25")
    assert findings(text, *CODES) == []


def test_states_part_rules() -> None:
    bad = rule("a", "priority 1", "match any", "when state=NORMAL")
    assert findings(LINES + bad + rule("b", "match any"), *CODES) == []
    (item,) = findings(LINES + bad + rule("b", "match any", "disable DEGRADED,FAILOVER,RECOVERY"), *CODES)
    assert item.rule == "b"


def test_too_much_work_is_admitted() -> None:
    loaded = load_text("".join(rule(f"r{at}", f"match port={at}") for at in range(50)), "rules.np", DSL, True)
    found = Findings()
    make = Shapes(loaded.ruleset)
    shapes = tuple(make(rank, one) for rank, one in enumerate(loaded.ruleset.ranked))
    check_shadowed(loaded.ruleset, shapes, Places(loaded), found, Budget(40))
    assert [item.code for item in found.all] == ["NP402"]
    assert "rules were not compared" in found.all[0].message


def test_a_device_may_be_called_like_a_list() -> None:
    assert findings(LINES + rule("odd", "match src_iface=@guest"), *CODES) == []
