"""The inspector on kernels and processors that are not here, and beside what others do on the same devices.

The daemon as it is, in machines with Debian's kernels: 5.10 (no tcx), s390x (big-endian), and the one of this release
with netem, shapers, filters and flow offload. One boot for each; every test looks at what one check of it found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vm import guest_run, guests
from tests.vm.guest_run import Found
from tests.vm.guests import Guest

# A boot takes a quarter of a minute, and the first test of each machine waits for all of its checks.
pytestmark = [pytest.mark.vm, pytest.mark.timeout(1260)]

NAMES = {"tls13": "tls", "tls12": "tls", "ipv6": "tls", "split": "tls", "dns": "dns"}

# The bar of the inspector's round trip: two in a hundred, or a fifth of a millisecond.
SHARE, LEAST_MS = 0.02, 0.2


def boot(guest: Guest, folder: Path, *checks: str) -> Found:
    if reason := guests.missing(guest):
        pytest.skip(reason)
    found = guest_run.boot(guest, folder, checks)
    print(f"\n{guest.name}: {guest.version}, {found.seconds:.0f} s")
    return found


@pytest.fixture(scope="module", params=["old", "big", "arm"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """An older kernel, a big-endian machine, and one with words of 32 bits."""
    guest: Guest = getattr(guests, request.param)()
    found = boot(guest, tmp_path_factory.mktemp("vm"), "seen", "taken_apart", "ended")
    release, order, machine = {
        "old": ("5.10.", "little", "x86_64"), "big": ("6.1.", "big", "s390x"), "arm": ("6.1.", "little", "armv7l"),
    }[request.param]  # fmt: skip
    told = found["machine"]
    assert told["release"].startswith(release) and (told["order"], told["machine"]) == (order, machine)
    assert told["jit"] == ("" if request.param == "big" else "1")  # Debian's for s390x has none
    return found


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The kernel of this release, with a server that is far, and what others do on the devices."""
    checks = ("round_trip", "filter", "shaper", "shaper_on_lan", "late_shaper", "offload")
    return boot(guests.stable(), tmp_path_factory.mktemp("vm"), *checks)


# -- other kernels and processors ----------------------------------------------------------


def test_real_connections_are_named_and_measured(machine: Found) -> None:
    seen = machine["seen"]
    assert seen["status"]["tier"] == "ebpf" and seen["status"]["reason"] == ""
    assert way(seen["status"]["devices"]) == ("ebpf", "clsact")
    assert {kind: one["version"] for kind, one in seen["known"].items() if kind in ("tls12", "tls13")} == {
        "tls12": "TLSv1.2", "tls13": "TLSv1.3",
    }  # fmt: skip
    for kind, source in NAMES.items():
        line, known = seen["lines"][kind], seen["known"][kind]
        assert (line["name"], line["name_source"]) == (known["name"], source), kind
        assert line["rtt_ms"] is not None and 0 < line["rtt_ms"] < 2000, kind
        assert line["resets"] == 0 and line["outbound"] == ("direct" if kind == "dns" else "wan_a"), kind
    assert seen["rules"]["in_sync"]
    counters = seen["counters"]
    assert counters["packets"] > 50 and counters["names"] == 4 and counters["answers"] == 1
    assert not any(counters[name] for name in ("lost", "full", "evicted", "unreadable", "malformed"))
    assert not seen["spoilt"]


def test_whole_hellos_are_taken_apart_in_the_kernel_and_others_are_not(machine: Found) -> None:
    found = machine["taken_apart"]
    print(f"\nbytes of machine code: {found['machine_code']}; {found['kinds']}")
    assert found["way"] == "clsact" and len(found["machine_code"]) == 2
    # Both are compiled where the kernel was told to, and interpreted where it was not.
    assert [bool(size) for size in found["machine_code"]] == [machine["machine"]["jit"] == "1"] * 2
    for kind in ("tls12", "tls13", "ipv6"):
        assert (found["kinds"][kind], found["names"][kind]) == (["hello"], [machine["seen"]["known"][kind]["name"]])
    # One in pieces is handed out as it came: the reader puts it together.
    assert len(found["kinds"]["split"]) > 1 and set(found["kinds"]["split"]) == {"stream"}
    assert not any(found["counters"][name] for name in ("lost", "full", "evicted", "unreadable", "malformed"))


def test_nothing_is_left_in_the_kernel_at_the_end_and_after_a_kill(machine: Found) -> None:
    ended = machine["ended"]
    nothing = {"programs": 0, "maps": 0}
    assert ended["before"] == nothing
    assert ended["running"]["programs"] == 2 and len(ended["running_filters"]) == 2
    assert ended["status"] == 0 and ended["stopped"] == nothing
    assert not ended["stopped_filters"] and "clsact" not in ended["stopped_qdiscs"]
    # Filters outlive a process that had no chance; the next one puts its own in their place, and takes those off.
    assert ended["killed"]["programs"] == 2 and len(ended["killed_filters"]) == 2
    assert ended["again"] == ended["running"] and len(ended["again_filters"]) == 2
    assert ended["name_again"] == "www.example.net"
    assert ended["end"] == nothing and not ended["end_filters"] and "clsact" not in ended["end_qdiscs"]
    assert not ended["spoilt"]


