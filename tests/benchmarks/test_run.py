"""Each family runs with tiny sizes and writes JSON that a program can read. No time is asserted here, or anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A busy machine takes some times as long.
pytestmark = pytest.mark.timeout(600)

KEYS = {"name", "value", "unit", "ratio", "against", "spread"}


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.run", "--folder", str(folder), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


def results(folder: Path, family: str, *words: str) -> dict[str, dict[str, Any]]:
    """The family's results by name, after a run with so few rounds that the figures mean nothing."""
    done = bench(folder, "--only", family, "--rounds", "1", "--seconds", "0.002", *words)
    assert done.returncode == 0, done.stderr
    machine = json.loads((folder / "machine.json").read_text())
    assert {"cpu", "kernel", "nft", "python", "governor", "cores"} <= set(machine)
    found = json.loads((folder / f"{family}.json").read_text())
    for line in found:
        assert set(line) == KEYS
        assert line["name"].startswith(f"{family}/") and line["name"] in done.stdout
        assert (line["ratio"] is None) == (line["against"] is None)
        assert line["value"] >= 0 and line["spread"] >= 0
    return {line["name"]: line for line in found}


@pytest.mark.kernel
def test_the_packet_path_is_measured_against_no_policy_and_one_nft_rule_per_policy(tmp_path: Path) -> None:
    found = results(tmp_path, "path", "--sizes", "10,20")
    for kind in ("established", "forward", "new", "connections", "throughput"):
        assert found[f"path/{kind}/20"]["against"] == f"path/{kind}/none"
        assert found[f"path/{kind}/20/vs/10"]["against"] == f"path/{kind}/10"
        assert found[f"path/{kind}/20/vs/linear"]["against"] == f"path/{kind}/linear/20"
        assert found[f"path/{kind}/0"]["value"] > 0


@pytest.mark.kernel
def test_reloads_are_timed_and_counted_and_no_datagram_notices(tmp_path: Path) -> None:
    found = results(tmp_path, "apply", "--sizes", "10")
    for what in ("none", "one", "match", "all", "cold"):
        assert any(name.startswith(f"apply/{what}/10") for name in found)
    noticed = [line for name, line in found.items() if name.endswith(("/lost", "/wrong"))]
    assert noticed and not [line for line in noticed if line["value"]]
    assert any(name.startswith("apply/list/100") for name in found)


@pytest.mark.kernel
def test_the_daemon_s_memory_is_read_in_both_profiles(tmp_path: Path) -> None:
    found = results(tmp_path, "memory", "--sizes", "10")
    for profile in ("full", "light"):
        assert found[f"memory/{profile}/10/peak"]["value"] >= found[f"memory/{profile}/10"]["value"] > 1


@pytest.mark.kernel
def test_watching_is_measured_against_a_router_that_nobody_watches(tmp_path: Path) -> None:
    found = results(tmp_path, "inspector")
    for source in ("netlink", "text"):
        if f"inspector/table/{source}/bare" in found:
            assert found[f"inspector/table/{source}/tracked"]["against"] == f"inspector/table/{source}/bare"
    assert found["inspector/events/rate"]["value"] > 0 and "inspector/events/lost" in found
    for what in ("gso", "frames"):
        assert found[f"inspector/throughput/{what}/packet"]["against"] == f"inspector/throughput/{what}/none"
    assert found["inspector/cpu/500/packet/read"]["value"] > 0
    assert found["inspector/memory/packet"]["value"] > 0
    assert "inspector/lossless/packet" in found
    for name in ("segment", "ack"):  # where there is BPF
        assert found.get(f"inspector/program/{name}", {"value": 40})["value"] > 20


def test_a_family_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "pathology")
    assert done.returncode == 2
    assert "no family pathology" in done.stderr and "path" in done.stderr and "Traceback" not in done.stderr
