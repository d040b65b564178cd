"""The area of the clock: years that cannot be, and a missing zone, with schedules and without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netpolicy.service.doctor_clock import EARLIEST, LATEST, Facts, clock, examine, zone
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import System
from tests.service.doctoring import Machine, seen

FINE = Facts(EARLIEST + 5e6, EARLIEST + 1e6, True, 1)


@pytest.mark.parametrize("now", [0.0, EARLIEST - 1.0, EARLIEST + 8e5, LATEST + 1.0])
def test_a_year_that_cannot_be_is_an_error_where_schedules_depend_on_it(now: float) -> None:
    assert clock(FINE).level == "ok"
    assert seen(clock(replace(FINE, now=now))) == {"ND601": "error"}
    assert seen(clock(replace(FINE, now=now, schedules=0))) == {"ND601": "warning"}


def test_files_from_the_far_future_do_not_make_the_clock_wrong() -> None:
    assert clock(replace(FINE, written=LATEST + 1.0)).level == "ok"


def test_a_zone_matters_to_schedules() -> None:
    assert seen(zone(FINE)) == {"ND602": "ok"}
    assert zone(replace(FINE, has_zone=False)).level == "warning"
    assert zone(replace(FINE, has_zone=False, schedules=0)).level == "info"


def test_a_zone_is_found_in_a_file_or_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    assert seen(examine(Machine(), Given()))["ND602"] == "info"
    assert seen(examine(Machine({"/etc/TZ": "CET-1CEST"}), Given()))["ND602"] == "ok"
    monkeypatch.setenv("TZ", "UTC")
    assert seen(examine(Machine(), Given()))["ND602"] == "ok"


def test_this_machine_has_a_clock() -> None:
    assert seen(examine(System(), Given()))["ND601"] == "ok"
