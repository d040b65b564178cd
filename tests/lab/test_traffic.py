"""What the clients do: every step leads to a server of the lab, and steps cover what rules are about."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netpolicy.lab import starter, traffic
from netpolicy.lab.bench import Lab
from netpolicy.lab.topology import CLIENTS, SERVERS

STEPS = [step for plan in traffic.PLANS.values() for step in plan]


def test_every_client_has_a_plan() -> None:
    assert set(traffic.PLANS) == {client.name for client in CLIENTS}


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_leads_to_a_server_in_its_family(step: traffic.Step) -> None:
    assert (":" in step.address) == (step.family == 6)
    assert step.address in {address for server in SERVERS for address in (server.address4, server.address6)}


def test_the_steps_cover_both_families_both_protocols_and_a_blocked_port() -> None:
    assert {step.family for step in STEPS} == {4, 6}
    assert {step.protocol for step in STEPS} == {"tcp", "udp"}
    assert any(step.port == 25 for step in traffic.PLANS["guest"])


@pytest.mark.kernel
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_taken_on_the_router_succeeds(lab: Lab, step: traffic.Step) -> None:
    code = f"from netpolicy.lab import traffic; traffic.TIMEOUT_SECONDS = 20; print(traffic.take(traffic.{step!r}))"
    done = lab.run("router", [sys.executable, "-c", code])
    assert "'ok': True" in done.stdout, done.stderr


def test_a_client_ends_when_nobody_listens() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "netpolicy.lab.traffic", "desk"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=starter.environment(),
    ) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.wait(60) == 0
