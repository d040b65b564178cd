"""The lab's command line: refusals a person can act on, and a run that ends by itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netpolicy.lab import main, starter


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netpolicy.lab.main", *arguments],
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        env=starter.environment(),
    )


def test_a_configuration_that_cannot_be_read_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--config", "/nowhere/netpolicy"]) == 4
    assert "cannot read /nowhere/netpolicy" in capsys.readouterr().err


@pytest.mark.kernel
def test_it_ends_by_itself_after_the_seconds_given_and_prints_plain_lines() -> None:
    done = run("--seconds", "5")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    # Nothing that looks broken while the daemon starts.
    assert done.stdout.startswith("netpolicy  starting …\nnetpolicy  state NORMAL")
    assert not [word for word in ("silent", "timeout", " down ", "OUT OF STEP") if word in done.stdout]
    assert "connection desk http www v4: rule -, outbound direct, from A" in done.stdout
    assert "connection guest mail mail v4: rule guest_no_mail, outbound block, refused" in done.stdout
