"""A line whose gateway comes from DHCP or router advertisements: it follows the lease, and what is sealed never leaks.

udhcpc of busybox asks, dnsmasq gives, netpolicyd watches; nothing else tells it. Clients send all the while what may
leave by line A alone, and the far side would see it come by line B. The tests are one story.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon.running import Listener, Netpolicyd, netpolicyd, until
from tests.kernel.leases import PATIENT_SECONDS, SEALED, USUAL, Place, Udhcpc, ask, place
from tests.netns import needs_root, run

pytestmark = [pytest.mark.kernel, needs_root]

CONFIG = f"""
config netpolicy 'main'
	option enabled '1'
	option inspector 'off'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option masq '1'
	option ipv6_source 'masq'
	option hold '0'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option masq '1'
config outbound 'best'
	option type 'group'
	list member 'wan_a'
	list member 'wan_b'
config rule 'sealed'
	option priority '20'
	list proto 'udp'
	list dest_port '{SEALED}'
	option route 'wan_a'
	option on_fail 'block'
config rule 'usual'
	option priority '10'
	list proto 'udp'
	list dest_port '{USUAL}'
	option route 'best'
config rule 'not_for_leases'
	option priority '5'
	list proto 'udp'
	list dest_port '67-68'
	option route 'wan_b'
"""
BY_B = "eth1 198.51.100.2"


class Scene:
    """The place, the daemon, and what it was heard to say."""

    def __init__(self, where: Place, daemon: Netpolicyd, client: Udhcpc) -> None:
        self.where, self.daemon, self.client = where, daemon, client
        self.provider, self.far = where.provider, where.far
        self.events = Listener(daemon.socket)
        self._began = time.monotonic()  # what was sent before there were rules is not counted

    def line(self) -> dict[str, Any]:
        """Line A, as the daemon has it."""
        return next(one for one in self.daemon.call("outbounds")["outbounds"] if one["name"] == "wan_a")

    def defaults(self, family: str = "-4") -> list[str]:
        """The ways out in the table of line A, which always ends in a refusal."""
        told = run("ip", family, "route", "show", "table", str(self.line()["table"])).splitlines()
        assert any(one.startswith("unreachable default ") for one in told), told
        return sorted(" ".join(one.split()[:5]) for one in told if one.startswith("default"))

    def subnets(self) -> set[str]:
        """The subnets of line A's own device in its table."""
        told = run("ip", "-4", "route", "show", "table", str(self.line()["table"]), "dev", "wana").splitlines()
        return {one.split()[0] for one in told if not one.startswith("default")}

    def sources(self) -> set[str]:
        """The addresses whose packets have a line, without those of line B."""
        told = run("ip", "-4", "rule").splitlines()
        found = {one.split("from ")[1].split()[0] for one in told if "proto 78" in one and "from all" not in one}
        return found - {"198.51.100.2"}

    def is_led(self, address: str, gateway: str, device: str) -> None:
        """Line A leads by this gateway with this address, for packets both ways too. Fails until it is so."""
        assert self.line()["up"], self.line()["reason"]
        assert self.defaults() == [f"default via {gateway} dev wana"]
        assert self.sources() == {address}
        for port in (SEALED, USUAL):
            assert self.far.asked(port) == f"{device} {address}"
        assert self.far.is_answered(device, address)
        assert self.far.asked_from(address) == f"{device} {address}"
        assert self.daemon.call("status")["kernel"]["in_sync"]

    def is_lost(self, because: str) -> None:
        """Line A leads nowhere: what is sealed is refused, the rest goes by line B. Fails until it is so."""
        assert not self.line()["up"]
        assert self.line()["reason"].startswith(because)
        assert self.defaults() == [] and self.sources() == set()
        assert self.far.asked(SEALED) == "" and self.far.asked(USUAL) == BY_B
        assert self.daemon.call("status")["kernel"]["in_sync"]

    def ways_of_the_sealed(self) -> set[str]:
        """The devices of the far side by which anything came that may come by line A alone."""
        return {device for when, device, port, _ in self.far.seen if port == SEALED and when > self._began}

    def becomes(self, said: Any, *arguments: str) -> None:
        """Waits until one of the two above is so."""
        until(lambda: said(*arguments) is None, 40)

    def client_said(self, *last: str) -> None:
        """Waits until the client's script was called like this: it says so after it has set addresses and routes."""
        until(lambda: [one.split(" /")[0] for one in self.client.said()[-len(last) :]] == [*last], 40)

    def steps(self) -> int:
        """How often line A was told to go up or down, or to change its state."""
        return sum(name == "netpolicy.outbound" and one.get("name") == "wan_a" for name, one in self.events.heard)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("leases")
    with place(folder) as where, netpolicyd(folder, CONFIG) as daemon:
        daemon.settled()
        client = Udhcpc("wana", folder)
        try:
            yield Scene(where, daemon, client)
        finally:
            client.end()


