"""One rule of one section."""

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.rule import is_protective, read_rule
from netpolicy.config.source import Option, Section


def section(**options: str) -> Section:
    return Section("rule", "r", False, 7, tuple(Option(name, (text,), False, 8, 2) for name, text in options.items()))


def test_a_rule_knows_where_it_was_written():
    rule = read_rule(section(any="1", route="x"), "r", "f", Findings())
    assert rule is not None
    assert (rule.position, rule.action.on_fail, rule.enabled) == ("f:7", "next", True)


def test_all_mistakes_of_a_rule_are_reported_at_once():
    findings = Findings()
    assert read_rule(section(dest_port="x", proto="y", state="z", log="maybe"), "r", "f", findings) is None
    assert findings.errors == 5  # and it has no action


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"block": "1"}, True), ({"block": "0"}, False), ({"block": "what"}, True), ({"route": "x"}, False),
        ({"route": "block"}, True), ({"route": "x", "on_fail": "block"}, True), ({"block": "1", "enabled": "0"}, False),
    ],
)  # fmt: skip
def test_losing_a_rule_that_stops_something_counts(options, expected):
    assert is_protective(section(**options)) == expected
