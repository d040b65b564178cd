"""Describes the machine that measured: without it a time says nothing.

Never benchmarks anything. Data: /proc, /sys and the programs' own version words.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

import netpolicy

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe(rounds: int, sizes: tuple[int, ...]) -> dict[str, object]:
    """What a reader needs to judge the figures; null where this system does not say."""
    return {
        "netpolicy": netpolicy.__version__,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "governor": _read(GOVERNOR),
        "hypervisor": "hypervisor" in (_proc_line("/proc/cpuinfo", "flags") or ""),
        "memory_kb": _memory_kb(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "nft": _version(("nft", "--version")),
        "load": os.getloadavg()[0],
        "rounds": rounds,
        "sizes": list(sizes),
    }


def _cpu_model() -> str | None:
    return _proc_line("/proc/cpuinfo", "model name") or _proc_line("/proc/cpuinfo", "cpu model")


def _memory_kb() -> int | None:
    words = (_proc_line("/proc/meminfo", "MemTotal") or "").split()
    return int(words[0]) if words else None


def _proc_line(path: str, key: str) -> str | None:
    for line in (_read(Path(path)) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _version(command: tuple[str, ...]) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:
        return None
