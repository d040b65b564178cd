"""The entry point: one sentence for whoever starts it wrongly, and no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netpolicy.daemon.main import main
from tests.service.parts import CONFIG


def netpolicyd(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netpolicy.daemon.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_without_a_configuration_it_says_what_is_needed():
    done = netpolicyd()
    assert done.returncode == 1 and "--config is needed" in done.stderr and "Traceback" not in done.stderr


def test_a_state_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    done = netpolicyd("--config", str(tmp_path / "c"), "--state-dir", str(tmp_path / "file" / "x"))
    assert done.returncode == 1
    assert done.stderr.startswith("netpolicyd: cannot use ") and done.stderr.count("\n") == 1


def test_a_dry_run_decides_and_ends(tmp_path, capsys):
    (tmp_path / "c").write_text(CONFIG)
    assert main(["--config", str(tmp_path / "c"), "--dry-run", "--protocol", "tcp", "--port", "443"]) == 0
    assert "route wan_b" in capsys.readouterr().out


def test_help_ends_with_zero():
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
