"""The running lab: commands from standard input, the daemon kept alive, traffic that moves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from netpolicy.lab import show, starter
from tests.lab.lab_terminal import Session, Terminal

pytestmark = pytest.mark.kernel


@pytest.mark.slow  # a whole session of a person: edit, broken line, killed daemon
def test_traffic_moves_when_a_rule_is_edited_a_line_is_pulled_and_the_daemon_is_killed() -> None:
    with Session() as lab:
        lab.wait_for("desk tls video v4: rule video, outbound wan_b, from B")
        lab.type("edit")
        lab.wait_for("edited: video goes by wan_a; reloaded")
        lab.wait_for("desk tls video v4: rule video, outbound wan_a, from A")
        lab.type("line-a")
        lab.wait_for("outbound   wan_a wana down")
        lab.wait_for("guest http news v4: rule -, outbound direct, from B")
        lab.type("line-a")
        lab.wait_for("guest http news v4: rule -, outbound direct, from A")
        lab.type("kill")
        lab.wait_for("netpolicyd ended (-9)", forget=True)
        lab.wait_for("state NORMAL")
        lab.type("dance")
        lab.wait_for("no command 'dance'")
        assert lab.end() == 0


def test_without_a_reader_of_commands_the_lab_runs_on_for_the_seconds_given() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netpolicy.lab.main", "--seconds", "1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=starter.environment(),
    )
    assert done.returncode == 0, done.stderr


def test_options_know_the_scenarios() -> None:
    found = show.options(["--seconds", "2", "--scenario", "tour", "--config", "x"])
    assert (found.seconds, found.scenario, found.config) == (2.0, "tour", "x")


@pytest.mark.kernel
def test_a_terminal_that_is_closed_ends_the_lab_though_its_starter_waits() -> None:
    """The kernel tells the session's leader only, and that may be `make`, which waits for us."""
    terminal = Terminal()
    try:
        terminal.read_until("way out")
        lab = terminal.outside
        terminal.hang_up()
        deadline = time.monotonic() + 30
        while starter.first_child(lab) or Path(f"/proc/{lab}/stat").exists():
            assert time.monotonic() < deadline, "the lab goes on without its terminal"
            time.sleep(0.05)
    finally:
        terminal.close()
