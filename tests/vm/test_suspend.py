"""A machine that is really suspended, to memory (ACPI's S3), and woken by its battery clock: what is in force then.

One boot, in which the daemon is as it is. Its clock is this machine's: it sleeps for a minute in all.
"""

from __future__ import annotations

import pytest

from tests.vm import guest_run, guests
from tests.vm.guest_run import REAL_TIME, Found

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1260)]

# A second until it is noticed, and a turn: half a second of an emulated processor on an idle machine.
SOON = 10.0


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Found:
    guest = guests.sleeper()
    if reason := guests.missing(guest):
        pytest.skip(reason)
    return guest_run.boot(guest, tmp_path_factory.mktemp("vm"), ("sleep_schedules", "sleep_change"), REAL_TIME)


def assert_slept(clocks: dict[str, float]) -> None:
    """A battery clock knows whole seconds."""
    assert clocks["steady"] < 3 and clocks["boot"] > 15 and abs(clocks["boot"] - clocks["wall"]) < 0.1


def test_windows_that_open_and_close_in_a_sleep_are_followed_at_once_also_by_connections_that_are_open(
    machine: Found,
) -> None:
    found = machine["sleep_schedules"]
    print(f"\n{found['kinds']}; cut after {found['cut_after']}, open after {found['open_after']:.2f} s")
    assert "[deep]" in found["kinds"]
    for clocks in (found["evening"], found["morning"]):
        assert_slept(clocks)
    assert sorted(found["cut_after"]) == ["20", "9"] and all(0 <= one < SOON for one in found["cut_after"].values())
    assert found["refused"] == {"9": True, "20": True} and found["open_after"] < SOON
    assert found["in_sync"] and not found["spoilt"]


def test_a_line_whose_probe_was_under_way_in_a_sleep_is_as_well_as_before_and_is_asked_at_once(machine: Found) -> None:
    found = machine["sleep_schedules"]
    print(f"\nasked after {found['asked_after']:.2f} s; said: {found['said']}")
    before, after = found["before"], found["after"]
    assert (after["state"], after["since"], after["because"]) == (before["state"], before["since"], before["because"])
    assert after["state"] == "NORMAL" and found["asked_after"] < SOON
    assert len([one for one in found["said"] if "the machine slept for" in one]) == 2
    assert not [one for one in found["said"] if "outbound" in one or one.startswith(("warning", "error"))]


def test_a_time_to_confirm_that_passes_in_a_sleep_is_over_and_the_daemon_itself_leads_back(machine: Found) -> None:
    found = machine["sleep_change"]
    print(f"\nled back {found['ended_after']:.2f} s after it woke; guard: {found['guard']}")
    assert_slept(found["slept"])
    assert found["applied"] and ("too late" in found["refused"] or "being taken back" in found["refused"])
    assert (found["state"], found["why"], found["is_back"]) == ("reverted", "nobody confirmed it in time", True)
    assert found["ended_after"] < 3 * SOON
    # The guard had every reason to take it for one that hangs, by the clock.
    assert not any("hangs" in one or "revert" in one for one in found["guard"]) and found["status"] == 0
    assert not found["spoilt"]
