"""Outbounds that are one line, and members that are never asked."""

from __future__ import annotations

from .linted import LINES, findings, marked, rule

CODES = ("NP460", "NP461", "NP462")


def said(text: str) -> list[tuple[str, str]]:
    return [(item.code, marked(LINES + text, item)) for item in findings(LINES + text, *CODES)]


def test_two_outbounds_on_one_line() -> None:
    assert said("outbound again interface wan\n") == [("NP460", "wan")]
    assert said("outbound a table 100\noutbound b table 100\n") == [("NP460", "100")]
    assert said("outbound a table 100\noutbound b table 101\n") == []


def test_a_group_of_one() -> None:
    assert [code for code, _ in said("outbound one group failover wan\n")] == ["NP461"]
    assert said("outbound two group failover wan,wg\n") == []


def test_members_behind_one_that_is_never_down() -> None:
    assert said("outbound g group failover wan,direct,wg\n") == [("NP462", "wg")]
    assert said("outbound g group failover wan,wg,direct\n") == []
    assert said("outbound stop block\noutbound g group failover stop,wg\n") == [("NP462", "wg")]
    assert said("outbound g group balance direct,wg\n") == []
    assert said(rule("a", "match port=25", action="fallback=block,wg")) == [("NP462", "wg")]


def test_a_group_of_lines_without_a_probe_does_not_see_a_dead_one():
    lines = "outbound a interface wana{}\noutbound b interface wanb\noutbound c table 100\n"
    group = "outbound home group {} a b c\n"

    def found(probe: str, strategy: str) -> bool:
        return bool(findings(lines.format(probe) + group.format(strategy), "NP467"))

    assert found("", "failover") and found("", "latency")
    assert not found(" probe=ping:9.9.9.9", "failover")
    assert not found("", "balance"), "all of its lines are in use: somebody notices"
    assert not findings("outbound a interface wana\noutbound g group a direct\n", "NP467")
