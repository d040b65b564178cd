"""`netpolicy events`: what goes over the bus while somebody listens."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

from .conftest import Tool
from .stand_in import StandIn

ROOT = Path(__file__).parent.parent.parent


def listening(daemon: StandIn, *words: str) -> subprocess.Popen[str]:
    """The tool, once the broker has heard what it listens for."""
    process = subprocess.Popen(
        [sys.executable, "-m", "netpolicy.cli.main", "events", *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout
    while True:
        # Announced until the first line comes back: then it listens.
        daemon.announce("netpolicy.state", {"to": "DEGRADED", "up": True, "why": None})
        if select.select([process.stdout], [], [], 0.05)[0]:
            return process
        assert process.poll() is None


def test_an_event_is_a_line(daemon: StandIn) -> None:
    process = listening(daemon, "--count", "1")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.splitlines()[0].endswith(" netpolicy.state to=DEGRADED up=true why=-")
    assert len(out.splitlines()) == 1


def test_an_event_is_a_json_line(daemon: StandIn) -> None:
    process = listening(daemon, "--json", "--count", "2")
    daemon.announce("other.thing", {"not": "ours"})
    daemon.announce("netpolicy.config", {"ok": True})
    out, _ = process.communicate(timeout=60)
    first = json.loads(out.splitlines()[0])
    assert (first["event"], first["data"]["to"], set(first)) == (
        "netpolicy.state", "DEGRADED", {"event", "time", "data"})  # fmt: skip
    assert "other.thing" not in out


def test_follow_and_count_exclude_each_other(tool: Tool, daemon: StandIn) -> None:
    assert tool("events", "--follow", "--count", "1").code == 64
