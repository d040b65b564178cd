"""What the generator writes, carried out: a word through every kind of node, and what balancers choose."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .real_xray import isolated, needs_xray

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.kernel


def run(what: str, folder: Path) -> dict[str, object]:
    needs_xray()
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificates")
    command = [*isolated(), sys.executable, "-m", "tests.xray.on_loopback", what, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_word_goes_through_every_kind_of_node(tmp_path: Path) -> None:
    found = run("pairs", tmp_path)
    assert len(found) == 16
    assert {name: what for name, what in found.items() if what != "through"} == {}


def test_balancers_choose_what_their_names_say(tmp_path: Path) -> None:
    """`dead` stands first, then `slow`, then `fast`: each chooses differently, and none the dead one."""
    found = run("balancers", tmp_path)
    assert found["best_ping"] == ["fast"] * 4
    assert sorted(found["load_balance"]) == ["fast", "fast", "slow", "slow"]  # type: ignore[call-overload]
    assert found["fallback"] == ["slow"] * 4
