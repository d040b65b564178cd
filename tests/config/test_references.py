"""Names that settings, groups and rules use, and what happens when nothing has them."""

from __future__ import annotations

import pytest

from netpolicy.config.assemble import Loaded
from netpolicy.config.load import load_text

OUTBOUNDS = "outbound wan interface wan\noutbound lte interface wwan\n"
PARTS = "schedule evening from=18:00 to=22:00\nthrottle slow down=2mbit\n"


def load(text: str, head: str = OUTBOUNDS + PARTS) -> Loaded:
    return load_text(head + text, "f", "dsl")


def rule(action: str, match: str = "any") -> str:
    return f"rule r:\n  match {match}\n  action {action}\n"


def errors(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Code, the text at the place, and the fix."""
    return [(item.code, item.message, item.fix) for item in loaded.diagnostics if item.severity == "error"]


def only(loaded: Loaded) -> tuple[str, str, str]:
    (found,) = errors(loaded)
    return found


@pytest.mark.parametrize(
    "action", ["route=wan", "switch_route=lte", "fallback=wan,lte,direct", "route=block throttle=slow"]
)
def test_what_exists_is_not_mentioned(action):
    loaded = load(rule(action, "schedule=evening"))
    assert not errors(loaded)
    assert len(loaded.ruleset.rules) == 1


@pytest.mark.parametrize(
    ("action", "match", "expected"),
    [
        ("route=wna", "any", ("NP204", "route 'wna' is not an outbound", "wan")),
        ("switch_route=nothing", "any", ("NP204", "switch_route 'nothing' is not an outbound", "")),
        ("fallback=wan,ltte", "any", ("NP204", "fallback 'ltte' is not an outbound", "lte")),
        ("throttle=slwo", "any", ("NP215", "throttle 'slwo' is not defined", "slow")),
        ("route=wan throttle=none", "any", ("NP215", "throttle 'none' is not defined", "")),
        ("route=wan", "schedule=evning", ("NP216", "schedule 'evning' is not defined", "evening")),
        ("route=wan", "schedule=!night", ("NP216", "schedule 'night' is not defined", "")),
    ],
)
def test_a_rule_that_leads_nowhere_is_dropped_with_a_proposal(action, match, expected):
    loaded = load(rule(action, match))
    assert only(loaded) == expected
    assert loaded.ruleset.rules == ()
    assert loaded.skipped == (("r", expected[1]),)
    assert (loaded.fatal, loaded.blocked_skip) == (False, False)


def test_the_place_is_that_of_the_name():
    loaded = load(rule("fallback=wan,ltte"))
    (found,) = [item for item in loaded.diagnostics if item.code == "NP204"]
    assert (found.line, found.column, found.length, found.rule) == (7, 23, 4, "r")


def test_all_of_a_rules_dangling_names_are_reported():
    loaded = load(rule("fallback=x1,x2 throttle=x3", "schedule=x4,!x5"))
    assert [code for code, _, _ in errors(loaded)] == ["NP204", "NP204", "NP215", "NP216", "NP216"]


def test_a_dropped_rule_that_protects_is_flagged_unless_it_is_switched_off():
    text = rule("route=gone on_fail=block")
    assert load(text).blocked_skip
    assert not load(text.replace("  action", "  enabled false\n  action")).blocked_skip
    assert not load(rule("route=gone on_fail=direct")).blocked_skip


def test_a_rule_by_a_broken_outbound_is_dropped_and_the_whole_is_not_used():
    loaded = load("outbound vpn table\n" + rule("route=vpn"))
    assert [code for code, _, _ in errors(loaded)] == ["NP109", "NP204"]
    assert "names an outbound that has errors" in errors(loaded)[1][1]
    assert loaded.fatal


def test_rules_alone_may_name_outbounds_and_profiles_that_somebody_else_defines():
    loaded = load(rule("route=vpn throttle=slow"), "")
    assert not errors(loaded)
    warned = [item.code for item in loaded.diagnostics if item.severity == "warning"]
    assert {"NP204", "NP215"} <= set(warned)
    assert len(loaded.ruleset.rules) == 1


def test_rules_alone_with_a_profile_of_their_own_are_held_to_it():
    loaded = load(rule("throttle=slwo"), "throttle slow up=1mbit\n")
    assert only(loaded)[0] == "NP215"


@pytest.mark.parametrize("option", ["primary", "default"])
def test_the_settings_must_name_an_outbound(option):
    loaded = load(f"netpolicy:\n  {option} wna\n")
    assert only(loaded)[:2] == ("NP205", f"{option} 'wna' is not an outbound")
    (found,) = [item for item in loaded.diagnostics if item.code == "NP205"]
    assert found.hint == "did you mean 'wan'?"
    assert (found.line, found.column) == (6, 11)
    assert loaded.fatal


def test_a_group_has_no_health_and_cannot_be_primary_but_the_default():
    group = "outbound both group wan lte\n"
    assert "is a group" in only(load(group + "netpolicy:\n  primary both\n"))[1]
    loaded = load(group + "netpolicy:\n  default both\n")
    assert not errors(loaded)
    assert [item.code for item in loaded.diagnostics if item.severity == "warning"] == ["NP211"]


def test_a_member_that_does_not_exist_breaks_the_group_and_who_uses_it():
    loaded = load("outbound both group wan lt\n" + rule("route=both"))
    assert [code for code, _, _ in errors(loaded)] == ["NP214", "NP204"]
    assert errors(loaded)[0] == ("NP214", "group 'both': member 'lt' is not an outbound", "lte")
    assert loaded.fatal
    assert loaded.ruleset.rules == ()


@pytest.mark.parametrize(
    ("groups", "circular"),
    [
        ("outbound a group wan a\n", ["a"]),
        ("outbound a group b\noutbound b group a\n", ["a", "b"]),
        ("outbound a group b\noutbound b group c wan\noutbound c group a\n", ["a", "b", "c"]),
    ],
)
def test_a_group_that_contains_itself(groups, circular):
    loaded = load(groups + rule("route=a"))
    found = [message for code, message, _ in errors(loaded) if code == "NP213"]
    assert found == [f"the group {name!r} contains itself" for name in circular]
    assert loaded.fatal
    assert loaded.ruleset.rules == ()


def test_groups_in_groups_are_fine_also_when_two_of_them_share_a_line():
    groups = "outbound a group b c\noutbound b group wan lte\noutbound c group lte wan direct\n"
    loaded = load(groups + rule("route=a"))
    assert not errors(loaded)
    assert loaded.ruleset.lines_of("a") == ("wan", "lte", "direct")


BROKEN_INSIDE = {
    "the outer one first": "outbound outer group inner\noutbound inner group wan nope\n",
    "the inner one first": "outbound inner group wan nope\noutbound outer group inner\n",
    "a circle inside": "outbound outer group inner\noutbound inner group inner wan\n",
}


@pytest.mark.parametrize("case", ["the outer one first", "a circle inside"])
def test_a_group_of_a_group_that_is_broken_later_is_broken_too(case):
    loaded = load(BROKEN_INSIDE[case] + rule("route=outer"))
    assert loaded.ruleset.rules == ()
    assert loaded.fatal


def test_a_group_of_a_broken_group_is_broken():
    loaded = load(BROKEN_INSIDE["the inner one first"] + rule("route=outer"))
    assert loaded.ruleset.rules == ()
    assert loaded.fatal
