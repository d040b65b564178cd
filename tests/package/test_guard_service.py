"""How a router runs the guard: before firewall and network, for ever, and also when it has nothing good to say."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "files/etc/init.d/netpolicy-guard"
UNITS = ROOT / "files/usr/lib/systemd/system"

# Names and calling order as in OpenWrt's rc.common and procd.sh.
STAND_INS = """
note() { echo "$*"; }
for name in procd_open_instance procd_close_instance procd_set_param logger; do
	eval "$name() { note $name \\"\\$@\\"; }"
done
config_load() { :; }
config_get() { eval "$1=\\$CFG_$3"; }
config_get_bool() { eval "$1=\\$CFG_$3"; }
start() { start_service "$@"; }
"""


@pytest.fixture(params=[["dash"], ["busybox", "ash"]], ids=" ".join)
def shell(request: pytest.FixtureRequest) -> list[str]:
    if shutil.which(request.param[0]) is None:
        pytest.skip(f"needs {request.param[0]}")
    return request.param


def calls(
    shell: list[str], folder: Path, action: str, status: int = 0, is_enabled: bool = True, on: str = "1"
) -> list[str]:
    guard = folder / "guard"
    guard.write_text(f'#!/bin/sh\necho "guard $*"\nexit {status}\n')
    guard.chmod(0o755)
    (folder / "RELEASE").write_text("1.2.3-r4\n")
    service = folder / "netpolicy"
    service.write_text(f'#!/bin/sh\n[ "$1" = enabled ] && exit {int(not is_enabled)}\n')
    service.chmod(0o755)
    main = f"CFG_TYPE={'netpolicy' if on else ''} CFG_enabled={on}"
    own = f"PROG={guard} RELEASE_FILE={folder}/RELEASE SERVICE={service} {main}"
    text = f"{STAND_INS}\n. {SCRIPT}\n{own}\n{action}\n"
    return subprocess.run([*shell, "-c", text], capture_output=True, text=True, check=True).stdout.splitlines()


def test_it_comes_before_firewall_and_network() -> None:
    assert "\nSTART=18\n" in SCRIPT.read_text()


def test_at_boot_it_recovers_first_and_then_waits(shell: list[str], tmp_path: Path) -> None:
    said = calls(shell, tmp_path, "boot")
    assert said[:2] == ["guard recover", "guard lock"]
    assert f"procd_set_param command {tmp_path}/guard --release 1.2.3-r4 serve" in said
    assert said.index("procd_open_instance guard") < said.index("procd_close_instance")


def test_it_is_started_again_for_ever(shell: list[str], tmp_path: Path) -> None:
    (respawn,) = [line for line in calls(shell, tmp_path, "start") if "respawn" in line]
    assert respawn.split()[-2:] == ["1", "0"]


@pytest.mark.parametrize("status", [1, 4, 5])
def test_whatever_it_finds_at_boot_the_guard_is_started(shell: list[str], tmp_path: Path, status: int) -> None:
    said = calls(shell, tmp_path, "boot", status)
    assert f"status {status}" in said[1] and said[1].startswith("logger")
    assert said[2] == "guard lock" and f"status {status}" in said[3]
    assert "procd_close_instance" in said


@pytest.mark.parametrize(("is_enabled", "on"), [(False, "1"), (True, "0")])
def test_nothing_is_closed_where_no_daemon_will_come_that_opens_it(
    shell: list[str], tmp_path: Path, is_enabled: bool, on: str
) -> None:
    said = calls(shell, tmp_path, "boot", is_enabled=is_enabled, on=on)
    assert said[0] == "guard recover" and "guard lock" not in said and not [one for one in said if "status" in one]


def test_a_configuration_without_its_main_section_is_no_order_to_switch_off(shell: list[str], tmp_path: Path) -> None:
    assert "guard lock" in calls(shell, tmp_path, "boot", on="")


def test_a_start_in_between_recovers_nothing(shell: list[str], tmp_path: Path) -> None:
    assert "guard recover" not in calls(shell, tmp_path, "start")


@pytest.mark.parametrize("name", ["netpolicy-guard", "netpolicy-guard-recover"])
def test_units_run_commands_that_the_guard_has(name: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNITS / f"{name}.service")
    for line in re.findall(r"^ExecStart=(.*)$", (UNITS / f"{name}.service").read_text(), re.M):
        program, command = line.split()
        assert program.removeprefix("-") == "/usr/lib/netpolicy/guard"
        assert re.search(rf"^{command}\) ", (ROOT / "files/usr/lib/netpolicy/guard").read_text(), re.M)
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_unit_of_the_boot_comes_before_the_network() -> None:
    text = (UNITS / "netpolicy-guard-recover.service").read_text()
    assert re.search(r"^Before=network-pre.target ", text, re.M) and "DefaultDependencies=no" in text


def test_what_cannot_be_recovered_does_not_leave_the_boot_open() -> None:
    # systemd runs no further command of a unit after one that failed.
    found = re.findall(r"^ExecStart=(.*)$", (UNITS / "netpolicy-guard-recover.service").read_text(), re.M)
    assert found == ["-/usr/lib/netpolicy/guard recover", "/usr/lib/netpolicy/guard lock"]


def test_the_store_survives_an_upgrade_of_the_system() -> None:
    assert (ROOT / "files/lib/upgrade/keep.d/netpolicy").read_text() == "/etc/netpolicy/\n"
