"""Marks, routing tables and ip rule priorities that other packages are known to use.

Knows only what those packages document; what really runs on a machine is found by the data plane
before it changes anything. Values in, findings out; owners: docs/operations.md.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.config.main import TABLES
from netpolicy.core.model import Settings

# Bits of the packet mark, and who uses them.
MARKS = (
    (0x00FF0000, "pbr, keen-pbr, podkop and Tailscale"),
    (0x00003F00, "mwan3"),
    (0x08000000, "dae"),
    (0x000000FF, "passwall2, homeproxy, luci-app-xray and v2rayA"),
)

# First and last routing table.
ROUTING_TABLES = (
    (1, 60, "mwan3"),
    (52, 52, "Tailscale"),
    (100, 100, "passwall2, homeproxy and v2rayA"),
    (105, 105, "podkop"),
    (150, 199, "keen-pbr"),
    (251, 251, "luci-app-xray"),
    (256, 299, "pbr"),
    (2023, 2023, "dae"),
    (51820, 51820, "wg-quick"),
)

# First and last ip rule priority.
PRIORITIES = (
    (105, 105, "podkop"),
    (1000, 3254, "mwan3"),
    (5200, 5299, "Tailscale"),
    (29000, 30000, "pbr"),
)


def check_neighbours(settings: Settings, places: Places, findings: Findings) -> None:
    """Report what overlaps with another package."""
    default = Settings()
    for bits, owner in MARKS:
        shared = settings.fwmark_mask & bits
        if shared:
            text = f"mark bits {shared:#x} are used by {owner}"
            hint = f"{default.fwmark_mask:#x} is free on most systems"
            place = places.option("netpolicy", "main", "fwmark_mask")
            findings.warning("NP450", place, text, hint, f"{default.fwmark_mask:#x}")
            break
    _check_range("table_base", settings.table_base, ROUTING_TABLES, "routing tables", places, findings)
    _check_range("rule_priority", settings.rule_priority, PRIORITIES, "ip rule priorities", places, findings)


def _check_range(
    option: str,
    first: int,
    known: tuple[tuple[int, int, str], ...],
    what: str,
    places: Places,
    findings: Findings,
) -> None:
    last = first + TABLES - 1
    for low, high, owner in known:
        if low <= last and first <= high:
            text = f"our {what} {first} to {last} meet those of {owner} ({low} to {high})"
            place = places.option("netpolicy", "main", option)
            findings.warning("NP451", place, text, "7000 is free on most systems", "7000")
            return
