"""Whether there is room for what the rules ask of the kernel: class numbers, and sets of learned addresses.

Counts as the service does when it gives the numbers; never gives one. Limits: core/pairs.py, and experience.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.core.field import LEARNED_FIELDS
from netpolicy.core.model import Rule, Ruleset
from netpolicy.core.pairs import capacity, needs_class

# Two rules of nft for each, which the first packet of every connection asks.
FEW = 64


def check_room(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report what is too much for the marks, and what is much for first packets."""
    _check_classes(ruleset, places, findings)
    _check_names(ruleset, places, findings)


def _check_classes(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    wanted, room = needs_class(ruleset), capacity(ruleset.settings.fwmark_mask)
    if len(wanted) <= room:
        return
    lines = sum("/" not in name for name in wanted)
    pairs = f" and {len(wanted) - lines} pairs of one with a throttle profile" if lines < len(wanted) else ""
    text = f"{lines} outbounds{pairs} need a class each, and the mask {ruleset.settings.fwmark_mask:#x} numbers {room}"
    hint = "remove some, let rules share a profile (per all), or set fwmark_mask to more bits"
    findings.warning("NP468", places.option("netpolicy", "main", "fwmark_mask"), text, hint)


def _check_names(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """At the first rule beyond the number."""
    seen: dict[tuple[str, ...], Rule] = {}
    for rule in ruleset.rules:
        for field in rule.fields if rule.enabled else ():
            if field.name in LEARNED_FIELDS:
                seen.setdefault((field.name, *field.values), rule)
    if len(seen) > FEW:
        text = f"rules ask for {len(seen)} different sets of names, and each first packet is looked up in all"
        hint = "join rules that lead to the same, or put their names into a list: @name is one question"
        findings.info("NP469", places.section("rule", list(seen.values())[FEW].name), text, hint)
