"""The pictures hold on to whatever a daemon of another version sends."""

from __future__ import annotations

import io
from typing import Any

import pytest

from netpolicy.cli import picture
from netpolicy.cli.terminal import Terminal

from .documents import OFF_RULE, RULE, STATUS, TUNNEL


def drawn(draw: Any, found: Any) -> str:
    out = io.StringIO()
    draw(Terminal(out, io.StringIO()), found)
    return out.getvalue()


@pytest.mark.parametrize("key", STATUS)
@pytest.mark.parametrize("value", [None, 5, "text", [], {}, [1], {"a": 1}, [{}]])
def test_a_status_with_a_strange_part_is_still_a_picture(key: str, value: object) -> None:
    assert "NetPolicy" in drawn(picture.status, {**STATUS, key: value})


@pytest.mark.parametrize(("draw", "row"), [(picture.rules, RULE), (picture.outbounds, TUNNEL)])
def test_a_row_without_a_key_shows_a_dash(draw: Any, row: dict[str, Any]) -> None:
    for key in row:
        assert len(drawn(draw, [{k: v for k, v in row.items() if k != key}]).splitlines()) >= 2
    assert "-" in drawn(draw, [{}])


def test_a_rule_that_is_switched_off_is_off_not_broken() -> None:
    assert drawn(picture.rules, [OFF_RULE]).splitlines()[1].endswith("off")


def test_rehearsed_changes_are_mentioned() -> None:
    kernel = {**STATUS["kernel"], "in_sync": False, "waiting": 3}
    assert "differs from the rules, 3 changes not made (netpolicy plan)" in drawn(
        picture.status, {**STATUS, "kernel": kernel})  # fmt: skip


def test_a_change_of_several_lines_keeps_them() -> None:
    assert drawn(picture.changes, ["a\nb", "c"]).splitlines() == ["a", "b", "c", "2 changes pending"]
    assert drawn(picture.changes, [""]).splitlines() == ["", "1 change pending"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86399, "23h"), (86400, "1d"),
     (40 * 86400, "40d"), (-5, "0s")],
)  # fmt: skip
def test_how_long_ago_is_said_in_few_characters(seconds: float, shown: str) -> None:
    assert picture.ago(1_700_000_000 - seconds, 1_700_000_000) == shown


@pytest.mark.parametrize("value", [None, "text", [], 1e300])
def test_a_time_that_is_none_is_a_dash(value: object) -> None:
    assert picture.day(value) == "-"
    assert picture.ago(value if value != 1e300 else None, 5.0) == "-"
