"""`netpolicy logs`: the ring of the daemon, and what comes after."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netpolicy.cli import logs

from .conftest import Tool
from .documents import ENTRY
from .stand_in import StandIn


def entry(number: int, seconds: float = 0.0) -> dict[str, Any]:
    return {**ENTRY, "id": number, "time": 1700000000.0 + number + seconds}


@pytest.mark.usefixtures("greenwich")
def test_entries_show_time_level_kind_and_message(tool: Tool, daemon: StandIn) -> None:
    result = tool("logs", "--since", "2", "--limit", "9", "--level", "warning")
    assert result.out == "11-14 22:13:20 warning state: wan: NORMAL to DEGRADED\n"
    assert daemon.calls == [("logs", {"since": 2, "limit": 9, "level": "warning"})]


def test_a_long_message_is_wrapped_not_cut(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["logs"] = {"entries": [{**ENTRY, "message": "word " * 40}]}
    text = tool("logs").out
    assert text.count("word") == 40
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("seconds", [1e300, float("nan"), -1e300, None, "text", True])
def test_a_strange_time_is_no_traceback(seconds: object) -> None:
    assert logs.clock(seconds)


def test_an_unknown_level_is_refused(tool: Tool, daemon: StandIn) -> None:
    assert tool("logs", "--level", "loud").code == 64


class Ring:
    """A daemon's ring that grows, or is another one, between two questions."""

    def __init__(self, *contents: list[dict[str, Any]]) -> None:
        self.contents = list(contents)

    def reply(self, arguments: dict[str, Any]) -> dict[str, Any]:
        kept = [one for one in self.contents[0] if one["id"] > arguments["since"]]
        return {"entries": kept[-arguments["limit"] :]}

    def pause(self, seconds: float) -> None:
        self.contents.pop(0)
        if not self.contents:
            raise KeyboardInterrupt


def followed(
    tool: Tool, daemon: StandIn, monkeypatch: pytest.MonkeyPatch, *contents: list[dict[str, Any]]
) -> list[Any]:
    ring = Ring(*contents)
    assert daemon.replies
    daemon.replies["logs"] = ring.reply
    monkeypatch.setattr(logs.time, "sleep", ring.pause)
    result = tool("logs", "--follow", "--json")
    assert result.code == 130
    return [json.loads(line) for line in result.out.splitlines()]


def test_following_prints_each_entry_once(tool: Tool, daemon: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = entry(1), entry(2), entry(3)
    seen = followed(tool, daemon, monkeypatch, [first], [first], [first, second], [first, second, third])
    assert seen == [first, second, third]


def test_following_begins_with_an_empty_ring(tool: Tool, daemon: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert followed(tool, daemon, monkeypatch, [], [entry(1)]) == [entry(1)]


def test_following_goes_on_when_the_ring_dropped_the_last_one(
    tool: Tool, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert followed(tool, daemon, monkeypatch, [entry(1)], [entry(5), entry(6)]) == [entry(1), entry(5), entry(6)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_following_notices_a_restarted_daemon(
    count: int, tool: Tool, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [entry(1), entry(2)]
    after = [entry(number, seconds=50.0) for number in range(1, count + 1)]
    assert followed(tool, daemon, monkeypatch, before, after) == [*before, *after]
