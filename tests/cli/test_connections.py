"""`netpolicy connections`: a page, and what follows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netpolicy.cli import connections

from .conftest import Tool
from .documents import CONNECTION, CONNECTIONS, STRAY
from .stand_in import StandIn


class Enough(Exception):
    """Ends a command that would go on for ever."""


def test_the_page_is_asked_for_as_typed(tool: Tool, daemon: StandIn) -> None:
    tool("connections", "--limit", "5", "--offset", "10", "--filter", "192.168.1.7")
    tool("connections")
    assert daemon.calls == [
        ("connections", {"limit": 5, "offset": 10, "filter": "192.168.1.7"}),
        ("connections", {"limit": 50, "offset": 0}),
    ]


def test_rows_carry_ports_and_mark_what_disagrees(tool: Tool, daemon: StandIn, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = tool("connections").out.splitlines()
    assert "192.168.1.7:50000" in lines[1] and "198.51.100.4:443" in lines[1] and not lines[1].endswith("!")
    assert "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:443" in lines[2] and lines[2].endswith("!")
    assert lines[3] == "2 of 40 connections"
    assert lines[4].startswith("1 of them (!)")


def test_names_are_shown_where_they_are_known_and_the_terminal_is_wide(
    tool: Tool, daemon: StandIn, monkeypatch: Any
) -> None:
    daemon.replies["connections"] = {**CONNECTIONS, "connections": [{**CONNECTION, "name": "www.example.net"}, STRAY]}
    monkeypatch.setenv("COLUMNS", "200")
    head, first, second, *_ = tool("connections").out.splitlines()
    assert "NAME" in head and "www.example.net" in first and " - " in second
    monkeypatch.setenv("COLUMNS", "80")
    assert "NAME" not in tool("connections").out


def test_no_connections_is_a_line(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["connections"] = {"total": 0, "disagreements": 0, "connections": []}
    assert tool("connections").out == "0 of 0 connections\n"


@pytest.mark.parametrize("words", [["--limit", "0"], ["--limit", "-1"], ["--limit", "x"], ["--limit", "1001"],
                                   ["--offset", "²"], ["--lim", "5"]])  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(words: list[str], tool: Tool, daemon: StandIn) -> None:
    assert tool("connections", *words).code == 64
    assert daemon.calls == []


def pages(*contents: list[dict[str, Any]]) -> Any:
    """A reply that is another at each call and at last ends the command."""
    left = list(contents)

    def reply(arguments: dict[str, Any]) -> dict[str, Any]:
        return {**CONNECTIONS, "connections": left.pop(0) if left else []}

    return reply


@pytest.fixture
def three_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command asks three times and is then interrupted."""
    turns = iter(range(3))

    def pause(seconds: float) -> None:
        if next(turns) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(connections.time, "sleep", pause)


@pytest.mark.usefixtures("three_seconds")
def test_following_prints_what_is_new_or_decided_anew(tool: Tool, daemon: StandIn) -> None:
    moved = {**CONNECTION, "outbound": "wan_b"}
    grown = {**moved, "bytes": 99999}
    assert daemon.replies
    daemon.replies["connections"] = pages([CONNECTION], [moved, STRAY], [grown, STRAY])
    result = tool("connections", "--follow", "--json")
    assert result.code == 130
    assert [json.loads(line) for line in result.out.splitlines()] == [CONNECTION, moved, STRAY]


@pytest.mark.usefixtures("three_seconds")
def test_following_keeps_to_the_width(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["connections"] = pages([CONNECTION, STRAY])
    lines = tool("connections", "--follow").out.splitlines()
    assert lines[0].startswith("PROTO") and len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
