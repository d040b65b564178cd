"""The area of memory: what is there against what a change needs."""

from __future__ import annotations

import pytest

from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_memory import BASE, available, enough, examine, need
from netpolicy.service.doctor_system import System
from tests.service.doctoring import Machine, seen


@pytest.mark.parametrize(
    ("free", "level"), [(BASE - 1, "error"), (BASE + 1, "warning"), (2 * BASE, "ok"), (None, "info")]
)
def test_less_than_one_change_is_an_error_less_than_two_a_warning(free: int | None, level: str) -> None:
    assert seen(enough(free, need(0))) == {"ND901": level}


def test_more_rules_need_more() -> None:
    assert need(10_000) > need(10) > BASE


def test_meminfo_is_read_and_nonsense_is_not_a_number() -> None:
    assert available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n") == 2 << 20
    assert available("MemAvailable: many kB") is None
    assert seen(examine(Machine(), Given()))["ND901"] == "info"
    assert available(System().read("/proc/meminfo") or "")