NO_LEASE = "no gateway is known on wana"


def test_without_a_lease_the_line_is_down_and_what_is_sealed_goes_nowhere(scene):
    until(lambda: scene.client.said())
    scene.becomes(scene.is_lost, NO_LEASE)


def test_the_lease_brings_gateway_source_and_replies(scene):
    scene.provider.lease("192.0.2.2", "192.0.2.1")
    scene.becomes(scene.is_led, "192.0.2.2", "192.0.2.1", "br0")
    assert scene.subnets() == {"192.0.2.0/25"}
    scene.client_said("bound 192.0.2.2/25 192.0.2.1")


def test_a_renewal_with_another_router_moves_what_is_open_and_the_line_never_goes_down(scene):
    steps = scene.steps()
    with contextlib.closing(scene.far.open(SEALED)) as stays:
        assert ask(stays, PATIENT_SECONDS) == "br0 192.0.2.2"
        scene.provider.lease("192.0.2.2", "192.0.2.126")
        scene.client.renew()
        scene.becomes(scene.is_led, "192.0.2.2", "192.0.2.126", "gw2")
        scene.client_said("renew 192.0.2.2/25 192.0.2.126")
        assert ask(stays, PATIENT_SECONDS) == "gw2 192.0.2.2"
    assert scene.steps() == steps


def test_a_lease_of_another_subnet_takes_everything_along(scene):
    with contextlib.closing(scene.far.open(USUAL)) as stays:
        assert ask(stays, PATIENT_SECONDS) == "gw2 192.0.2.2"
        scene.provider.lease("192.0.2.130", "192.0.2.254")
        scene.client.renew()
        scene.becomes(scene.is_led, "192.0.2.130", "192.0.2.254", "gw2")
        until(lambda: ask(stays) == "gw2 192.0.2.130")
    assert scene.subnets() == {"192.0.2.128/25"}
    scene.client_said("deconfig", "bound 192.0.2.130/25 192.0.2.254")


def test_a_pulled_cable_with_the_lease_in_place_and_its_return(scene):
    said = scene.client.said()
    scene.provider.plug("down")
    until(lambda: scene.line()["reason"] == "wana has no carrier")
    until(lambda: scene.defaults() == [] and scene.far.asked(SEALED) == "" and scene.far.asked(USUAL) == BY_B)
    scene.provider.plug("up")
    scene.becomes(scene.is_led, "192.0.2.130", "192.0.2.254", "gw2")
    assert scene.client.said() == said, "DHCP had no part in it"


def test_the_cable_comes_back_in_another_network(scene):
    scene.provider.plug("down")
    until(lambda: not scene.line()["up"])
    scene.provider.lease("192.0.2.3", "192.0.2.1")
    scene.provider.plug("up")
    scene.client.renew()
    scene.becomes(scene.is_led, "192.0.2.3", "192.0.2.1", "br0")
    assert scene.subnets() == {"192.0.2.0/25"}


def test_a_lease_that_is_given_back_takes_the_line_down_and_the_next_brings_it_back(scene):
    scene.client.release()
    scene.becomes(scene.is_lost, NO_LEASE)
    scene.client_said("deconfig")
    scene.client.renew()
    scene.becomes(scene.is_led, "192.0.2.3", "192.0.2.1", "br0")


