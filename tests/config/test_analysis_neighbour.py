"""Marks, tables and priorities of other packages; the two tables of them agree."""

from __future__ import annotations

import pytest

from netpolicy.config.analysis_neighbour import MARKS
from netpolicy.core.model import Settings
from netpolicy.dataplane.conflicts import KNOWN_OWNERS

from .linted import findings, marked


def said(option: str, value: object) -> list[tuple[str, str]]:
    text = f"netpolicy main:\n  enabled 1\n  {option} {value}\n"
    return [(item.code, marked(text, item)) for item in findings(text, "NP450", "NP451")]


@pytest.mark.parametrize("mask", ["0x00ff0000", "0x3f00", "0x0f000000", "0xff", "0x77010000"])
def test_mark_bits_of_others_are_told(mask: str) -> None:
    assert said("fwmark_mask", mask) == [("NP450", mask)]


@pytest.mark.parametrize(
    ("option", "value"),
    [("table_base", 1), ("table_base", 51700), ("table_base", 1900), ("rule_priority", 900), ("rule_priority", 29900)],
)
def test_ranges_that_meet_those_of_others_are_told(option: str, value: int) -> None:
    assert said(option, value) == [("NP451", str(value))]


@pytest.mark.parametrize(
    ("option", "value"), [("fwmark_mask", "0xf0000000"), ("table_base", 9000), ("rule_priority", 12000)]
)
def test_free_ranges_are_fine(option: str, value: object) -> None:
    assert said(option, value) == []


def test_the_defaults_meet_nobody() -> None:
    assert findings("netpolicy main:\n  enabled 1\n", "NP450", "NP451") == []
    assert not Settings().fwmark_mask & sum(bits for bits, _ in MARKS)


def test_the_data_plane_knows_the_same_marks() -> None:
    assert [bits for bits, _ in MARKS] == [bits for bits, _ in KNOWN_OWNERS]
