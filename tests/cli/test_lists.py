"""`netpolicy lists`: what it shows, how it ends, and fetching again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Tool
from .stand_in import ARGUMENTS, StandIn

ARGUMENTS.setdefault("lists", {})
ARGUMENTS.setdefault("refresh_lists", {"list": str})

OWN = {"name": "office", "addresses": 2, "names": 0, "format": "auto", "age": None, "next": None, "url": None,
       "file": None, "error": None, "waits": None, "left_out": 0, "skipped": 0, "is_stale": False}  # fmt: skip
FETCHED = {**OWN, "name": "ads", "addresses": 0, "names": 120_000, "format": "hosts", "age": 7300, "next": 79_200,
           "url": "https://lists.example/ads"}  # fmt: skip
FAILED = {**FETCHED, "name": "video", "error": "https://v.example/: TLS: certificate has expired", "skipped": 7}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    replies: dict[str, Any] = {"lists": {"lists": [OWN, FETCHED]}, "refresh_lists": {"lists": ["ads"]}}
    stand_in = StandIn(str(tmp_path / "lists.sock"), replies).start()
    monkeypatch.setenv("NETPOLICY_UBUS_SOCKET", stand_in.path)
    yield stand_in
    stand_in.stop()


def test_each_list_has_a_row_and_what_is_wrong_stands_below(tool: Tool, daemon: StandIn) -> None:
    found = tool("lists")
    assert found.code == 0
    rows = [line.split() for line in found.out.splitlines()]
    assert rows[1] == ["office", "2", "0", "auto", "-", "-", "the", "configuration"]
    assert rows[2] == ["ads", "0", "120k", "hosts", "2h", "22h", "https://lists.example/ads"]
    assert daemon.replies is not None
    daemon.replies["lists"] = {"lists": [OWN, FAILED]}
    found = tool("lists")
    assert found.code == 1 and "certificate has expired" in found.out and "7 are of kinds" in found.out
    daemon.replies["lists"] = {"lists": [{**FETCHED, "is_stale": True}]}
    assert tool("lists").code == 1
    daemon.replies["lists"] = {"lists": []}
    assert (tool("lists").code, tool("lists").out) == (0, "there are no lists\n")


def test_one_or_all_are_fetched_again(tool: Tool, daemon: StandIn) -> None:
    assert tool("lists", "--refresh", "ads").out.startswith("being fetched: ads\n")
    assert tool("lists", "--refresh", "--json").json["begun"] == ["ads"]
    asked = [data for name, data in daemon.calls if name == "refresh_lists"]
    assert asked == [{"list": "ads"}, {"list": ""}]