def test_a_lease_that_ends_while_nobody_watches_leads_nowhere_and_the_daemon_finds_out(scene):
    scene.daemon.send(signal.SIGSTOP)
    try:
        scene.client.release()
        scene.client_said("deconfig")
        assert scene.far.asked(SEALED) == ""
        scene.provider.lease("192.0.2.131", "192.0.2.129")
        scene.client.renew()
        scene.client_said("bound 192.0.2.131/25 192.0.2.129")
    finally:
        scene.daemon.send(signal.SIGCONT)
    scene.becomes(scene.is_led, "192.0.2.131", "192.0.2.129", "br0")


def test_a_router_outside_of_the_subnet(scene):
    """As providers have it that give out single addresses: the mask is 32 bits long."""
    scene.provider.lease("192.0.2.4", "192.0.2.126", "--dhcp-option=1,255.255.255.255")
    scene.client.renew()
    scene.becomes(scene.is_led, "192.0.2.4", "192.0.2.126", "gw2")
    scene.client_said("bound 192.0.2.4/32 192.0.2.126")
    assert scene.subnets() == {"192.0.2.126"}


def test_a_router_advertisement_brings_the_gateway_of_ipv6_and_takes_it_away(scene):
    assert scene.far.asked(SEALED, 6) == ""
    scene.provider.give("--dhcp-range=2001:db8:a::,ra-only,64,1h", "--enable-ra", "--ra-param=br0,4,3600")
    gateway = run_far(scene, "br0")
    until(lambda: scene.defaults("-6") == [f"default via {gateway} dev wana"])
    until(lambda: scene.far.asked(SEALED, 6).startswith("br0 2001:db8:a:"))
    scene.provider.give("--dhcp-range=2001:db8:a::,ra-only,64,1h", "--enable-ra", "--ra-param=br0,4,0")
    until(lambda: scene.defaults("-6") == [] and scene.far.asked(SEALED, 6) == "")
    assert scene.far.came(SEALED) == "gw2 192.0.2.4", "the other family stays"


def run_far(scene: Scene, device: str) -> str:
    """The link-local address of a device of the provider."""
    told = scene.where.server.run("ip", "-6", "-o", "address", "show", "dev", device, "scope", "link")
    return told.split()[3].partition("/")[0]


def test_all_the_while_nothing_that_is_sealed_left_by_the_other_line(scene):
    assert scene.far.sent > 1000
    assert scene.ways_of_the_sealed() == {"br0", "gw2"}
    assert (USUAL, "eth1") in {(port, device) for _, device, port, _ in scene.far.seen}, "line B would have been seen"


PARTS = {
    "address": ("address add 192.0.2.2/25 dev wana", "address delete 192.0.2.2/25 dev wana"),
    "route": ("route add default via 192.0.2.1 dev wana metric 50 onlink", "route delete default dev wana metric 50"),
}


@pytest.mark.parametrize("order", [*itertools.permutations(("carrier", "address", "route"))], ids="-".join)
def test_whatever_the_order_of_carrier_address_and_route(scene, order):
    scene.client.end()
    scene.provider.stop()  # its advertisements would have the daemon look
    run("ip", "-4", "address", "flush", "dev", "wana")
    scene.provider.plug("down")
    until(lambda: not scene.line()["up"])

    def turn(part: str, is_coming: bool) -> None:
        if part == "carrier":
            scene.provider.plug("up" if is_coming else "down")
        else:
            with contextlib.suppress(AssertionError):  # a route goes with the last address
                run("ip", *PARTS[part][0 if is_coming else 1].split())

    for part in order:
        assert not scene.far.asked(SEALED).startswith("eth1")
        turn(part, True)
        if part != order[-1]:  # what it makes of the half of it; the last one it must find by itself
            assert scene.daemon.call("reload")["ok"]
    scene.becomes(scene.is_led, "192.0.2.2", "192.0.2.1", "br0")
    for part in order:
        turn(part, False)
        if part != order[-1]:
            assert scene.daemon.call("reload")["ok"]
    until(lambda: not scene.line()["up"] and scene.defaults() == [] and scene.sources() == set())
    assert scene.far.asked(SEALED) == ""
    assert scene.ways_of_the_sealed() == {"br0", "gw2"}
