"""A copy of the router has its devices, addresses, routes and rules, and the candidate's on top."""

from __future__ import annotations

import os
import re

import pytest

from netpolicy.dataplane import namespace, rehearsal_clone
from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.rehearsal_clone import Candidate, Far, Refused, build
from netpolicy.dataplane.rehearsal_world import read
from netpolicy.dataplane.routing import Routing, change, ours
from netpolicy.dataplane.state import Route
from tests.dataplane.rehearsed import NOTHING, candidate
from tests.netns import Namespace, needs_root, run
from tests.router import everything

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def far():
    """Where the other ends go. This thread comes back to the router whatever a clone did."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with Namespace() as other:
        with other.entered():
            kernel = KernelSocket(ROUTE)
        yield Far(other.descriptor, kernel)
        kernel.close()
        namespace.enter(home)
    os.close(home)


def clone(far, state=NOTHING, needed=(), ports=()):
    """This thread is in the clone afterwards."""
    made = build(read(), state, 0, far, needed, ports, "nft")
    for one in (*made.kept, *made.servers):
        one.close()
    os.close(made.namespace)
    return made


def told(text):
    """Without what numbers and ends of cables are like, the far ends of the router's own cables, and counters."""
    lines = [line for line in text.splitlines() if "_far" not in line.split("@")[0].split(" dev ")[-1]]
    return re.sub(r"@\S+|,M-DOWN|link-netnsid \d+|packets \d+ bytes \d+", "", "\n".join(lines))


def test_a_clone_with_our_state_is_the_router_with_it(here, far):
    state = candidate()
    before = told(everything())
    clone(far, state)
    after = told(everything())
    table = re.compile(r"table inet netpolicy \{\n.*?\n\}\n", re.DOTALL)
    assert table.search(after)
    lines = [line for line in table.sub("", after).splitlines() if "proto 78" not in line]
    assert lines == before.splitlines()
    netlink = open_netlink()
    found = ours(netlink.routes(), netlink.rules())
    netlink.close()
    assert change(state.routing, found).changes == ()


def test_devices_keep_name_number_size_mac_address_and_state(here, far):
    run("ip", "link", "set", "wana", "mtu", "1400", "address", "02:00:00:00:00:aa")
    run("ip", "link", "set", "wanb_far", "down")
    run("ip", "link", "add", "tun-1.5", "type", "veth", "peer", "name", "x")
    wanted = {one.name: one for one in read().devices}
    clone(far)
    made = {one.name: one for one in read().devices}
    for name in ("wana", "wanb", "lan", "tun-1.5"):
        assert made[name] == wanted[name]


def test_a_device_without_a_mac_address_asks_nobody_for_one(here, far):
    run("ip", "tuntap", "add", "dev", "ppp0", "mode", "tun")
    run("ip", "link", "set", "ppp0", "up")
    made = clone(far)
    assert not made.ends["ppp0"].talks and made.ends["lan"].talks
    assert "NOARP" in run("ip", "link", "show", "ppp0") and "NOARP" not in run("ip", "link", "show", "lan")


def test_members_of_bridges_are_left_out_unless_a_rule_names_them_by_number(here, far):
    run("ip", "link", "add", "br-lan", "type", "bridge")
    for member in ("wana_far", "lan_far"):
        run("ip", "link", "set", member, "master", "br-lan")
    run("nft", "add chain inet other c; add rule inet other c iif wana_far drop")
    made = clone(far)
    assert "wana_far" in made.ends and "lan_far" not in made.ends and "br-lan" in made.ends
    assert made.notes == []


def test_beyond_the_most_devices_those_without_address_and_route_are_left_out(here, far, monkeypatch):
    monkeypatch.setattr(rehearsal_clone, "MOST_DEVICES", 4)
    run("ip", "link", "add", "name", "a", "type", "veth", "peer", "name", "b")
    made = clone(far, needed=("b",))
    assert sorted(made.ends) == ["b", "lan", "wana", "wanb"]
    assert made.notes == ["4 devices are left out, 4 are the most"]


def test_a_table_of_others_that_does_not_load_is_noted_and_the_rest_is_there(here, far, monkeypatch):
    world = read()
    bad = "table inet broken {\n\tnonsense\n}\n"
    made = build(rehearsal_clone_with(world, tables=(*world.tables, bad)), NOTHING, 0, far, (), (), "nft")
    os.close(made.namespace)
    assert len(made.notes) == 1 and made.notes[0].startswith("table inet broken is left out: ")
    assert "table inet other" in run("nft", "list", "ruleset")


def rehearsal_clone_with(world, **changes):
    import dataclasses

    return dataclasses.replace(world, **changes)


def test_a_route_of_ours_over_a_device_that_is_not_there_is_noted(here, far):
    route = Route(4, 7001, "default", gateway="192.0.2.1", device="gone0")
    made = clone(far, Candidate(None, Routing(frozenset({route}))))
    assert made.notes == ["add route default table 7001: there is no device gone0"]


def test_a_candidate_that_nft_does_not_take_is_refused(here, far):
    with pytest.raises(Refused):
        clone(far, Candidate(None, Routing(), "nonsense\n"))


def test_somebody_listens_on_the_ports_that_are_asked_for(here, far):
    made = build(read(), NOTHING, 0, far, (), {("tcp", 4, 22), ("tcp", 6, 22), ("udp", 4, 53)}, "nft")
    assert len(made.kept) == 2 and len(made.servers) == 1
    shown = run("ss", "-Hltun")
    assert shown.count(":22 ") == 2 and shown.count(":53 ") == 1
    for one in (*made.kept, *made.servers):
        one.close()
    os.close(made.namespace)


class Late(KernelSocket):
    """A kernel whose worker takes until the third look."""

    def __init__(self) -> None:
        super().__init__(ROUTE)
        self.looks = 0

    def dump(self, operation, kind, payload):
        found = super().dump(operation, kind, payload)
        if kind != codec.GETROUTE:
            return found
        self.looks += 1
        return found if self.looks > 2 else []


def test_an_address_that_the_kernel_has_no_route_to_yet_is_waited_for(here, monkeypatch):
    run("ip", "addr", "add", "fd00:7::1/64", "dev", "lan", "nodad")
    late = Late()
    rehearsal_clone.wait_for_addresses(late)
    assert late.looks == 3
    run("ip", "-6", "route", "del", "local", "fd00:7::1", "table", "local")
    monkeypatch.setattr(rehearsal_clone, "CARRIER_SECONDS", 0.05)
    rehearsal_clone.wait_for_addresses(late)  # not for ever
    late.close()
