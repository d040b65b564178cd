"""`netpolicy explain`: one connection, as a person reads it."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.bus.status import NOT_FOUND, UbusError

from .conftest import Tool
from .documents import DECISION, EXPLANATION
from .stand_in import StandIn


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["17"], "17"),
        (["192.168.1.7:50000", "198.51.100.4:443", "tcp"], "192.168.1.7:50000 198.51.100.4:443 tcp"),
        (["tcp 192.168.1.7:50000 198.51.100.4:443"], "tcp 192.168.1.7:50000 198.51.100.4:443"),
    ],
)
def test_the_words_go_to_the_daemon_as_typed(words: list[str], asked: str, tool: Tool, daemon: StandIn) -> None:
    assert tool("explain", *words).code == 0
    assert daemon.calls == [("explain", {"flow": asked})]


def test_it_shows_facts_rules_kernel_verdict_and_reasons(tool: Tool, daemon: StandIn, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert tool("explain", "7").out.splitlines() == [
        "connection tcp 192.168.1.7:50000 → 198.51.100.4:443, ESTABLISHED, 2.0k bytes, id 7 (the newest; 2 more fit)",
        "facts      src_iface=br-lan src_addr=192.168.1.7 dest_port=443 proto=tcp (not known: dscp)",
        "rules say  rule office, route wan: wan (state NORMAL)",
        "kernel did wan (class 1, mark 0x41000000); rule office took 12k connections, 123k bytes of first packets",
        "verdict    the kernel did what the rules say",
        "looked at  12.5 s ago: rule office, and the kernel agreed",
        "why:",
        "  mail: dest_port is 443, the rule wants 25",
        "  office: matches",
        "also matching, without effect:",
        "  rest: matches too; its priority 1 is lower than 100",
    ]
    assert tool("explain", "7", "--json").json == EXPLANATION


def test_a_disagreement_is_exit_code_1_and_its_reason_is_shown(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["explain"] = {**EXPLANATION, "agrees": False, "verdict": "something else", "reason": "a mark"}
    result = tool("explain", "7")
    assert result.code == 1 and "verdict    something else: a mark" in result.out


def test_a_connection_that_is_gone_is_exit_code_1_with_the_daemons_words(tool: Tool, daemon: StandIn) -> None:
    def gone(_: object) -> None:
        raise UbusError(NOT_FOUND, "there is no open connection '17'")

    assert daemon.replies
    daemon.replies["explain"] = gone
    result = tool("explain", "17")
    assert result.code == 1 and "there is no open connection '17'" in result.err


def test_without_a_connection_it_says_what_is_missing(tool: Tool, daemon: StandIn) -> None:
    result = tool("explain")
    assert result.code == 64 and "CONNECTION" in result.err


@pytest.mark.parametrize("key", EXPLANATION)
@pytest.mark.parametrize("value", [None, 5, "text", [], {}, [1], {"a": 1}, [{}]])
def test_an_answer_with_a_strange_part_is_still_shown(key: str, value: object, tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["explain"] = {**EXPLANATION, key: value}
    assert "connection" in tool("explain", "7").out


@pytest.mark.parametrize(("key", "value"), [("rule", None), ("why", ["r: no"] * 50), ("runners_up", None)])
def test_a_decision_of_any_shape_is_shown_within_the_width(
    key: str, value: object, tool: Tool, daemon: StandIn
) -> None:
    assert daemon.replies
    daemon.replies["explain"] = {**EXPLANATION, "decision": {**DECISION, key: value}}
    assert all(len(line) <= 80 for line in tool("explain", "7").out.splitlines())
