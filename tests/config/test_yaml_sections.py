"""YAML documents: the predecessor's validation phrases, and its silence where it should have spoken."""

import json
from pathlib import Path

import pytest

from netpolicy.config.load import load_text
from tests.spellings import NotExpressible, load_plain

LINT = json.loads((Path(__file__).parent.parent / "data" / "vectors.json").read_text())["lint"]

# What only YAML has, or only some spellings can say: the vector and the spellings it is for.
ONLY = {
    "L36": ("yaml",),  # whether a number has a point is a matter of types
    "L37": ("yaml",),
    "L28": ("dsl", "yaml"),  # in UCI a named section that appears twice is one section
    "L02": ("yaml",),  # an empty list of rules; in UCI an empty file is a part, in DSL it is D20
    "L12": ("uci", "yaml"),  # an empty action line is an unknown directive in DSL (D46)
    "L08": ("uci", "yaml"),
    "L13": ("uci", "yaml"),  # block=false is an unknown key in DSL (D35)
}
OWN_WORDS = ("L36", "L37", "L04", "L07")  # the text is the YAML library's own; the meaning is tested


def errors_of(loaded):
    return [item for item in loaded.diagnostics if item.severity == "error"]


@pytest.mark.parametrize("format", ["uci", "dsl", "yaml"])
@pytest.mark.parametrize("vector", [pytest.param(one, id=one["id"]) for one in LINT])
def test_every_lint_vector_in_every_spelling(vector, format):
    if "yaml" in vector:
        if format != "yaml":
            pytest.skip("the vector is a YAML text")
        loaded = load_text(vector["yaml"], "<yaml>", "yaml")
    elif format not in ONLY.get(vector["id"], (format,)):
        pytest.skip("this spelling cannot say it, or says it by another vector")
    else:
        try:
            loaded = load_plain(vector["rules"], format)
        except NotExpressible as reason:
            pytest.skip(str(reason))
    errors, expect = errors_of(loaded), vector["expect"]
    assert (not errors) == expect["ok"], errors
    if "message" in expect and vector["id"] not in OWN_WORDS:
        assert any(expect["message"] in item.message for item in errors), errors
    if "mentions" in expect:
        assert any(expect["mentions"] in item.text() for item in errors)
    if "hint" in expect:
        assert any('"*.zoom.us"' in item.hint for item in errors)
    assert len(errors) >= expect.get("min_errors", 0)


def rule(**changes):
    return {"name": "a", "priority": 1, "match": {"any": True}, "action": {"route": "x"}} | changes


def test_numbers_and_truth_values_as_texts_are_those_texts():
    for given, expected in ((5, "5"), (True, "true")):
        assert load_plain([rule(action={"route": given})]).ruleset.rules[0].action.target == expected


@pytest.mark.parametrize(
    "broken",
    [
        rule(match={"any": "yes"}), rule(action={"block": "yes"}), rule(match=[]), rule(priority=True),
        rule(when="NORMAL"), rule(action={"route": {}}), rule(priority=2147483648), rule(action={"route": " "}),
        rule(match={"any": 1}), rule(action={"block": 1}), 5, None, rule(name=5),
        rule(action={"log": 1}), rule(priority=1.5),
        rule(match={"port": ["1", {}]}), rule(match={"protocol": "tcp", "proto": "udp"}), rule(enabled="true"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type_are_errors_and_take_no_other_rule_down(broken):
    loaded = load_plain([broken, rule(name="good")])
    assert [one.name for one in loaded.ruleset.rules] == ["good"]
    assert errors_of(loaded)


def test_a_name_that_UCI_cannot_carry_becomes_a_display_name():
    loaded = load_plain([rule(name="video calls")])
    found = loaded.ruleset.rules[0]
    assert (found.name, found.title) == ("video_calls", "video calls")
    assert not errors_of(loaded)


def test_an_empty_list_of_states_is_not_every_state():
    assert [item.code for item in errors_of(load_plain([rule(disable=[])]))] == ["NP203"]


@pytest.mark.parametrize("text", ["", "5", "[]", "x: 1", "rules: 5", "rules: x", "rules:\n  a: 1\n", "rules:"])
def test_anything_but_a_list_of_rules_is_an_error(text):
    assert errors_of(load_text(text, "<yaml>", "yaml"))


PLACES = """\
rules:
  - name: mail
    priority: 7
    match: {port: "25", protokoll: tcp, src_addr: [192.0.2.1, 300.1.1.1]}
    action: {route: wann}
outbounds:
  - name: wan
    type: interfaces
"""


def test_every_finding_stands_where_its_value_stands():
    found = {(item.code, item.line, item.column) for item in load_text(PLACES, "p", "yaml").diagnostics}
    assert found >= {("NP101", 4, 25), ("NP105", 4, 63), ("NP105", 8, 11)}


def test_every_section_type_can_be_written():
    text = """\
netpolicy: {enabled: true, primary: wan, fwmark_mask: 0x77000000, assert: lan can wan tcp/443}
outbounds:
  - {name: wan, title: "Fibre", type: interface, interface: wan, probe: "ping:192.0.2.1"}
schedules:
  - {name: evening, days: [mon-fri, sat], from: "18:00", to: "23:00"}
throttles:
  - {name: slow, down: 2mbit}
lists:
  - {name: video, entry: [example.com, 192.0.2.0/24], refresh: 1d}
rules:
  - name: films
    priority: 5
    match: {domain: "@video", schedule: evening}
    when: {state: normal}
    action: {route: wan, throttle: slow, notify: true}
"""
    loaded = load_text(text, "p", "yaml")
    assert not errors_of(loaded)
    ruleset = loaded.ruleset
    assert (ruleset.settings.asserts, ruleset.outbounds[0].title) == (("lan can wan tcp/443",), "Fibre")
    assert (ruleset.schedules[0].days, ruleset.rules[0].when) == ((0, 1, 2, 3, 4, 5), ("NORMAL",))
