"""What the doctor finds, as values: one finding has a code, how bad it is, what was seen, what to do.

Never looks at anything. Titles and cures come from the table of codes (doctor_codes.py); a check adds what it saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from netpolicy.observe.redact import redact
from netpolicy.service.doctor_codes import AREAS, CODES

NOT_RUNNING = "ND101"

OK, INFO, WARNING, ERROR = LEVELS = ("ok", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `command` is one line to paste, "" where there is none."""

    area: str
    level: str
    code: str
    title: str
    details: str = ""
    cure: str = ""
    command: str = ""

    def as_dict(self) -> dict[str, str]:
        """For doors."""
        return {
            "area": self.area, "level": self.level, "code": self.code, "title": self.title,
            "details": redact(self.details), "cure": self.cure, "command": self.command,
        }  # fmt: skip


def fine(code: str, details: str = "") -> Finding:
    """It was looked at, and is as it should be."""
    known = CODES[code]
    return Finding(known.area, OK, code, known.fine, details)


def found(code: str, level: str, details: str = "", command: str = "", cure: str = "") -> Finding:
    """It is not as it should be. `cure` where this case needs another one than the table has."""
    known = CODES[code]
    return Finding(known.area, level, code, known.wrong, details, cure or known.cure, command)


def document(findings: Iterable[Finding]) -> dict[str, Any]:
    """The worst first, within a level in the order of the areas; and how many of each level, in all and by area.

    That nobody runs stands before everything: the rest was looked at without the daemon's knowledge.
    """
    kept = sorted(findings, key=_place)
    counts = {level: sum(1 for one in kept if one.level == level) for level in LEVELS}
    worst = {one.area: one.level for one in sorted(kept, key=lambda one: LEVELS.index(one.level))}
    areas = {area: worst[area] for area in AREAS if area in worst}
    return {"findings": [one.as_dict() for one in kept], "summary": {**counts, "areas": areas}}


def _place(one: Finding) -> tuple[bool, int, int, str]:
    return one.code != NOT_RUNNING or one.level == OK, -LEVELS.index(one.level), AREAS.index(one.area), one.code
