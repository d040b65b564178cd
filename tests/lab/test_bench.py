"""The lab as tests use it: addresses seen, lines broken and restored, nothing added by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from netpolicy.lab import starter
from netpolicy.lab.bench import Lab, LabError
from netpolicy.lab.topology import provider

pytestmark = pytest.mark.kernel

A4, A6 = "203.0.113.2", "2001:db8:a::2"
B4, B6 = "198.51.100.2", "2001:db8:b::2"


@pytest.fixture(autouse=True)
def _whole_lines(lab: Lab):
    yield
    lab.repair()


def need_relay(lab: Lab) -> None:
    if not lab.tun:
        pytest.skip("no access to /dev/net/tun, so lines have no latency")


def test_a_pulled_cable_moves_the_routers_default_route_to_line_b(lab: Lab) -> None:
    lab.link("a", "down")
    lab.wait_for(lambda: lab.udp("router", "192.0.2.9", 7, timeout=0.5)["seen"] == B4, 30)
    lab.wait_for(lambda: lab.udp("router", "2001:db8:1::9", 7, timeout=0.5)["seen"] == B6, 30)
    lab.link("a", "up")
    lab.wait_for(lambda: lab.udp("router", "192.0.2.9", 7, timeout=0.5)["seen"] == A4, 30)
    lab.wait_for(lambda: lab.udp("router", "2001:db8:1::9", 7, timeout=0.5)["seen"] == A6, 30)


def test_a_silent_line_keeps_its_carrier_and_answers_nothing(lab: Lab) -> None:
    lab.relay("a", "drop")
    assert lab.udp("router", "192.0.2.9", 7, timeout=0.2)["error"] == "timeout"
    assert "LOWER_UP" in lab.run("router", ["ip", "link", "show", "dev", "wana"]).stdout
    lab.relay("a", "restore")
    assert lab.udp("router", "192.0.2.9", 7, timeout=20)["seen"] == A4


def test_a_line_is_as_late_as_it_was_told(lab: Lab) -> None:
    need_relay(lab)
    lab.relay("a", 40)
    late = lab.udp("router", "192.0.2.9", 7, timeout=20)["ms"]
    lab.relay("a", 0)
    # One of many: a busy machine adds to most of them, and never takes away.
    assert late >= 40
    assert any(lab.udp("router", "192.0.2.9", 7, timeout=20)["ms"] < 40 for _ in range(500))


def test_an_order_the_line_does_not_know_is_refused_with_the_known_ones(lab: Lab) -> None:
    need_relay(lab)
    with pytest.raises(LabError, match="use delay MS, drop, restore or stats"):
        lab.relay("a", "explode")


def test_a_started_request_runs_while_others_are_answered(lab: Lab) -> None:
    pending = lab.start("router", "stream", address="192.0.2.9", port=5, count=200, rate=1000, patience=20.0)
    assert lab.udp("router", "192.0.2.9", 7, timeout=20)["ok"]
    assert pending.result()["received"] == 200


def test_a_signal_reaches_the_program_not_its_keeper(lab: Lab) -> None:
    child = lab.popen("desk", ["sleep", "60"])
    lab.wait_for(lambda: "sleep" in lab.run("desk", ["ps", "-e", "-o", "comm"]).stdout, 30)
    child.terminate()
    assert child.wait(30) != 0
    assert "sleep" not in lab.run("desk", ["ps", "-e", "-o", "comm"]).stdout


def test_a_program_that_stood_still_is_waited_for_though_its_keeper_still_stands(lab: Lab) -> None:
    """The keeper hears late that it stopped, and stops too: perhaps after both were told to go on."""
    child = lab.popen("desk", ["sleep", "60"])
    lab.wait_for(lambda: "sleep" in lab.run("desk", ["ps", "-e", "-o", "comm"]).stdout, 30)
    program = starter.first_child(child.pid)
    child.send_signal(signal.SIGSTOP)
    lab.wait_for(lambda: starter.is_stopped(program) and starter.is_stopped(child.pid), 30)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.6)
    assert starter.is_stopped(program), "who waits does not wake it"
    os.kill(program, signal.SIGCONT)
    child.kill()
    assert child.wait(30) != 0


def test_two_labs_live_side_by_side(lab: Lab) -> None:
    with Lab() as other:
        lab.link("a", "down")
        assert other.udp("router", "192.0.2.9", 7, timeout=20)["seen"] == A4


def test_lines_have_the_latency_of_the_topology_when_asked_for() -> None:
    with Lab(latency=True) as lab:
        need_relay(lab)
        fast, slow = (provider(letter).rtt_ms for letter in "ab")
        least = {"wana": float("inf"), "wanb": float("inf")}
        for _ in range(200):  # a busy machine adds to most of them, and never takes away
            for device in least:
                took = lab.udp("router", "192.0.2.9", 7, device=device, timeout=20)["ms"]
                least[device] = min(least[device], took)
            if least["wana"] < slow:
                break
    assert fast <= least["wana"] < slow <= least["wanb"]


def test_a_lab_in_a_user_namespace_works_the_same() -> None:
    with Lab(user_namespace=True) as lab:
        assert lab.tcp("router", "192.0.2.20", 443, name="video.example.net", timeout=20)["seen"] == A4
        assert lab.udp("router", "2001:db8:1::9", 7, timeout=20)["seen"] == A6
        assert lab.run("router", ["nft", "add", "table", "inet", "probe"]).returncode == 0


def test_building_is_quick_enough_to_do_it_per_test_file() -> None:
    begin = time.monotonic()
    with Lab() as lab:
        print(f"built in {lab.times}, {time.monotonic() - begin:.2f} s with the interpreter's start")
    assert lab.times["network"] > 0
