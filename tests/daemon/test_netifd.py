"""Lines as OpenWrt's own netifd has them, and what scripts in hotplug.d hear; the kernel is asked too."""

from __future__ import annotations

import asyncio
import signal

import pytest

from netpolicy.bus.client import UbusClient
from netpolicy.daemon.interfaces import Interfaces
from tests.daemon.netifd_router import ALL, FIXED, GIVES, LEASE, NETWORK, A, B, missing, netifd_router
from tests.daemon.running import until
from tests.netns import needs_root

REASON = missing()
pytestmark = [pytest.mark.kernel, needs_root, pytest.mark.skipif(bool(REASON), reason=REASON)]

OTHER_B = ("eth2", "198.51.100.9", "")


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    with netifd_router(tmp_path_factory.mktemp("netifd")) as router:
        yield router


@pytest.fixture
def router(started):
    """All lines up, as at first."""
    started.provider.give(*GIVES)
    started.network(NETWORK + LEASE)
    for name in ("wan", "wanb"):  # nothing happens to one that is up
        started.ubus(f"network.interface.{name}", "up")
    until(lambda: started.is_up("wanb", "dhcp") and started.ways() == ALL)
    return started


def test_a_user_s_script_hears_each_change_once_and_in_order(router):
    """First of all: what the start said is looked at too."""
    until(lambda: len(router.told()) == 8)
    netifd, ours = split(router.told())
    assert sorted(ours) == ["connected wan eth1 a", "connected wan6 eth1 a6", "connected wanb eth2 b"]
    up = ["ifup lan eth0", "ifup loopback lo", "ifup wan eth1", "ifup wan6 eth1", "ifup wanb eth2"]
    assert sorted(netifd) == up
    router.ubus("network.interface.wan", "down")
    until(lambda: router.ways() == {"b": B})
    router.ubus("network.interface.wan", "up")
    until(lambda: router.ways() == ALL)
    again = ["disconnected wan eth1 a", "disconnected wan6 eth1 a6", "connected wan eth1 a", "connected wan6 eth1 a6"]
    until(lambda: split(router.told())[1] == [*ours, *again])
    until(lambda: len(split(router.told())[0]) == len(netifd) + 4)
    later = split(router.told())[0][len(netifd) :]
    # Of one network in order; netifd takes the alias before or after it.
    assert [one for one in later if " wan " in one] == ["ifdown wan -", "ifup wan eth1"]
    assert [one for one in later if " wan6 " in one] == ["ifdown wan6 -", "ifup wan6 eth1"]
    # A script that is told of a line finds it in the kernel: with the default at connected, without at disconnected.
    routes = (router.folder / "routes").read_text().splitlines()
    assert len(routes) == 5 and all(line.startswith("default via 203.0.113.1 dev eth1") for line in routes)


def test_another_daemon_tells_scripts_what_changed_meanwhile(router):
    def heard() -> list[str]:
        return [one for one in split(router.told())[1] if one.endswith(" b")]

    until(lambda: heard()[-1:] == ["connected wanb eth2 b"])
    before = heard()
    (router.folder / "state/handover").touch()
    router.daemon.end()
    router.ubus("network.interface.wanb", "down")
    router.start_daemon()
    until(lambda: router.ways() == {"a": A, "a6": A})
    until(lambda: heard() == [*before, "disconnected wanb eth2 b"])
    router.ubus("network.interface.wanb", "up")
    until(lambda: router.ways() == ALL)
    until(lambda: heard() == [*before, "disconnected wanb eth2 b", "connected wanb eth2 b"])


def test_other_gateways_are_followed_also_such_as_the_kernel_does_not_show(router):
    router.network(NETWORK.replace("203.0.113.1'", "203.0.113.77'") + LEASE)
    other = ("eth1", "203.0.113.77", "2001:db8:a::1")
    until(lambda: router.ways() == {"a": other, "a6": other, "b": B})
    router.network(NETWORK + LEASE.replace("metric '20'", "defaultroute '0'"))
    until(lambda: "eth2" not in router.here.run("ip", "route", "show", "default"))
    until(lambda: router.ways() == ALL)
    router.provider.give(*GIVES, "--dhcp-option=3")
    router.ubus("network.interface.wanb", "renew")
    until(lambda: "b" not in router.ways())
    router.provider.give(*GIVES, "--dhcp-option=3,198.51.100.9")
    router.ubus("network.interface.wanb", "renew")
    until(lambda: router.ways() == {**ALL, "b": OTHER_B})
    router.network(NETWORK + LEASE.replace("metric '20'", "ip4table '200'"))
    until(lambda: "default" in router.here.run("ip", "route", "show", "table", "200"))
    until(lambda: router.ways() == {**ALL, "b": OTHER_B})
    router.provider.give(*GIVES)
    router.ubus("network.interface.wanb", "renew")
    until(lambda: router.ways() == ALL)


