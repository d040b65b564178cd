"""The network itself: two families, two lines, nothing that routes or translates by policy."""

from __future__ import annotations

import pytest

from netpolicy.lab.bench import Lab

pytestmark = pytest.mark.kernel

A4, A6 = "203.0.113.2", "2001:db8:a::2"
B4, B6 = "198.51.100.2", "2001:db8:b::2"


@pytest.mark.parametrize(("target", "expected"), [("192.0.2.20", A4), ("2001:db8:1::20", A6)])
@pytest.mark.parametrize("port", [7, 25, 80, 443, 31000])
def test_the_routers_own_connections_leave_by_line_a(lab: Lab, target: str, expected: str, port: int) -> None:
    assert lab.tcp("router", target, port, name="video.example.net", timeout=20)["seen"] == expected


@pytest.mark.parametrize(("target", "expected"), [("192.0.2.99", B4), ("2001:db8:1::99", B6)])
def test_a_socket_bound_to_line_b_is_seen_from_b(lab: Lab, target: str, expected: str) -> None:
    assert lab.udp("router", target, 3478, device="wanb", timeout=20)["seen"] == expected
    assert lab.tcp("router", target, 3478, device="wanb", timeout=20)["seen"] == expected


@pytest.mark.parametrize("target", ["192.0.2.10", "2001:db8:1::10"])
def test_without_the_product_a_client_gets_no_answer_because_nothing_translates(lab: Lab, target: str) -> None:
    assert lab.tcp("desk", target, 7, timeout=0.3)["error"] == "timeout"


@pytest.mark.parametrize(
    ("target", "gateway", "source"), [("192.0.2.77", "198.51.100.1", A4), ("2001:db8:1::77", "2001:db8:b::1", A6)]
)
def test_a_provider_drops_what_carries_the_other_providers_address(
    lab: Lab, target: str, gateway: str, source: str
) -> None:
    lab.run("router", ["ip", "route", "add", target, "via", gateway], check=True)
    assert lab.udp("router", target, 7, timeout=20)["ok"]
    # The way back would be open: the answer to A's address comes by line A.
    assert lab.udp("router", target, 7, source=source, timeout=0.3)["error"] == "timeout"
    lab.run("router", ["ip", "route", "del", target], check=True)


@pytest.mark.parametrize("target", ["192.168.1.1", "fd00:c0de:1::1"])
def test_a_refusal_is_heard_at_once_and_every_time(lab: Lab, target: str) -> None:
    assert [lab.udp("desk", target, 9, timeout=20)["error"] for _ in range(10)] == ["refused"] * 10


def test_the_lab_adds_no_translation_or_policy_routing_of_its_own(lab: Lab) -> None:
    assert lab.run("router", ["nft", "list", "ruleset"], check=True).stdout == ""
    assert len(lab.run("router", ["ip", "rule"], check=True).stdout.splitlines()) == 3
