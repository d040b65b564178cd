"""One decision on paper."""

from __future__ import annotations

import json

import pytest

from netpolicy.core.evaluate import World
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings
from netpolicy.core.value import ValueProblem
from netpolicy.service.dry_run import WHY_LIMIT, WHY_SHOWN, document, question, text


def rule(name: str, priority: int = 0, action: Action | None = None, **fields: str) -> Rule:
    parsed = tuple(parse_field(field, (value,)) for field, value in fields.items())
    return Rule(name, priority, parsed, action or Action("route", "fast"))


FAST = Ruleset((rule("calls", 9, sni="*.zoom.us"), rule("web", 5, Action("route", "fast", log=True), dest_port="443")),
               (Outbound("fast", "interface"), Outbound("slow", "interface")), Settings(default="slow"))  # fmt: skip


def decided(ruleset: Ruleset, given: dict[str, object], **world: tuple[str, ...]) -> dict[str, object]:
    return document(ruleset, *question(given), World(**world))


def test_the_document_has_exactly_the_promised_keys() -> None:
    assert decided(FAST, {"port": 443}) == {
        "rule": "web", "action": "route fast", "log": True, "outbound": "fast", "state": "NORMAL",
        "confidence": "certain",
        "why": ["calls: sni is not known, the rule wants *.zoom.us", "web: matches"],
        "runners_up": [
            {
                "rule": "calls", "priority": 9, "failed": "sni",
                "reason": "sni is not known, the rule wants *.zoom.us",
            },
        ],
    }  # fmt: skip


def test_no_match_is_null_and_goes_by_the_default() -> None:
    found = decided(FAST, {"port": 25})
    assert (found["rule"], found["action"], found["log"], found["outbound"]) == (None, None, False, "slow")


def test_a_line_that_is_down_is_not_used() -> None:
    assert decided(FAST, {"port": 443}, down=("fast",))["rule"] is None


def test_a_fact_that_nobody_gave_and_that_could_change_the_answer_takes_its_certainty() -> None:
    better = rule("office", 7, Action("route", "slow"), dest_port="443", src_addr="192.0.2.0/24")
    ruleset = Ruleset((better, *FAST.rules), FAST.outbounds)
    found = decided(ruleset, {"port": 443})
    assert (found["rule"], found["confidence"]) == ("web", "depends on facts that were not given")
    assert found["why"][-1] == "not given, and could make another rule win: src_addr"  # type: ignore[index]
    assert decided(ruleset, {"port": 443, "src": "198.51.100.7"})["confidence"] == "certain"
    assert decided(ruleset, {"port": 443, "src": "192.0.2.7"})["confidence"] == "certain"


def test_what_the_first_packet_does_not_show_is_said() -> None:
    found = decided(FAST, {"sni": "a.zoom.us"})
    assert found["confidence"] == "after first connection"
    assert found["why"] == [
        "calls: matches",
        "calls: asks for what the first packet does not show",
    ]


def test_a_thousand_reasons_are_counted_not_sent() -> None:
    many = Ruleset(tuple(rule(f"r{number}", 1, dest_port="80") for number in range(10_000)))
    found = decided(many, {"port": 443})
    why = found["why"]
    assert isinstance(why, list)
    assert len(why) == WHY_LIMIT + 1
    assert why[0].startswith(f"({10_001 - WHY_LIMIT} rules") and why[-1] == "no rule matches: the default decides"
    assert len(json.dumps(found)) < 1 << 20  # what one bus message carries
    assert len(text(found, {}).splitlines()) <= WHY_SHOWN + 7


def test_the_text_has_the_lines_of_the_predecessor() -> None:
    given = {"protocol": "tcp", "port": "443", "state": "normal"}
    lines = text(decided(FAST, dict(given)), given, "dry-run decision").splitlines()
    assert lines[:3] == [
        "dry-run decision: state=NORMAL rule=web", "context: protocol=tcp port=443", "action: route fast, log",
    ]  # fmt: skip


def test_the_text_of_no_match() -> None:
    lines = text(decided(FAST, {}), {}).splitlines()
    assert lines[:3] == ["decision: state=NORMAL no match", "context: nothing is known", "action: none"]


def test_numbers_are_facts_as_json_has_them() -> None:
    facts, state = question({"port": 443, "latency_ms": 12.5, "state": " Recovery "})
    assert (facts.dest_port, facts.latency_ms, state) == (443, 12.5, "RECOVERY")


def test_the_state_in_force_counts_where_none_is_given() -> None:
    assert question({}, "FAILOVER")[1] == "FAILOVER"
    assert question({"state": "normal"}, "FAILOVER")[1] == "NORMAL"


@pytest.mark.parametrize(
    "given",
    [{"port": True}, {"port": None}, {"port": [1]}, {"port": {}}, {"state": "x"}, {"state": 1}, {"x": "1"},
     {"port": "1", "dest_port": "1"}, {"sni": "a\nb"}, {"a\x1b": "b"}, {"port": 1.5}, {"latency_ms": float("nan")}],
)  # fmt: skip
def test_what_is_no_fact_is_a_value_problem(given: dict[str, object]) -> None:
    with pytest.raises(ValueProblem) as refused:
        question(given)
    assert refused.value.text.isprintable()
