"""The doctor about dnsmasq: whether it can fill nft sets, which rules with names need.

The checks are functions of facts; `gather` asks `dnsmasq --version` once.
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolicy.core.field import LEARNED_FIELDS
from netpolicy.core.model import Ruleset
from netpolicy.service.doctor_finding import INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import MISSING, Ran, System


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen; `needs` names a rule that matches names, "" where none does."""

    version: Ran
    needs: str


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = Facts(system.run("dnsmasq", "--version"), rule_with_names(given.ruleset))
    return [present(facts), *nftset(facts)]


def rule_with_names(ruleset: Ruleset) -> str:
    """The first rule in use that matches names."""
    for rule in ruleset.rules:
        if rule.enabled and any(field.name in LEARNED_FIELDS for field in rule.fields):
            return rule.name
    return ""


def present(facts: Facts) -> Finding:
    """ND401."""
    if facts.version.status != MISSING:
        return fine("ND401", " ".join(facts.version.out.split()[:3]))
    return _needed("ND401", facts)


def nftset(facts: Facts) -> list[Finding]:
    """ND402; nothing without dnsmasq."""
    if facts.version.status == MISSING:
        return []
    # "no-nftset" is the word of one that was built without.
    return [fine("ND402") if " nftset " in f"{facts.version.out} ".replace("\n", " ") else _needed("ND402", facts)]


def _needed(code: str, facts: Facts) -> Finding:
    if facts.needs:
        return found(code, WARNING, f"rule {facts.needs} matches names")
    return found(code, INFO, "no rule needs it now")
