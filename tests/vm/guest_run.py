"""Boots a machine that the inspector is tried on, lets it do its checks, and gives what they found.

The machine ends by itself; one that does not is killed. Judges nothing.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.vm import guest_ramdisk
from tests.vm.guests import Guest

# An emulated processor on a busy machine; on an idle one it takes a quarter.
SECONDS = 1200.0
MEMORY = "640M"
KERNEL_WORDS = "quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on net.ifnames=0"
MARK = b"RIG {"

# The machine's clock counts its instructions, one a nanosecond, and jumps where it has nothing to do: what takes
# 40 ms there takes 40 ms of its clock, however busy this machine is, and nothing there is ever too late.
OWN_TIME = ("-icount", "shift=0,sleep=off")
# This machine's, busy as it is: what sleeps executes nothing, and a clock that counts would stand still then.
REAL_TIME: tuple[str, ...] = ()


class GuestError(AssertionError):
    """The machine did not get to its end, or a check broke; the text has its console or the check's own words."""


class Found:
    """What the checks of one boot found, by their names."""

    def __init__(self, checks: dict[str, dict[str, Any]], console: str, seconds: float) -> None:
        self._checks = checks
        self._console = console
        self.seconds = seconds

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Raises GuestError for a check that broke, or was never reached."""
        found = self._checks.get(name)
        if found is None:
            raise GuestError(f"{name} was not reached:\n{self._console}")
        if "error" in found:
            raise GuestError(f"{name} broke in the machine:\n{found['error']}\n{found.get('log', '')}")
        return found


def boot(guest: Guest, folder: Path, checks: tuple[str, ...], clock: tuple[str, ...] = OWN_TIME) -> Found:
    """On, the checks in their order, off."""
    ramdisk = guest_ramdisk.build(guest)
    words = [
        guest.qemu, *guest.words, "-accel", "tcg", *clock, "-m", MEMORY, "-smp", "1", "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(guest.kernel), "-initrd", str(ramdisk),
        "-append", f"console={guest.console} {KERNEL_WORDS} {guest.kernel_words} checks={','.join(checks)}",
        "-chardev", f"file,id=console,path={folder / guest.name}",
    ]  # fmt: skip
    begun = time.monotonic()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
    console = (folder / guest.name).read_bytes() if (folder / guest.name).exists() else b""
    return Found(told(console), _end(console, errors), time.monotonic() - begun)


def told(console: bytes) -> dict[str, dict[str, Any]]:
    """What the machine said, by check."""
    found: dict[str, dict[str, Any]] = {}
    for line in console.splitlines():
        if MARK in line:
            one = json.loads(line[line.index(MARK) + len(MARK) - 1 :])
            found[one["check"]] = one
    return found


def _end(console: bytes, errors: bytes) -> str:
    return (console[-4000:] + errors[-1000:]).decode(errors="replace")
