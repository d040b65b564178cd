"""A command in a node of the running lab: the router's by default, with the lab's daemon and configuration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netpolicy.lab import main, running, shell, starter

Enter = Callable[..., "subprocess.CompletedProcess[str]"]
# The tool as an installation has it, which a checkout that runs tests need not have.
TOOL = (sys.executable, "-m", "netpolicy.cli.main")


@pytest.fixture
def no_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(running.PLACE, str(tmp_path / "lab"))


@pytest.mark.usefixtures("no_lab")
def test_without_a_lab_it_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["shell"]) == 4
    assert "no lab of yours is running" in (said := capsys.readouterr().err) and "make run" in said


@pytest.mark.usefixtures("no_lab")
def test_an_unknown_node_is_refused_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        shell.main(["nowhere", "--", "desk"])
    assert ended.value.code == 64
    assert "'desk', 'laptop', 'guest', 'router'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def enter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enter]:
    """Runs `netpolicy lab shell` beside a lab in which the daemon answers."""
    place = tmp_path_factory.mktemp("shell") / "lab"
    environment = {**starter.environment(), running.PLACE: str(place)}
    lab = subprocess.Popen(
        [sys.executable, "-m", "netpolicy.lab.main", "--seconds", "600"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert lab.stdout is not None
    assert any("kernel in step" in line for line in lab.stdout)  # it ends by itself where there is none

    def run(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "netpolicy.lab.main", "shell", *words],
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )

    try:
        yield run
        lab.communicate("quit\n", timeout=60)
        assert not place.exists()
    finally:
        lab.kill()


@pytest.mark.kernel
def test_a_change_of_the_rules_is_planned_applied_and_confirmed_there(enter: Enter) -> None:
    assert enter("--", *TOOL, "plan").stdout == "nothing to do\n"
    edit = "/config rule .video./,/option route/s/wan_b/wan_a/"
    assert enter("--", "sed", "-i", edit, "netpolicy").returncode == 0
    planned = enter("--", *TOOL, "plan")
    assert (planned.returncode, planned.stdout.splitlines()[0]) == (2, "~ rule video: action route wan_b → route wan_a")
    applied = enter("--", *TOOL, "apply", "--console")
    token = applied.stdout.partition("netpolicy confirm ")[2].split()[0]
    assert enter("--", *TOOL, "confirm", "--console", token).returncode == 0
    assert enter("--", *TOOL, "plan").stdout == "nothing to do\n"


@pytest.mark.kernel
def test_another_node_is_entered_by_its_name(enter: Enter) -> None:
    assert "192.168.1.11" in enter("desk", "--", "ip", "-4", "address").stdout


@pytest.mark.kernel
def test_the_code_of_the_command_comes_back(enter: Enter) -> None:
    assert enter("--", "sh", "-c", "exit 7").returncode == 7
    assert enter("--", "no-such-program").returncode == 127


@pytest.mark.kernel
def test_without_a_command_it_is_a_shell_in_the_folder_of_the_configuration(enter: Enter) -> None:
    done = enter(typed="pwd; ls netpolicy; echo $NETPOLICY_UBUS_SOCKET\n")
    assert done.stdout.split() == ["/run/lab", "netpolicy", "/run/ubus/ubus.sock"]
