"""One schedule, throttle profile or list of one section."""

from __future__ import annotations

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.parts import read_list, read_schedule, read_throttle
from netpolicy.config.source import Option, Section
from netpolicy.core.calendar import GROUPS
from tests.core.gathered import gathered

READERS = {"schedule": read_schedule, "throttle": read_throttle, "list": read_list}


def section(type: str, *pairs: tuple[str, str]) -> Section:
    texts: dict[str, list[str]] = {}
    for name, text in pairs:
        texts.setdefault(name, []).append(text)
    options = [
        Option(name, tuple(values), len(values) > 1 or name in ("days", "entry"), line, 2)
        for line, (name, values) in enumerate(texts.items(), 2)
    ]
    return Section(type, "x", False, 1, tuple(options))


def read(type: str, *pairs: tuple[str, str]):
    findings = Findings()
    return READERS[type](section(type, *pairs), "f", findings), findings


def codes(findings: Findings) -> list[tuple[str, int]]:
    return [(one.code, one.line) for one in findings.all]


def test_a_schedule_with_everything():
    found, findings = read("schedule", ("days", "fri-mon"), ("from", "22:00"), ("to", "6:30"), ("name", "At night"))
    assert not findings.all
    assert (found.name, found.title, found.position) == ("x", "At night", "f:1")
    assert (found.days, found.start, found.stop) == ((0, 4, 5, 6), 22 * 60, 6 * 60 + 30)


def test_a_schedule_without_anything_is_always():
    found, _ = read("schedule")
    assert (found.days, found.start, found.stop) == (GROUPS["daily"], 0, 24 * 60)


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([("from", "8:00"), ("to", "8:00")], ("NP109", 3)),
        ([("to", "0:00")], ("NP109", 2)),
        ([("days", "mo")], ("NP105", 2)),
        ([("from", "25:00")], ("NP105", 2)),
        ([("day", "mon")], ("NP101", 2)),
    ],
)
def test_a_schedule_that_is_refused(pairs, code):
    found, findings = read("schedule", *pairs)
    assert found is None
    assert codes(findings) == [code]


def test_a_profile_may_limit_one_direction():
    found, findings = read("throttle", ("up", "512kbit"))
    assert not findings.all
    assert (found.down, found.up, found.title, found.position) == (0, 512_000, "x", "f:1")
    found, _ = read("throttle", ("up", "1mbit"), ("down", "2mbit"), ("name", "Guests"))
    assert (found.down, found.up, found.title) == (2_000_000, 1_000_000, "Guests")


def test_a_profile_that_limits_nothing_is_refused():
    found, findings = read("throttle", ("name", "Guests"))
    assert found is None
    assert codes(findings) == [("NP109", 1)]
    assert read("throttle", ("up", "fast"))[0] is None


def test_a_list_with_everything():
    pairs = [("entry", "Kids.Example"), ("entry", "192.0.2.1"), ("file", "more"), ("url", "https://a.example/l"),
             ("refresh", "1d"), ("name", "Kids")]  # fmt: skip
    found, findings = read("list", *pairs)
    assert not findings.all
    assert (found.entries, found.file, found.url) == (("kids.example", "192.0.2.1"), "more", "https://a.example/l")
    assert (found.refresh, found.title, found.position) == (86400, "Kids", "f:1")


def test_what_its_file_holds_is_part_of_a_list():
    found = read_list(section("list", ("file", "more")), "f", Findings(), gathered("192.0.2.1", "a.example"))
    assert found is not None
    assert found.entries == ()
    assert (len(found.ranges[4]), tuple(found.names.suffix)) == (1, ("a.example",))


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([], ("NP109", 1)),
        ([("name", "Kids")], ("NP109", 1)),
        ([("entry", "192.0.2.1/24")], ("NP105", 2)),
        ([("entry", "a.example"), ("refresh", "soon")], ("NP105", 3)),
    ],
)
def test_a_list_that_is_refused(pairs, code):
    found, findings = read("list", *pairs)
    assert found is None
    assert codes(findings) == [code]


@pytest.mark.parametrize(("type", "option"), [("schedule", "days"), ("list", "entry")])
def test_an_empty_list_of_values_is_refused(type, option):
    found = READERS[type](Section(type, "x", False, 1, (Option(option, (), True),)), "f", Findings())
    assert found is None


def test_from_midnight_to_midnight_of_the_same_day_is_refused():
    assert read("schedule", ("from", "24:00"), ("to", "0:00"))[0] is None
