"""Sockets of the router that are bound to a device leave by it, whatever the rules say about the rest.

What `ping -I`, `curl --interface` and the probes of a failover program rely on; seen from the server's side.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netpolicy.lab.bench import Lab
from tests.kernel.steering import LINES, SERVER4, SERVER6, SERVERS, foreign, ours, reload, rule

pytestmark = pytest.mark.kernel

LAN = "br-lan"
PATIENT = 20.0  # seconds for an answer that must come
ANY = rule("any", "any=1", "route=wan_b")


@pytest.fixture(scope="module")
def steered(lab: Lab) -> Iterator[Lab]:
    before = foreign(lab)
    lab.start_daemon(LINES)
    yield lab
    assert lab.stop_daemon() == 0
    assert ours(lab) == "" and foreign(lab) == before
    assert "Traceback" not in lab.daemon_log()


@pytest.fixture(autouse=True)
def _whole_lines(steered: Lab) -> Iterator[None]:
    yield
    steered.repair()
    steered.wait_for(lambda: all(line["up"] for line in steered.call("outbounds")["outbounds"]), 30, "lines are up")
    steered.settle(30)


@pytest.mark.parametrize("ask", ["tcp", "udp"])
@pytest.mark.parametrize(("server", "by_a", "by_b"), SERVERS)
def test_a_bound_socket_leaves_by_its_device_and_others_by_the_rule(
    steered: Lab, server: str, by_a: str, by_b: str, ask: str
) -> None:
    question = getattr(steered, ask)
    for standing in (ANY, "", rule("any", "any=1", "route=wan_a")):
        reload(steered, LINES + standing)
        assert question("router", server, 31000, device="wana", timeout=PATIENT)["seen"] == by_a, standing
        assert question("router", server, 31000, device="wanb", timeout=PATIENT)["seen"] == by_b, standing
    reload(steered, LINES + ANY)
    assert question("router", server, 31000, timeout=PATIENT)["seen"] == by_b
    assert question("desk", server, 31000, timeout=PATIENT)["seen"] == by_b


@pytest.mark.parametrize(("server", "by_a", "by_b"), SERVERS)
def test_who_sends_from_an_address_of_a_line_leaves_by_it_where_no_rule_speaks(
    steered: Lab, server: str, by_a: str, by_b: str
) -> None:
    reload(steered, LINES)
    for source in (by_a, by_b):
        assert steered.tcp("router", server, 31000, source=source, timeout=PATIENT)["seen"] == source
    # A network behind the router that only main knows is still reached, and not by the line.
    far = ("2001:db8:77::/64", "2001:db8:77::1") if ":" in server else ("10.77.0.0/16", "10.77.0.1")
    steered.run("router", ["ip", "route", "add", far[0], "dev", LAN], check=True)
    try:
        assert f"dev {LAN}" in steered.run("router", ["ip", "route", "get", far[1], "from", by_b]).stdout
    finally:
        steered.run("router", ["ip", "route", "del", far[0], "dev", LAN], check=True)
    reload(steered, LINES + ANY)
    assert steered.tcp("router", server, 31000, source=by_a, timeout=PATIENT)["seen"] == by_b, "a rule speaks"


def test_ping_bound_to_a_device_is_answered(steered: Lab) -> None:
    reload(steered, LINES + ANY)
    for server in (SERVER4, SERVER6):
        for device in ("wana", "wanb"):
            done = steered.run("router", ["ping", "-c1", "-W20", "-I", device, server])
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_kill_switch_holds_for_bound_sockets_too(steered: Lab) -> None:
    """What a rule gives to line B and B alone does not leave by A because a program wishes so."""
    reload(steered, LINES + rule("vpn", "any=1", "route=wan_b", "on_fail=block"))
    assert steered.tcp("router", SERVER4, 31000, device="wana", timeout=0.5)["error"] is not None
    assert steered.tcp("router", SERVER4, 31000, device="wanb", timeout=PATIENT)["error"] is None


def test_a_line_without_a_default_in_main_can_be_probed(steered: Lab) -> None:
    """As with `option defaultroute 0`: only our table knows the gateway."""
    steered.run("router", ["ip", "route", "del", "default", "dev", "wanb"], check=True)
    try:
        reload(steered, LINES)
        assert steered.tcp("router", SERVER4, 31000, device="wanb", timeout=PATIENT)["seen"] == "198.51.100.2"
    finally:
        steered.run("router", ["ip", "route", "add", "default", "via", "198.51.100.1", "dev", "wanb", "metric", "20"],
                    check=True)  # fmt: skip


def test_a_family_without_a_known_way_goes_on_by_main(steered: Lab) -> None:
    """IPv6 by router advertisement on a line that was configured for IPv4: its own clients keep working."""
    only4 = LINES.replace("	option gateway6 '2001:db8:a::1'\n", "	option gateway6 'fd00:dead::1'\n")
    reload(steered, only4 + ANY)
    assert steered.tcp("router", SERVER6, 31000, device="wana", timeout=PATIENT)["seen"] == "2001:db8:a::2"
    assert steered.tcp("router", SERVER4, 31000, device="wana", timeout=PATIENT)["seen"] == "203.0.113.2"


def test_link_local_neighbours_are_not_sent_to_the_gateway(steered: Lab) -> None:
    """A DHCPv6 client talks to fe80::… of its own device."""
    reload(steered, LINES + ANY)
    for device in ("wana", "wanb"):
        told = steered.run("router", ["ip", "-6", "route", "get", "fe80::1234", "oif", device], check=True).stdout
        assert f"dev {device}" in told and "via" not in told


def test_the_rules_stay_when_the_device_goes_and_hold_when_it_comes_back(steered: Lab) -> None:
    reload(steered, LINES + ANY)
    steered.run("router", ["ip", "link", "set", "wana", "name", "elsewhere"], check=True)
    try:
        steered.wait_for(lambda: not steered.call("outbounds")["outbounds"][0]["up"], 30, "line A is down")
        steered.settle(30)
        assert "oif wana [detached] lookup main" in steered.run("router", ["ip", "rule"]).stdout
        assert steered.call("plan")["changes"] == []
    finally:
        steered.run("router", ["ip", "link", "set", "elsewhere", "name", "wana"], check=True)
    steered.wait_for(lambda: steered.call("outbounds")["outbounds"][0]["up"], 30, "line A is up")
    steered.settle(30)
    assert "[detached]" not in steered.run("router", ["ip", "rule"]).stdout
    assert steered.tcp("router", SERVER4, 31000, device="wana", timeout=PATIENT)["seen"] == "203.0.113.2"
