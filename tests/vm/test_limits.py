"""Limits of speed on Debian's kernel, which has fq_codel and flowtables, and schedules by a clock that is set.

One boot, in which the daemon is as it is.
"""

from __future__ import annotations

import pytest

from tests.vm import guest_run, guests
from tests.vm.guest_run import Found

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1260)]

# A first-in-first-out queue of a fifth of a second would make a small packet wait for all of it.
MOST_WAIT_MS = 40


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Found:
    guest = guests.stable()
    if reason := guests.missing(guest):
        pytest.skip(reason)
    return guest_run.boot(
        guest, tmp_path_factory.mktemp("vm"), ("limits", "limits_offload", "offload_cut", "limits_cake", "schedules")
    )


def test_fq_codel_stands_below_the_classes_and_small_packets_do_not_wait_for_a_download(machine: Found) -> None:
    found = machine["limits"]
    print(f"\nfree {found['free']}; held {found['rates']}; a small packet waits {found['waited_ms']:.1f} ms")
    assert sorted(found["ways"]) == [["br-lan", "shaped"], ["wana", "shaped"]]
    # A class has its number from the name of its limit: the same on every machine.
    assert found["queues"] == {
        "wana": ["htb root", "fq_codel 4e50:1", "fq_codel 4e50:2dba"],
        "br-lan": [
            "htb root",
            "fq_codel 4e50:1",
            "fq_codel 4e50:2dbb",
            "clsact ffff:fff1",
        ],  # the inspector's too
    }
    for direction in ("up", "down"):
        assert 0.85 * found[direction] < found["rates"][direction] < 1.02 * found[direction]
        assert found["free"][direction] > 2 * found[direction]
        assert found["counted"][direction] > 1_500_000
    assert found["waited_ms"] < MOST_WAIT_MS
    assert found["is_as_before"] and not found["spoilt"]


def test_what_the_firewall_offloads_is_not_held_and_status_says_so(machine: Found) -> None:
    found = machine["limits_offload"]
    print(f"\noffloaded {found['rates']}; then {found['held']}")
    assert found["warnings"] == ["NP910"]
    for direction in ("up", "down"):
        assert found["rates"][direction] > 1.5 * found[direction]
        assert 0.75 * found[direction] < found["held"][direction] < 1.02 * found[direction]


def test_a_connection_that_bypasses_the_rules_ends_with_its_entry_and_no_other_does(machine: Found) -> None:
    found = machine["offload_cut"]
    print(f"\n{found}")
    assert all("[OFFLOAD]" in entry for entry in found["before"].values())
    assert found["stopped"] == "ConnectionResetError" and found["kept"] == "goes on"
    assert "[OFFLOAD]" in found["after"]["kept"]


def test_cake_of_somebody_else_stays_and_the_limit_is_held_beside_it(machine: Found) -> None:
    found = machine["limits_cake"]
    print(f"\n{found['rates']}; kB for a leaf: {found['leaf_kb']}")
    assert found["why"] == ["wana has a queue of somebody else: cake"]
    assert found["before"] == found["with"] == found["after"] == ["cake root"]
    for direction in ("up", "down"):
        assert 0.5 * found[direction] < found["rates"][direction] < 1.8 * found[direction]
    # Why a limit has no cake of its own: docs/decisions/0012-limits-by-class.md.
    assert found["leaf_kb"]["cake"] > 3 * found["leaf_kb"]["fq_codel"]


def test_a_schedule_follows_the_clock_also_where_it_is_set_and_for_connections_that_are_open(machine: Found) -> None:
    found = machine["schedules"]
    print(f"\n{found}")
    assert found["opened_before"] > 0 and 0 <= found["cut_after"] < 3 and found["new_is_refused"]
    for step in ("open_after", "shut_after", "right_after"):
        assert found[step] < 8
    assert not found["spoilt"]
