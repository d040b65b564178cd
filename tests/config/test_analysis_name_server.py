"""What rules by domain need from a name server."""

from __future__ import annotations

from netpolicy.config.analysis_name_server import Dnsmasq, check_domains
from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.config.load import load_text

from .linted import rule


def said(text: str, dnsmasq: Dnsmasq | None = None, usual: bool = True) -> list[tuple[str, str]]:
    loaded = load_text(text, "rules.np", "dsl", keeps_sources=True)
    found = Findings()
    check_domains(loaded.ruleset, Places(loaded), found, lambda: dnsmasq)
    return [(item.code, item.severity) for item in found.all if usual or item.code != "NP440"]


BY_NAME = rule("a", "match domain=a.example") + rule("b", "match domain=b.example")


def test_rules_by_domain_say_once_what_they_need() -> None:
    assert said(BY_NAME) == [("NP440", "info")]


def test_a_dnsmasq_without_nftset_is_a_warning_and_a_full_one_is_fine() -> None:
    assert said(BY_NAME, Dnsmasq("2.89", False)) == [("NP441", "warning")]
    assert said(BY_NAME, Dnsmasq("2.90", True)) == [("NP440", "info")]


def test_keywords_and_expressions_are_no_names() -> None:
    full = Dnsmasq("2.90", True)
    assert said(rule("a", "match domain=keyword:ads"), full, False) == [("NP442", "info")]
    assert said(rule("a", 'match domain="regex:^ads[0-9]"'), full, False) == [("NP442", "info")]
    assert said("list ads a.example keyword:ads\n" + rule("a", "match domain=@ads"), full, False) == [("NP442", "info")]
    assert said(rule("a", "match domain==a.example,*.b.example"), full, False) == []


def test_nobody_is_asked_without_a_rule_by_domain() -> None:
    loaded = load_text(rule("a", "match port=25"), "rules.np", "dsl", keeps_sources=True)

    def never() -> Dnsmasq | None:
        raise AssertionError

    check_domains(loaded.ruleset, Places(loaded), Findings(), never)
