"""Rules by domain need a name server that tells: dnsmasq with nftset, or the inspector.

Says what the rules need; what this machine has is asked through a function that the caller
brings. Never starts a program itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.core.domain import KEYWORD, REGEX, DomainPattern, DomainSet, parse_domain
from netpolicy.core.model import Rule, Ruleset


class Dnsmasq(NamedTuple):
    """The dnsmasq of a machine."""

    version: str
    has_nftset: bool


def check_domains(
    ruleset: Ruleset, places: Places, findings: Findings, dnsmasq: Callable[[], Dnsmasq | None] | None = None
) -> None:
    """Report what rules by domain need and what they can never have from dnsmasq."""
    found = [(rule, field) for rule in ruleset.rules for field in rule.fields if field.name == "domain"]
    if not found:
        return
    _check_installed(found[0][0], len(found), places, findings, dnsmasq() if dnsmasq is not None else None)
    hard = {one.name: _hard_of(one.names) for one in ruleset.lists}
    for rule, _ in found:
        _check_patterns(hard, rule, places, findings)


def _check_installed(rule: Rule, count: int, places: Places, findings: Findings, installed: Dnsmasq | None) -> None:
    place = places.field(rule, "domain")
    rules = "the rule matches" if count == 1 else f"{count} rules match"
    text = f"{rules} by domain: addresses become known by dnsmasq with nftset (dnsmasq-full), or by the inspector"
    hint = "on OpenWrt: replace the package dnsmasq by dnsmasq-full"
    if installed is not None and not installed.has_nftset:
        text = f"{rules} by domain, and the dnsmasq {installed.version} of this machine was built without nftset"
        findings.warning("NP441", place, text, hint)
    else:  # said on a machine that has it too: the configuration may be for another one
        findings.info("NP440", place, text, hint)


def _hard_of(names: DomainSet) -> str:
    return next((one.text for part in names.parts() for one in part.others), "")


def _hard(patterns: tuple[DomainPattern, ...]) -> str:
    """The first pattern that is not a name, or ""."""
    return next((one.text for one in patterns if one.kind in (KEYWORD, REGEX)), "")


def _check_patterns(lists: dict[str, str], rule: Rule, places: Places, findings: Findings) -> None:
    for text, place in places.values("rule", rule.name, "domain"):
        plain = text.strip().lstrip("!").strip()
        hard = lists[plain[1:].strip()] if plain.startswith("@") else _hard((parse_domain(plain),))
        if hard:
            message = f"{hard!r} is no name: dnsmasq cannot tell which addresses are meant, only the inspector can"
            findings.info("NP442", place, message, "write the names themselves where they are known")
