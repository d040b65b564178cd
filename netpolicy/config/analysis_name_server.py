"""Rules by domain need a name server that tells: dnsmasq with nftset, or the inspector.

Says what the rules need; what this machine has is asked through a function that the caller
brings. Never starts a program itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.core.domain import KEYWORD, REGEX, parse_domain
from netpolicy.core.field import Field
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
    for rule, field in found:
        _check_patterns(ruleset, rule, field, places, findings)


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


def _check_patterns(ruleset: Ruleset, rule: Rule, field: Field, places: Places, findings: Findings) -> None:
    lists = {one.name: one for one in ruleset.lists}
    for text, place in places.values("rule", rule.name, "domain"):
        plain = text.strip().lstrip("!").strip()
        patterns = lists[plain[1:].strip()].domains if plain.startswith("@") else (parse_domain(plain),)
        hard = [one for one in patterns if one.kind in (KEYWORD, REGEX)]
        if hard:
            shown = repr(hard[0].text) if plain.startswith("@") else repr(plain)
            message = f"{shown} is no name: dnsmasq cannot tell which addresses are meant, only the inspector can"
            findings.info("NP442", place, message, "write the names themselves where they are known")