async def test_netifd_tells_of_a_route_that_stays_inactive_by_a_notification_alone(router):
    """No address and no route of the kernel changes, and the event is sent for up and down."""
    router.network(NETWORK + LEASE.replace("metric '20'", "defaultroute '0'"))
    until(lambda: "eth2" not in router.here.run("ip", "route", "show", "default") and router.ways() == ALL)
    told = asyncio.Event()
    client = UbusClient(router.socket)
    found = Interfaces(client, lambda _: told.set())
    try:
        await client.connect()
        await found.open()
        assert (await found.ask())["wanb"].gateways == {4: "198.51.100.1"}
        router.provider.give(*GIVES, "--dhcp-option=3")
        router.ubus("network.interface.wanb", "renew")
        await asyncio.wait_for(told.wait(), 10)
        assert (await found.ask())["wanb"].gateways == {}
    finally:
        await found.close()
        await client.close()
    router.provider.give(*GIVES)
    router.ubus("network.interface.wanb", "renew")
    until(lambda: router.ways() == ALL)


@pytest.mark.parametrize("more", ["table '100'", "metric '50'"])
def test_a_default_that_somebody_adds_is_not_the_line_s(router, more):
    added = "config route\n\toption interface 'wanb'\n\toption target '0.0.0.0/0'\n\toption gateway '198.51.100.9'\n"
    router.network(NETWORK + FIXED + added + f"\toption {more}\n")
    until(lambda: "198.51.100.9" in router.here.run("ip", "route", "show", "table", "all"))
    until(lambda: router.is_up("wanb", "static") and router.ways() == ALL)
    assert router.here.run("ip", "route", "show", "dev", "eth2", "table", "7003").startswith("default via 198.51.100.1")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_netifd_dies_and_comes_back(router, how):
    router.kill("netifd", how)
    router.daemon.call("reload")
    assert router.ways() == ALL, "what it said last holds"
    router.start_netifd()
    until(lambda: "wan" in {one["interface"] for one in router.ubus("network.interface", "dump")["interface"]})
    until(lambda: router.ways() == ALL, 30)


def test_a_daemon_that_is_there_before_netifd_waits_for_it(router):
    router.kill("netifd")
    router.daemon.end()
    router.start_daemon()
    until(lambda: router.daemon.call("status"))
    router.start_netifd()
    until(lambda: router.ways() == ALL, 30)


def test_a_network_with_another_name_is_another_one(router):
    router.network(NETWORK + LEASE.replace("'wanb'", "'fiber'"))
    until(lambda: router.ways() == {"a": A, "a6": A})
    before = router.daemon.config.read_text()
    router.daemon.config.write_text(before.replace("'wanb'", "'fiber'"))
    try:
        assert router.daemon.call("reload")["ok"]
        until(lambda: router.ways() == ALL, 30)
    finally:
        router.daemon.config.write_text(before)
        router.daemon.call("reload")


def test_a_hung_netifd_holds_up_no_failover(router):
    router.programs["netifd"].send_signal(signal.SIGSTOP)
    try:
        router.a.run("ip", "link", "set", "eth0", "down")
        until(lambda: router.ways() == {"b": B})
        router.a.run("ip", "link", "set", "eth0", "up")
        until(lambda: router.ways() == ALL)
    finally:
        router.programs["netifd"].send_signal(signal.SIGCONT)
    until(lambda: router.ways() == ALL)


def split(told: list[str]) -> tuple[list[str], list[str]]:
    """What netifd said, without the outbound that it does not know, and what we said."""
    netifd = [line.removesuffix(" -") for line in told if line.endswith(" -")]
    return netifd, [line for line in told if not line.endswith(" -")]
