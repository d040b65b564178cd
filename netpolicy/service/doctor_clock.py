"""The doctor about the clock and the time zone, by which schedules open and close.

The checks are functions of facts. A router without a battery begins at its build's date, or in 1970.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import System

# Nothing of ours ran before 2026-01-01, nor will it 30 years later without a new version.
EARLIEST, LATEST = 1767225600, 1767225600 + 30 * 365 * 86400
A_DAY = 86400

ZONES = ("/etc/localtime", "/etc/TZ")


@dataclass(frozen=True, slots=True)
class Facts:
    """Seconds since the epoch; `has_zone` whether anything says where we are."""

    now: float
    written: float  # when this program was put here
    has_zone: bool
    schedules: int


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = gather(system, given)
    return [clock(facts), zone(facts)]


def gather(system: System, given: Given) -> Facts:
    """Looks at the clock and at files."""
    has_zone = bool(os.environ.get("TZ")) or any((system.read(path) or "").strip() for path in ZONES)
    return Facts(system.now(), system.changed_at(__file__), has_zone, len(given.ruleset.schedules))


def clock(facts: Facts) -> Finding:
    """ND601."""
    # Files carry the time of their build; one that was copied by a clock that is fast must not count for ever.
    built = facts.written - A_DAY if facts.written < LATEST else 0
    earliest = max(EARLIEST, built)
    if earliest <= facts.now < LATEST:
        return fine("ND601")
    level = ERROR if facts.schedules else WARNING
    told = "it is before this program was built" if facts.now < earliest else "it is decades ahead"
    return found("ND601", level, told + _who(facts), "date")


def zone(facts: Facts) -> Finding:
    """ND602."""
    if facts.has_zone:
        return fine("ND602")
    return found("ND602", WARNING if facts.schedules else INFO, f"neither TZ nor {' nor '.join(ZONES)}{_who(facts)}")


def _who(facts: Facts) -> str:
    return f"; {facts.schedules} schedules depend on it" if facts.schedules else "; no schedule depends on it now"
