"""scripts/setup in a checkout of its own, with programs that fail at first: a network has its moments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .tree import ROOT

# Says what it was asked, and fails as often as the file beside it has letters.
FAILING = """#!/bin/sh
echo "$(basename "$0") $*" >>"{log}"
left="$(cat "{left}")"
[ -z "$left" ] || { printf '%s' "${left%x}" >"{left}"; exit 100; }
"""
# An interpreter that is recent enough and says which it is.
PYTHON = '#!/bin/sh\ncase "$*" in *pip*) exec "{pip}" "$@" ;; esac\necho 3.11\n'


class Machine:
    """Root on a machine with apt, where nothing of what setup looks for is installed."""

    def __init__(self, folder: Path, failures: int) -> None:
        self.log, left, tools = folder / "log", folder / "left", folder / "tools"
        for one in (tools, folder / "scripts", folder / ".venv/bin"):
            one.mkdir(parents=True)
        for name in ("basename", "cat", "cksum", "dirname", "sed", "sleep", "sort", "tr", "sh"):
            (tools / name).symlink_to(shutil.which(name) or name)
        left.write_text("x" * failures)
        failing = FAILING.replace("{log}", str(self.log)).replace("{left}", str(left))
        self._program(tools / "id", "#!/bin/sh\necho 0\n")
        self._program(tools / "apt-get", failing)
        self._program(tools / "pip", failing)
        self._program(folder / ".venv/bin/python", PYTHON.replace("{pip}", str(tools / "pip")))
        (folder / "pyproject.toml").write_text("")
        shutil.copy(ROOT / "scripts/setup", folder / "scripts/setup")
        # Not those of this machine either, wherever setup looks beside PATH.
        text = (folder / "scripts/setup").read_text().replace('PATH="$PATH:/usr/sbin:/sbin" ', "")
        (folder / "scripts/setup").write_text(text)
        self._script, self._path = folder / "scripts/setup", str(tools)

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def set_up(self) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": self._path, "NETPOLICY_PAUSE": "0", "HOME": os.environ.get("HOME", "/")}
        command = ["sh", str(self._script), "run"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def asked(self) -> list[str]:
        return [" ".join(line.split()[:2]) for line in self.log.read_text().splitlines()]


def test_what_fails_three_times_is_tried_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 3)
    done = machine.set_up()
    assert done.returncode == 0, done.stderr
    assert machine.asked() == ["apt-get update"] * 4 + ["apt-get install", "pip -m"]
    assert done.stderr.count("did not succeed, trying again") == 3
    assert (tmp_path / ".venv/netpolicy-installed").exists()


@pytest.mark.parametrize("failures", [4, 1000])
def test_what_goes_on_failing_ends_it(tmp_path: Path, failures: int) -> None:
    machine = Machine(tmp_path, failures)
    assert machine.set_up().returncode == 100
    assert machine.asked() == ["apt-get update"] * 4
