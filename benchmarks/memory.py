"""What the daemon holds in memory once a configuration of N rules is in force.

A real netpolicyd in the router of a course, with a configuration file, a bus of its own and
the kernel's answer that all is in sync; compiled as a package is at its installation. Full
profile: with every optional package that is installed; light: the standard library alone.
Never measures a daemon that is still busy.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netpolicy
from benchmarks.course import Course
from benchmarks.measure import Family, Options, Ratio, Sample, Turns
from benchmarks.path_rules import ruleset
from netpolicy.bus.blocking import call
from netpolicy.bus.status import UbusError
from netpolicy.core.model import Ruleset

ROOT = Path(netpolicy.__file__).resolve().parents[1]
PATIENCE = 180.0  # seconds
PAUSE = 0.05
REST = 3.0  # by then the daemon has given back what it needed for the change only

# -S: without the site packages there is nothing but the standard library.
PROFILES = {"full": (), "light": ("-S",)}
SAID = "said"  # what the daemon writes
INSTALLED = "lib"
FIELDS = ("VmRSS", "VmHWM")


def memory(options: Options) -> Iterator[Turns]:
    """Resident set when all is quiet, and its highest point, in MB."""
    for profile, switches in PROFILES.items():
        daemons = {size: _Daemon(size, switches) for size in options.sizes}
        samples: dict[str, Sample] = {}
        for size, daemon in daemons.items():
            samples[f"memory/{profile}/{size}"] = daemon.resident
            samples[f"memory/{profile}/{size}/peak"] = daemon.peak
        first = f"memory/{profile}/{min(options.sizes)}"
        ratios = tuple(Ratio(name, name, first) for name in samples if name != first and not name.endswith("peak"))
        yield Turns("MB", samples, ratios, counts=tuple(samples))


FAMILIES: dict[str, Family] = {"memory": memory}


class _Daemon:
    """Started when first asked, ended when it was measured."""

    def __init__(self, size: int, switches: tuple[str, ...]) -> None:
        self._size, self._switches = size, switches
        self._found: dict[str, float] = {}

    def resident(self) -> float:
        """MB now."""
        return self._measured()["VmRSS"]

    def peak(self) -> float:
        """MB at most, so far."""
        return self._measured()["VmHWM"]

    def _measured(self) -> dict[str, float]:
        if not self._found:
            self._found = measured(self._size, self._switches)
        return self._found


def measured(size: int, switches: tuple[str, ...]) -> dict[str, float]:
    """Runs a daemon until its rules are in force; MB by the names of FIELDS. RuntimeError where it ends before."""
    course = Course()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        (place / "netpolicy").write_text(configuration(ruleset(size)), encoding="utf-8")
        _install(place / INSTALLED)
        process = _started(course, place, switches)
        try:
            _settled(process, place)
            time.sleep(REST)
            return _memory_of(process.pid)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            course.close()


def _started(course: Course, folder: Path, switches: tuple[str, ...]) -> subprocess.Popen[bytes]:
    command = [sys.executable, *switches, "-m", "netpolicy.daemon.main", "--config", str(folder / "netpolicy"),
               "--store-dir", str(folder / "store"), "--state-dir", str(folder / "state"),
               "--socket", str(folder / "bus")]  # fmt: skip
    with course.router.entered(), open(folder / SAID, "wb") as said:
        return subprocess.Popen(
            command,
            cwd=folder / INSTALLED,
            env={**os.environ, "PYTHONPATH": str(folder / INSTALLED)},
            stdout=said,
            stderr=said,
        )


def _install(folder: Path) -> None:
    """Compiled as sdk-build/scripts/netpolicy.postinst does: a process that compiles its sources itself holds more."""
    shutil.copytree(ROOT / "netpolicy", folder / "netpolicy", ignore=shutil.ignore_patterns("__pycache__"))
    for beside in ("files", "ebpf"):
        (folder / beside).symlink_to(ROOT / beside)
    compileall.compile_dir(folder, quiet=1, optimize=2)
    for made in folder.rglob("*.opt-2.pyc"):
        made.rename(made.with_name(made.name.replace(".opt-2.", ".")))


def _settled(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Another process cannot be awaited: it is asked again. It is settled when it says so twice and used no time."""
    until = time.monotonic() + PATIENCE
    quiet = -1
    while time.monotonic() < until:
        if process.poll() is not None:
            said = (folder / SAID).read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"netpolicyd ended with {process.returncode}: {said[-500:].strip()}")
        used = _ticks(process.pid)
        if _in_sync(str(folder / "bus")) and used == quiet:
            return
        quiet = used
        time.sleep(PAUSE * 4)
    raise RuntimeError(f"netpolicyd was not in sync within {PATIENCE:g} s")


def _in_sync(bus: str) -> bool:
    try:
        status: Any = call("netpolicy", "status", {}, timeout=5.0, path=bus)
    except (UbusError, OSError):
        return False
    return bool(status["kernel"]["in_sync"])


def _ticks(pid: int) -> int:
    """CPU time so far, coarse: answering a question does not show."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) // 4


def _memory_of(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {name: int(found[name].split()[0]) / 1_024 for name in FIELDS}


def configuration(rules: Ruleset) -> str:
    """The rules as a person or LuCI writes them to /etc/config."""
    lines = ["config netpolicy 'main'", "\toption enabled '1'", "\toption mode 'enforce'", ""]
    for outbound in rules.outbounds:
        lines += [f"config outbound '{outbound.name}'", f"\toption type '{outbound.type}'"]
        lines += [f"\toption interface '{outbound.interface}'", f"\toption gateway '{outbound.gateway}'", ""]
    for rule in rules.rules:
        lines += [f"config rule '{rule.name}'", f"\toption priority '{rule.priority}'"]
        lines += [f"\tlist {field.name} '{value}'" for field in rule.fields for value in field.values]
        lines += [f"\toption route '{rule.action.target}'", ""]
    return "\n".join(lines)
