"""The doctor about memory: what is free, and what a change needs for some seconds.

Reads /proc/meminfo. The need is estimated: a second process reads the configuration, and nft loads the table.
"""

from __future__ import annotations

from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import System

MEMINFO = "/proc/meminfo"

# The process that reads (it shares the rest with the daemon), nft, and a shell of the guard with its tools.
BASE = 16 << 20
# Of a rule, in both of them together.
PER_RULE = 4 << 10


def examine(system: System, given: Given) -> list[Finding]:
    """ND901."""
    return [enough(available(system.read(MEMINFO) or ""), need(len(given.ruleset.rules)))]


def available(meminfo: str) -> int | None:
    """MemAvailable in bytes; None where the kernel does not say."""
    for line in meminfo.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "MemAvailable:" and words[1].isdecimal():
            return int(words[1]) * 1024
    return None


def need(rules: int) -> int:
    """What one change of so many rules takes for some seconds, in bytes, about."""
    return BASE + rules * PER_RULE


def enough(free: int | None, needed: int) -> Finding:
    """ND901."""
    if free is None:
        return found("ND901", INFO, f"{MEMINFO} does not say how much is available")
    told = f"{free >> 20} MiB are available, a change needs about {needed >> 20}"
    if free >= 2 * needed:
        return fine("ND901", told)
    return found("ND901", ERROR if free < needed else WARNING, told, "free; logread | grep -i oom")
