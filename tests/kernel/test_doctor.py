"""The doctor in the lab: a router that is well, the same one broken step by step, and its bundle."""

from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from netpolicy.lab.bench import Lab
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

ROOT = Path(__file__).resolve().parents[2]
CONFIG = (ROOT / "examples" / "lab" / "netpolicy").read_text(encoding="utf-8")


def doctor(lab: Lab, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The tool on the router: how it ended, and its findings by code, the worst of each."""
    argv = [sys.executable, "-m", "netpolicy.cli.main", "doctor", "--json", *words]
    done = lab.run("router", argv, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout, done.stderr
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {one["code"]: one for one in reversed(findings)}


def test_a_router_that_is_broken_step_by_step(lab: Lab, tmp_path: Path) -> None:
    lab.start_daemon(CONFIG)
    lab.wait_for(lambda: lab.call("status")["confirmed"], 30, "the configuration is kept")  # in the middle it is half
    _, well = doctor(lab)
    for code in ("ND101", "ND102", "ND103", "ND105", "ND106", "ND201", "ND203", "ND205", "ND208", "ND211", "ND213",
                 "ND501", "ND505", "ND703", "ND704", "ND801", "ND802", "ND805", "ND951"):  # fmt: skip
        assert well[code]["level"] == "ok", well[code]

    lab.run("router", ["ip", "rule", "del", "priority", "32767"])
    lab.run("router", ["nft", "table inet mad { chain out { type filter hook output priority 9; meta mark set 1; }; }"])
    lab.run("router", ["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    code, ill = doctor(lab)
    assert code == 1
    assert (ill["ND213"]["level"], ill["ND505"]["level"], ill["ND211"]["level"]) == ("error", "warning", "warning")
    for code_ in ("ND213", "ND211"):
        lab.run("router", ill[code_]["command"].split())
    lab.run("router", ["nft", "delete", "table", "inet", "mad"])
    _, again = doctor(lab)
    assert {again[one]["level"] for one in ("ND213", "ND505", "ND211")} == {"ok"}

    bundle = tmp_path / "bundle.tar.gz"
    doctor(lab, "--bundle", str(bundle), "--anonymous")
    with tarfile.open(bundle) as archive:
        texts = {one.name: archive.extractfile(one) for one in archive.getmembers()}
        table = texts["netpolicy-doctor/nft-netpolicy.txt"]
        status = texts["netpolicy-doctor/status.json"]
        assert table and b"np_schema" in table.read()
        assert status and json.load(status)["kernel"]["in_sync"] is True

    assert lab.stop_daemon() == 0
    _, alone = doctor(lab)
    assert alone["ND101"]["level"] != "ok" and alone["ND106"]["level"] == "ok"
