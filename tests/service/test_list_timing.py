"""When lists are fetched: spread, later and later after failures, and not before it is needed."""

from __future__ import annotations

import pytest

from netpolicy.service.list_timing import NEVER, after_failure, after_success, at_start, is_stale

DAY = 86400.0


def test_after_a_success_its_refresh_goes_by_a_tenth_more_or_less() -> None:
    assert (after_success(DAY, 0.0), after_success(DAY, 0.5)) == (0.9 * DAY, DAY)
    assert after_success(1.0, 0.5) == 300.0, "no server wants to be asked every second"
    assert after_success(0.0, 0.5) == NEVER


def test_after_failures_it_is_tried_later_and_later_and_never_less_than_hourly() -> None:
    assert [after_failure(count, 0.5) for count in (1, 2, 3, 9, 10_000)] == [15.0, 30.0, 60.0, 3600.0, 3600.0]


@pytest.mark.parametrize(
    ("refresh", "age", "wait"),
    [(DAY, None, 0.0), (DAY, 3600.0, DAY - 3600.0), (DAY, 2 * DAY, 0.0), (0.0, 5.0, 0.0), (DAY, -9.0, DAY)],
)
def test_at_a_start_a_copy_counts_for_the_rest_of_its_time(refresh: float, age: float | None, wait: float) -> None:
    assert at_start(refresh, age, 0.5) == wait


def test_a_copy_is_too_old_after_three_times_and_two_days() -> None:
    assert [is_stale(3600.0, days * DAY) for days in (1, 1.9, 2.1)] == [False, False, True]
    assert [is_stale(7 * DAY, days * DAY) for days in (20, 22)] == [False, True]
    assert not is_stale(0.0, 900 * DAY)
