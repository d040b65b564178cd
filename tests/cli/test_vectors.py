"""Every `cli` vector: the predecessor's commands, what they print and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "vectors.json").read_text())["cli"]
MODULES = {"netpolicy": "netpolicy.cli.main", "netpolicyd": "netpolicy.daemon.main"}

FILES = {
    "ok.yaml": "rules:\n  - {name: a, priority: 1, match: {any: true}, action: {route: x}}\n",
    "bad.yaml": "rules:\n  - {name: a, priority: 1, match: {}, action: {route: x}}\n",
    "ok.dsl": "rule a:\n  match any\n  action route=x\n",
    "x.dsl": "rule a:\n  match any=true\n  action route=x log\n",
    "u.txt": "# a node\nsocks://192.0.2.7:1080#far\n",
}


@pytest.mark.parametrize("vector", [pytest.param(one, id=one["id"]) for one in VECTORS])
def test_every_cli_vector(vector: dict[str, Any], tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    program, *words = [word.strip("<>") for word in vector["argv"]]
    command = [sys.executable, "-m", MODULES[program], *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    expect = vector["expect"]
    assert done.returncode == expect["rc"], done.stderr
    if "stdout" in expect:
        assert done.stdout.strip() == expect["stdout"].replace("<", "").replace(">", "")
    if "stdout_json" in expect:
        document = json.loads(done.stdout)
        assert {key: document[key] for key in expect["stdout_json"]} == expect["stdout_json"]
        assert expect["error_contains"] in document["error"]
    if "stderr_contains" in expect:
        assert expect["stderr_contains"] in done.stderr
    assert "Traceback" not in done.stderr