def way(devices: list[dict[str, Any]], name: str = "br-lan") -> tuple[str, str]:
    one = next(one for one in devices if one["name"] == name)
    return one["tier"], one["way"]


# -- the truth -----------------------------------------------------------------------------


def is_near(told: float, truth: float) -> bool:
    return abs(told - truth) <= max(LEAST_MS, SHARE * truth)


def test_round_trips_are_those_of_the_line_and_of_the_clients_own_kernel(stable: Found) -> None:
    found = stable["round_trip"]
    delay = found["delay_ms"]
    print(f"\nnetem {delay} ms; handshakes {found['handshakes']}\nsmoothed {found['smoothed']}")
    for one in found["handshakes"]:
        assert is_near(one["daemon"], delay) and is_near(one["daemon"], one["shortest"])
    for one in found["smoothed"]:
        assert is_near(one["daemon"], delay) and is_near(one["daemon"], one["smoothed"]) and one["retransmits"] == 0


# -- never in the way ----------------------------------------------------------------------


def assert_shaped(found: dict[str, Any]) -> None:
    """As fast as the shaper lets it, both ways, by both of its halves, with the inspector as without."""
    print(f"\nof {found['rate']} Mbit/s: {found['with']} with the inspector, {found.get('without')} without")
    for direction, rate in found["with"].items():
        assert 0.9 * found["rate"] < rate < 1.02 * found["rate"]
        assert "without" not in found or rate > 0.97 * found["without"][direction]
    assert all(size > found["bytes"] for size in found["passed"])
    assert found["name"] == "www.example.net"


def test_a_shaper_on_the_line_out_shapes_as_without_us(stable: Found) -> None:
    found = stable["shaper"]
    assert_shaped(found)
    assert min(found["free"].values()) > 2 * found["rate"]
    assert (found["told"]["tier"], found["told"]["way"]) == ("ebpf", "clsact")
    assert not found["ours"]
    assert found["qdiscs"] == found["qdiscs_with"] == found["qdiscs_after"]


def test_a_shaper_on_the_device_of_the_clients_stays_as_it_is(stable: Found) -> None:
    found = stable["shaper_on_lan"]
    assert_shaped(found)
    assert found["told"]["tier"] == "packet" and "SQM" in found["told"]["reason"]
    assert found["qdiscs"] == found["qdiscs_with"] == found["qdiscs_after"]
    assert any("ingress" in line for line in found["qdiscs"])


def test_a_shaper_that_comes_later_is_given_way_to_and_we_come_back_behind_it(stable: Found) -> None:
    found = stable["late_shaper"]
    assert found["at_first"]["way"] == "clsact"
    assert found["said"][1:] == ["", ""]  # its ingress is there, with the way to the ifb
    assert_shaped(found)
    assert found["told"]["tier"] == "packet" and "ifb4br-lan" in found["told"]["reason"]
    assert found["told_after"]["way"] == "clsact"
    assert not any("clsact" in line for line in found["qdiscs_after"])


def test_filters_of_another_program_run_before_and_behind_ours(stable: Found) -> None:
    found = stable["filter"]
    print(f"\nhits alone {found['alone']}, beside us {found['with']}; we saw {found['seen']} packets")
    assert found["told"]["way"] == "clsact" and len(found["ours"]) == 2 and found["seen"] > 20
    assert found["name"] == "www.example.net"
    for place in ("ingress 1", "ingress 40", "egress 40"):
        alone = found["alone"][place] - found["before"][place]
        assert alone > 10 and found["with"][place] - found["begun"][place] >= alone // 2
        assert found["after"][place] > found["with"][place]
    # What the one before ours lets pass all reaches the one behind ours.
    assert found["after"]["ingress 1"] == found["after"]["ingress 40"]
    assert not found["ours_after"] and found["loaded_after"] == {"programs": 0, "maps": 0}


def test_with_flow_offload_the_ports_of_the_bridge_show_every_packet(stable: Found) -> None:
    found = stable["offload"]
    print(f"\n{found['segments']} segments: bridge {found['bridge']}, port {found['port']}, seen {found['seen']}")
    assert way(found["at_first"]) == ("ebpf", "clsact")
    # A connection that conntrack calls offloaded says it; what the firewall's file says is known from the start.
    for devices in (found["then"], found["told"]):
        assert [one["name"] for one in devices] == ["lan"] and way(devices, "lan") == ("ebpf", "clsact")
    assert any(one["name"] == "br-lan" and "flow offload" in one["reason"] for one in found["not_watched"])
    assert found["name"] == found["name_told"] == "www.example.net"
    assert "[OFFLOAD]" in found["conntrack"]
    # They pass the port and not the bridge; each segment and its ACK are seen.
    assert found["bridge"] < found["segments"] // 10 < found["segments"] <= found["port"]
    assert found["seen"] >= 2 * found["segments"]
    assert found["line"]["rtt_ms"] is not None and found["line"]["retransmits"] == 0
