"""The lab as tests use it: addresses seen, lines broken and restored, nothing added by itself."""

from __future__ import annotations

import time

import pytest

from netpolicy.lab.bench import Lab, LabError

pytestmark = pytest.mark.kernel

A4, A6 = "203.0.113.2", "2001:db8:a::2"
B4, B6 = "198.51.100.2", "2001:db8:b::2"


@pytest.fixture(autouse=True)
def _whole_lines(lab: Lab):
    yield
    lab.repair()


@pytest.mark.parametrize(("target", "expected"), [("192.0.2.20", A4), ("2001:db8:1::20", A6)])
@pytest.mark.parametrize("port", [7, 25, 80, 443, 31000])
def test_the_routers_own_connections_leave_by_line_a(lab: Lab, target: str, expected: str, port: int) -> None:
    assert lab.tcp("router", target, port, name="video.example.net")["seen"] == expected


@pytest.mark.parametrize(("target", "expected"), [("192.0.2.99", B4), ("2001:db8:1::99", B6)])
def test_a_socket_bound_to_line_b_is_seen_from_b(lab: Lab, target: str, expected: str) -> None:
    assert lab.udp("router", target, 3478, device="wanb")["seen"] == expected
    assert lab.tcp("router", target, 3478, device="wanb")["seen"] == expected


@pytest.mark.parametrize("target", ["192.0.2.10", "2001:db8:1::10"])
def test_without_the_product_a_client_gets_no_answer_because_nothing_translates(lab: Lab, target: str) -> None:
    assert lab.tcp("desk", target, 7, timeout=0.3)["error"] == "timeout"


def test_a_provider_drops_what_carries_the_other_providers_address(lab: Lab) -> None:
    answer = lab.udp("router", "192.0.2.9", 7, source=A4, device="wanb", timeout=0.3)
    assert answer["error"] == "timeout"


@pytest.mark.parametrize("target", ["192.168.1.1", "fd00:c0de:1::1"])
def test_a_refusal_is_heard_at_once_and_every_time(lab: Lab, target: str) -> None:
    assert [lab.udp("desk", target, 9, timeout=0.5)["error"] for _ in range(10)] == ["refused"] * 10


def test_the_tls_server_tells_the_name_it_was_asked_for(lab: Lab) -> None:
    answer = lab.tcp("router", "192.0.2.11", 443, name="news.example.net")
    assert (answer["sni"], answer["host"]) == ("news.example.net", "news.example.net")


def test_names_resolve_in_both_families(lab: Lab) -> None:
    assert lab.dns("router", "www.example.net")["addresses"] == ["192.0.2.10"]
    assert lab.dns("router", "www.example.net", "AAAA")["addresses"] == ["2001:db8:1::10"]
    assert lab.dns("router", "nowhere.example.net")["addresses"] == []


def test_a_pulled_cable_moves_the_routers_default_route_to_line_b(lab: Lab) -> None:
    lab.link("a", "down")
    lab.wait_for(lambda: lab.udp("router", "192.0.2.9", 7, timeout=0.2)["seen"] == B4, 2)
    assert lab.udp("router", "2001:db8:1::9", 7)["seen"] == B6
    lab.link("a", "up")
    lab.wait_for(lambda: lab.udp("router", "192.0.2.9", 7, timeout=0.2)["seen"] == A4, 2)
    lab.wait_for(lambda: lab.udp("router", "2001:db8:1::9", 7, timeout=0.2)["seen"] == A6, 2)


def test_a_silent_line_keeps_its_carrier_and_answers_nothing(lab: Lab) -> None:
    lab.relay("a", "drop")
    assert lab.udp("router", "192.0.2.9", 7, timeout=0.2)["error"] == "timeout"
    assert "LOWER_UP" in lab.run("router", ["ip", "link", "show", "dev", "wana"]).stdout
    lab.relay("a", "restore")
    assert lab.udp("router", "192.0.2.9", 7)["seen"] == A4


def test_a_line_is_as_late_as_it_was_told(lab: Lab) -> None:
    lab.relay("a", 40)
    late = lab.udp("router", "192.0.2.9", 7)["ms"]
    lab.relay("a", 0)
    assert 40 <= late < 80
    assert lab.udp("router", "192.0.2.9", 7)["ms"] < 40


def test_an_order_the_line_does_not_know_is_refused_with_the_known_ones(lab: Lab) -> None:
    with pytest.raises(LabError, match="use delay MS, drop, restore or stats"):
        lab.relay("a", "explode")


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


def test_a_started_request_runs_while_others_are_answered(lab: Lab) -> None:
    pending = lab.start("router", "stream", address="192.0.2.9", port=5, count=200, rate=1000)
    assert lab.udp("router", "192.0.2.9", 7)["ok"]
    assert pending.result()["received"] == 200


def test_a_request_the_agent_cannot_read_is_answered_not_fatal(lab: Lab) -> None:
    assert "request refused" in lab.ask("desk", "fly")["error"]
    assert lab.udp("desk", "192.168.1.1", 9, timeout=0.5)["error"] == "refused"


def test_a_signal_reaches_the_program_not_its_keeper(lab: Lab) -> None:
    child = lab.popen("desk", ["sleep", "60"])
    lab.wait_for(lambda: "sleep" in lab.run("desk", ["ps", "-e", "-o", "comm"]).stdout, 5)
    child.terminate()
    assert child.wait(5) != 0
    assert "sleep" not in lab.run("desk", ["ps", "-e", "-o", "comm"]).stdout


def test_the_lab_adds_no_translation_or_policy_routing_of_its_own(lab: Lab) -> None:
    assert lab.run("router", ["nft", "list", "ruleset"], check=True).stdout == ""
    assert len(lab.run("router", ["ip", "rule"], check=True).stdout.splitlines()) == 3


def test_two_labs_live_side_by_side(lab: Lab) -> None:
    with Lab() as other:
        lab.link("a", "down")
        assert other.udp("router", "192.0.2.9", 7)["seen"] == A4


def test_lines_have_the_latency_of_the_topology_when_asked_for() -> None:
    with Lab(latency=True) as lab:
        fast, slow = (lab.udp("router", "192.0.2.9", 7, device=d)["ms"] for d in ("wana", "wanb"))
    assert 8 <= fast < 25 <= slow < 80


def test_a_lab_in_a_user_namespace_works_the_same() -> None:
    with Lab(user_namespace=True) as lab:
        assert lab.tcp("router", "192.0.2.20", 443, name="video.example.net")["seen"] == A4
        assert lab.udp("router", "2001:db8:1::9", 7)["seen"] == A6
        assert lab.run("router", ["nft", "add", "table", "inet", "probe"]).returncode == 0


def test_building_is_quick_enough_to_do_it_per_test_file() -> None:
    begin = time.monotonic()
    with Lab() as lab:
        print(f"built in {lab.times}, {time.monotonic() - begin:.2f} s with the interpreter's start")
    assert lab.times["network"] > 0
