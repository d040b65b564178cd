"""Lines without a gateway on Debian's kernel: WireGuard's device, and a PPPoE line between two of Debian's pppd.

One boot, in which the daemon is as it is. The machines that build NetPolicy often have neither kind of device.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.vm import guest_run, guests
from tests.vm.guest_run import Found

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1260)]

BEST, SEALED = "4790", "4791"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Found:
    guest = guests.tunnels()
    if reason := guests.missing(guest):
        pytest.skip(reason)
    found = guest_run.boot(guest, tmp_path_factory.mktemp("vm"), ("wireguard", "wireguard_all", "pppoe"))
    print(f"\n{guest.version}, {found.seconds:.0f} s")
    return found


def by(device: str) -> dict[str, str]:
    return {"4": device, "6": device}


def defaults(device: str, families: int = 2) -> list[str]:
    """What the table of a line without a gateway ends in, per family: straight on, or not at all."""
    straight = [f"default dev {device} proto 78 scope link", f"default dev {device} proto 78 metric 1024 pref medium"]
    return straight[:families]


def straight_on(table: list[str]) -> list[str]:
    return [line for line in table if not line.startswith("unreachable")]


def refusing(table: list[str]) -> int:
    return len(table) - len(straight_on(table))


def test_a_wireguard_device_is_a_line_without_a_gateway(machine: Found) -> None:
    found = machine["wireguard"]
    line = found["line"]
    assert (line["device"], line["gateway"], line["gateway6"], line["families"]) == ("wg0", "", "", [4, 6])
    assert straight_on(found["table"]) == defaults("wg0") and refusing(found["table"]) == 2
    assert {"10.66.0.2", "fd66::2"} <= set(found["sources"])
    assert found["ways"] == {BEST: by("wg0"), SEALED: by("wg0")}
    # What no rule sends there goes as before, and so do the tunnel's own packets.
    assert found["plain"] == by("eth0") and found["outer"] == ["eth0"]
    print(f"\n300 kB each way by the tunnel: {found['fetched']:.2f} s")
    assert not found["spoilt"]


def test_a_far_end_that_is_silent_takes_the_line_down_and_nothing_gets_past_it(machine: Found) -> None:
    found = machine["wireguard"]
    assert found["leaks_while_silent"] == found["leaks_when_down"] == []
    assert not found["silent"]["up"] and "lost" in found["silent"]["reason"]
    assert found["failed_over"] == by("eth1")
    assert found["outer_while_silent"] == ["eth0"]
    assert found["again"]["up"] and found["ways_again"] == {BEST: by("wg0"), SEALED: by("wg0")}


def test_a_device_that_is_made_again_gets_its_table_again(machine: Found) -> None:
    found = machine["wireguard"]
    assert found["gone"]["reason"] == "there is no device wg0"
    assert straight_on(found["table_gone"]) == [] and refusing(found["table_gone"]) == 2
    assert found["leaks_when_gone"] == [] and found["ways_gone"] == by("eth1")
    assert found["table_made"] == found["table"]
    assert found["ways_made"] == {BEST: by("wg0"), SEALED: by("wg0")}


def test_a_rule_for_everything_does_not_lead_the_tunnel_into_itself(machine: Found) -> None:
    found = machine["wireguard_all"]
    assert found["shaken"] and found["outer"] == ["eth0"] and found["ways"] == by("wg0")
    assert not found["spoilt"]


def test_a_tunnel_that_is_down_and_sealed_finds_its_way_back(machine: Found) -> None:
    found = machine["wireguard_all"]
    assert not found["silent"]["up"] and found["leaks"] == []
    assert found["outer_while_down"] == ["eth0"]
    assert found["again"]["up"] and found["ways_again"] == by("wg0")


def test_a_tunnel_whose_port_nobody_knew_comes_up_while_clients_send_into_it(machine: Found) -> None:
    found = machine["wireguard_all"]
    assert found["made"]["up"] and found["ways_made"] == by("wg0")
    assert found["port_made"] not in (0, 51820, 51821)


def test_a_rule_that_names_the_tunnels_own_packets_sends_them(machine: Found) -> None:
    found = machine["wireguard_all"]
    assert found["ways_by_the_second"] == by("wg0") and found["outer_by_the_second"] == ["eth1"]
    assert found["disagreements"] == []


def test_a_dialled_line_has_its_table_as_soon_as_there_is_a_session(machine: Found) -> None:
    found = machine["pppoe"]
    assert found["before"]["reason"] == "there is no device ppp0"
    assert found["ways_before"] == by("eth1") and found["leaks_before"] == []
    line = found["line"]
    assert (line["device"], line["gateway"], line["families"]) == ("ppp0", "", [4])
    assert found["address"] == "10.67.0.10" and "10.67.0.10" in found["sources"]
    assert straight_on(found["table"]) == defaults("ppp0", 1) and refusing(found["table"]) == 2
    # IPv6 is not there yet: the group has it elsewhere, the sealed line refuses it.
    assert found["ways"] == {BEST: {"4": "ppp0", "6": "eth1"}, SEALED: {"4": "ppp0", "6": ""}}
    print(f"\n300 kB each way by the line: {found['fetched']:.2f} s")
    assert found["line6"]["families"] == [4, 6] and found["ways6"] == {BEST: by("ppp0"), SEALED: by("ppp0")}
    assert not found["spoilt"]


def test_a_session_that_dies_takes_the_line_down_and_nothing_gets_past_it(machine: Found) -> None:
    found = machine["pppoe"]
    assert found["leaks_while_silent"] == found["leaks_when_down"] == []
    assert is_down(found["silent"]) and found["failed_over"] == by("eth1")
    assert straight_on(found["table_silent"]) == [] and refusing(found["table_silent"]) == 2
    assert "10.67.0.10" not in found["sources_silent"]


@pytest.mark.parametrize("line", ["wireguard", "pppoe"])
def test_a_change_is_tried_with_packets_by_such_a_line_and_doctor_has_nothing_to_say(machine: Found, line: str) -> None:
    found = machine[line]
    rehearsed = found["rehearsed"]
    print(f"\n{rehearsed}")
    assert (rehearsed["refused"], rehearsed["how"], rehearsed["ok"]) == (None, "packets", True)
    assert rehearsed["rows"] and all(ok for _, ok in rehearsed["rows"])
    assert found["complaints"] == []


def is_down(line: dict[str, Any]) -> bool:
    """By what its device shows: nobody probes it."""
    return not line["up"] and "ppp0" in line["reason"]


def test_the_next_session_has_another_address_and_everything_follows(machine: Found) -> None:
    found = machine["pppoe"]
    assert found["address_again"] == "10.67.0.77" != found["address"]
    assert "10.67.0.77" in found["sources_again"] and "10.67.0.10" not in found["sources_again"]
    assert found["table_again"] == found["table"]
    assert found["ways_again"] == {BEST: {"4": "ppp0", "6": "eth1"}, SEALED: {"4": "ppp0", "6": ""}}
    assert is_down(found["ended"]) and found["ways_ended"] == by("eth1")


def test_a_default_route_without_a_gateway_changes_nothing_of_that(machine: Found) -> None:
    found = machine["pppoe"]
    assert found["main"][:3] == ["default", "dev", "ppp0"]
    assert found["default"]["gateway"] == "" and found["table_default"] == found["table"]
    assert found["ways_default"] == {BEST: {"4": "ppp0", "6": "eth1"}, SEALED: {"4": "ppp0", "6": ""}}
