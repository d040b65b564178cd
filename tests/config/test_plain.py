"""Plain objects: the predecessor's validation phrases, and its silence where it should have spoken."""

import json
from pathlib import Path

import pytest

from netpolicy.config.plain import rules_from_plain

LINT = json.loads((Path(__file__).parent.parent / "data" / "vectors.json").read_text())["lint"]

# Vectors about YAML text belong to its front end; these two texts are the YAML library's own.
TYPE_ERRORS = ("L36", "L37")


@pytest.mark.parametrize("vector", [pytest.param(one, id=one["id"]) for one in LINT if "rules" in one])
def test_every_lint_vector(vector):
    _, diagnostics = rules_from_plain(vector["rules"])
    errors = [item for item in diagnostics if item.severity == "error"]
    expect = vector["expect"]
    assert (not errors) == expect["ok"], errors
    if "message" in expect and vector["id"] not in TYPE_ERRORS:
        assert any(expect["message"] in item.message for item in errors)
    if "mentions" in expect:
        assert any(expect["mentions"] in item.text() for item in errors)
    assert len(errors) >= expect.get("min_errors", 0)


def rule(**changes):
    return {"name": "a", "priority": 1, "match": {"any": True}, "action": {"route": "x"}} | changes


def test_numbers_and_truth_values_as_texts_are_those_texts():
    for given, expected in ((5, "5"), (True, "true")):
        rules, _ = rules_from_plain([rule(action={"route": given})])
        assert rules[0].action.target == expected


@pytest.mark.parametrize(
    "broken",
    [
        rule(match={"any": "yes"}), rule(action={"block": "yes"}), rule(match=[]), rule(priority=True),
        rule(when="NORMAL"), rule(action={"route": {}}), rule(priority=2147483648), rule(action={"route": " "}),
        rule(match={"any": 1}), 5, None,
        rule(match={"port": ["1", {}]}), rule(match={"protocol": "tcp", "proto": "udp"}),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type_are_errors_and_take_no_other_rule_down(broken):
    rules, diagnostics = rules_from_plain([broken, rule(name="good")])
    assert [one.name for one in rules] == ["good"]
    assert any(item.severity == "error" for item in diagnostics)


def test_a_name_that_UCI_cannot_carry_becomes_a_display_name():
    rules, diagnostics = rules_from_plain([rule(name="video calls")])
    assert (rules[0].name, rules[0].title) == ("video_calls", "video calls")
    assert not diagnostics


def test_an_empty_list_of_states_is_not_every_state():
    assert [item.code for item in rules_from_plain([rule(disable=[])])[1]] == ["NP203"]


@pytest.mark.parametrize("given", [None, {}, "x", 5])
def test_anything_but_a_list_is_an_error(given):
    assert rules_from_plain(given)[1][0].severity == "error"
