"""Requests to a node's agent, many of them cheap, some of them at once."""

from __future__ import annotations

import pytest

from netpolicy.lab.bench import Lab

pytestmark = pytest.mark.kernel

A4, A6 = "203.0.113.2", "2001:db8:a::2"
B4, B6 = "198.51.100.2", "2001:db8:b::2"


def test_every_numbered_datagram_comes_back_through_both_relays(lab: Lab) -> None:
    report = lab.ask("router", "stream", address="192.0.2.9", port=5, count=1000, rate=2000, patience=20.0)
    assert (report["received"], report["missing"], list(report["seen"])) == (1000, [], [A4])


def test_many_destinations_are_asked_in_one_request(lab: Lab) -> None:
    targets = [[f"192.0.2.{n % 250 + 1}", 1000 + n] for n in range(500)]
    assert lab.ask("router", "udp_many", targets=targets, timeout=20.0) == [A4] * 500


def test_an_open_connection_stays_usable_across_other_requests(lab: Lab) -> None:
    held = lab.ask("router", "open", address="192.0.2.9", port=7, timeout=20.0)
    lab.udp("router", "192.0.2.9", 7, timeout=20)
    assert lab.ask("router", "talk", id=held["id"])["ok"]
    lab.ask("router", "close", id=held["id"])


def test_a_request_the_agent_cannot_read_is_answered_not_fatal(lab: Lab) -> None:
    assert "request refused" in lab.ask("desk", "fly")["error"]
    assert lab.udp("desk", "192.168.1.1", 9, timeout=20)["error"] == "refused"


def test_a_relay_that_stands_still_loses_nothing(lab: Lab) -> None:
    """As on a machine that is busy with something else: all at once, and carried when there is time again."""
    if not lab.tun:
        pytest.skip("no access to /dev/net/tun, so no relay")
    relays = lab.run("router", ["pgrep", "-f", "lab.relay [ab]"], check=True).stdout.split()

    def sent() -> int:
        return int(lab.run("router", ["cat", "/sys/class/net/wana/statistics/tx_packets"], check=True).stdout)

    before = sent()
    lab.run("router", ["kill", "-STOP", *relays], check=True)
    try:
        pending = lab.start("router", "stream", address="192.0.2.9", port=5, count=3000, rate=1e6, patience=30.0)
        lab.wait_for(lambda: sent() >= before + 3000, 30)
    finally:
        lab.run("router", ["kill", "-CONT", *relays], check=True)
    report = pending.result()
    assert (report["received"], report["missing"]) == (3000, [])
