"""Requests to a node's agent, many of them cheap, some of them at once."""

from __future__ import annotations

import pytest

from netpolicy.lab.bench import Lab

pytestmark = pytest.mark.kernel

A4, A6 = "203.0.113.2", "2001:db8:a::2"
B4, B6 = "198.51.100.2", "2001:db8:b::2"


def test_every_numbered_datagram_comes_back_through_both_relays(lab: Lab) -> None:
    report = lab.ask("router", "stream", address="192.0.2.9", port=5, count=1000, rate=2000)
    assert (report["received"], report["missing"], list(report["seen"])) == (1000, [], [A4])


def test_many_destinations_are_asked_in_one_request(lab: Lab) -> None:
    targets = [[f"192.0.2.{n % 250 + 1}", 1000 + n] for n in range(500)]
    assert lab.ask("router", "udp_many", targets=targets) == [A4] * 500


def test_an_open_connection_stays_usable_across_other_requests(lab: Lab) -> None:
    held = lab.ask("router", "open", address="192.0.2.9", port=7)
    lab.udp("router", "192.0.2.9", 7)
    assert lab.ask("router", "talk", id=held["id"])["ok"]
    lab.ask("router", "close", id=held["id"])


def test_a_request_the_agent_cannot_read_is_answered_not_fatal(lab: Lab) -> None:
    assert "request refused" in lab.ask("desk", "fly")["error"]
    assert lab.udp("desk", "192.168.1.1", 9, timeout=0.5)["error"] == "refused"
