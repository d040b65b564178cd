"""Schedules against a table of every minute of a week, and their texts there and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpolicy.core.calendar import (
    DAYS,
    GROUPS,
    LONG_DAYS,
    MIDNIGHT,
    Schedule,
    active,
    format_days,
    format_time,
    parse_days,
    parse_time,
)
from netpolicy.core.value import ValueProblem

WEEK = 7 * MIDNIGHT

SETS_OF_DAYS = st.sets(st.integers(0, 6)).map(lambda days: tuple(sorted(days)))
MINUTES = st.integers(0, MIDNIGHT)


def open_minutes(days: tuple[int, ...], start: int, stop: int) -> set[int]:
    """The minutes of the week in the window, counted one by one from each day's beginning."""
    length = (stop - start) % MIDNIGHT or MIDNIGHT
    return {(day * MIDNIGHT + start + step) % WEEK for day in days for step in range(length)}


@given(SETS_OF_DAYS, st.integers(0, MIDNIGHT - 1), MINUTES)
@example((6,), 23 * 60, 60)  # past the end of the week
@example((0,), 0, MIDNIGHT)
@example((0,), 60, 0)
def test_a_window_is_open_in_exactly_the_minutes_that_counting_gives(days, start, stop):
    if start == stop:
        return  # is refused
    schedule = Schedule("s", days, start, stop)
    expected = open_minutes(days, start, stop)
    wrong = [
        minute
        for minute in range(0, WEEK, 7)  # 7 has no divisor in common with a day or an hour
        if schedule.is_active(minute // MIDNIGHT, minute % MIDNIGHT) != (minute in expected)
    ]
    edges = [(day * MIDNIGHT + at + by) % WEEK for day in range(7) for at in (start, stop, 0) for by in (-1, 0, 1)]
    wrong += [one for one in edges if schedule.is_active(one // MIDNIGHT, one % MIDNIGHT) != (one in expected)]
    assert not wrong


def test_an_evening_that_goes_past_midnight_belongs_to_the_day_it_began():
    friday_night = Schedule("s", (4,), 22 * 60, 6 * 60)
    assert friday_night.is_active(4, 22 * 60)
    assert friday_night.is_active(5, 5 * 60 + 59)
    assert not friday_night.is_active(5, 6 * 60)
    assert not friday_night.is_active(4, 5 * 60)
    assert not friday_night.is_active(5, 23 * 60)


def test_without_anything_else_it_is_always_open():
    schedule = Schedule("s")
    assert all(schedule.is_active(day, minute) for day in range(7) for minute in (0, 1, MIDNIGHT - 1))
    assert schedule.title == "s"


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (600, 600), (MIDNIGHT, MIDNIGHT), (MIDNIGHT, 0)])
def test_a_window_without_a_length_is_refused(start, stop):
    with pytest.raises(ValueProblem, match="never active"):
        Schedule("s", (0,), start, stop)


def test_the_end_of_a_day_is_no_beginning():
    with pytest.raises(ValueProblem, match="24:00"):
        Schedule("s", (0,), MIDNIGHT, 60)


@given(SETS_OF_DAYS)
def test_days_are_read_as_they_are_shown(days):
    assert parse_days(format_days(days)) == days


@pytest.mark.parametrize(
    ("days", "shown"),
    [
        ((0, 1, 2, 3, 4, 5, 6), ("mon-sun",)),
        ((0, 1), ("mon", "tue")),
        ((0, 1, 2, 4, 6), ("mon-wed", "fri", "sun")),
        ((), ()),
    ],
)
def test_runs_of_three_and_more_are_shown_as_a_range(days, shown):
    assert format_days(days) == shown


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (("fri-mon",), (0, 4, 5, 6)),
        (("sun-sun",), (6,)),
        (("Monday", "TUE"), (0, 1)),
        ((" wed , fri ",), (2, 4)),
        (("sat - sun",), (5, 6)),
        (("weekend", "sat"), (5, 6)),
    ],
)
def test_days_as_people_write_them(texts, days):
    assert parse_days(texts) == days


def test_every_name_of_a_day_and_every_group():
    assert [parse_days((name,)) for name in DAYS] == [parse_days((name,)) for name in LONG_DAYS]
    assert {name: parse_days((name,)) for name in GROUPS} == GROUPS


@pytest.mark.parametrize("text", ["", "mo", "mon-", "-mon", "mon--fri", "mon-fri-sun", "mon,", "daily-mon", "8", "１"])
def test_what_is_no_day_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_days((text,))


@given(MINUTES)
def test_a_time_is_read_as_it_is_shown(minute):
    assert parse_time(format_time(minute)) == minute


@pytest.mark.parametrize(("text", "minute"), [("0:00", 0), (" 9:05 ", 545), ("24:00", MIDNIGHT), ("23:59", 1439)])
def test_times_as_people_write_them(text, minute):
    assert parse_time(text) == minute


@pytest.mark.parametrize(
    "text", ["", ":", "24:01", "25:00", "1:60", "1:5", "001:00", "12", "12:00:00", "-1:00", "+1:00", "1２:00", "1 2:00"]
)
def test_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_time(text)


def test_the_open_schedules_by_name():
    night, day, weekend = Schedule("z", stop=360), Schedule("a", start=360), Schedule("m", (5, 6))
    assert active((night, day, weekend), 5, 0) == ("m", "z")
    assert active((night, day, weekend), 0, 360) == ("a",)
    assert active((), 0, 0) == ()
