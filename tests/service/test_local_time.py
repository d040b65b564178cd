"""The local time follows the zone as it is now; a schedule at the two nights of the year on which clocks jump."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from netpolicy.core.calendar import Schedule
from netpolicy.service import dry_run
from netpolicy.service.local_time import local_time

# Central Europe, as a router writes it: no file is asked.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
MARCH, OCTOBER = 1_806_192_000, 1_824_940_800  # midnight UTC of 2027-03-28 and 2027-10-31, Sundays


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_another_zone_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = local_time()
    monkeypatch.setenv("TZ", "AHEAD-5")
    after = local_time()
    assert (after.tm_hour - before.tm_hour) % 24 in (5, 6)


def open_minutes(schedule: Schedule, midnight: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Minutes since midnight UTC at which it is open, of the eight hours around."""
    monkeypatch.setenv("TZ", BERLIN)
    local_time()
    moments = [(minute, dry_run.local_moment(time.localtime(midnight + minute * 60))) for minute in range(-240, 240)]
    return [minute for minute, moment in moments if schedule.is_active(*moment)]


def test_where_the_clock_jumps_forward_a_window_is_shorter_or_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    # At 01:00 UTC it is 02:00 and then 03:00.
    assert open_minutes(Schedule("n", start=90, stop=210), MARCH, monkeypatch) == list(range(30, 90))
    assert open_minutes(Schedule("n", start=120, stop=180), MARCH, monkeypatch) == []
    sunday = Schedule("n", days=(6,), start=0, stop=240)
    assert open_minutes(sunday, MARCH, monkeypatch) == list(range(-60, 120))


def test_where_the_clock_is_put_back_a_window_of_that_hour_comes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    # At 01:00 UTC it is 03:00 and then 02:00.
    found = open_minutes(Schedule("n", start=150, stop=165), OCTOBER, monkeypatch)
    assert found == [*range(30, 45), *range(90, 105)]
    over_night = Schedule("n", days=(5,), start=23 * 60, stop=240)
    assert open_minutes(over_night, OCTOBER, monkeypatch) == list(range(-180, 180))
