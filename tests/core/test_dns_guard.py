"""What a setting refuses is refused before every rule, and nothing else is."""

from __future__ import annotations

import pytest

from netpolicy.core import dns_guard
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule, Ruleset, Settings

EVERYTHING = Rule("all", 2147483647, (parse_field("proto", ("tcp", "udp")),), Action("route", "direct"))
GUARDED = Ruleset((EVERYTHING,), settings=Settings(dns_guard=True))


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"proto": "tcp", "port": "853", "dest_addr": "203.0.113.9"}, "dns_guard.tls"),
        ({"proto": "udp", "port": "853", "dest_addr": "2001:db8::9"}, "dns_guard.tls"),
        ({"proto": "tcp", "port": "443", "dest_addr": "8.8.8.8"}, "dns_guard.https"),
        ({"proto": "udp", "port": "443", "dest_addr": "2606:4700:4700::1111"}, "dns_guard.https"),
        ({"proto": "tcp", "port": "443", "domain": "mozilla.cloudflare-dns.com"}, "dns_guard.names"),
        ({"proto": "tcp", "port": "443", "domain": "www.cloudflare.com", "dest_addr": "203.0.113.9"}, "all"),
        ({"proto": "udp", "port": "53", "dest_addr": "8.8.8.8"}, "all"),
        ({"proto": "tcp", "port": "853", "dest_addr": "203.0.113.9", "src_iface": "lo"}, "all"),
    ],
)
def test_names_asked_elsewhere_in_secret_are_refused_before_any_rule(facts: dict[str, str], rule: str) -> None:
    decision = decide(GUARDED, parse_facts(facts))
    assert decision.rule is not None and decision.rule.name == rule
    assert decision.outbound == ("direct" if rule == "all" else "block")


def test_without_the_setting_no_rule_is_added_and_with_it_each_stands_once() -> None:
    assert Ruleset((EVERYTHING,)).deciding == (EVERYTHING,)
    assert [rule.name for rule in GUARDED.deciding] == [rule.name for rule in dns_guard.rules()] + ["all"]
    again = Ruleset(GUARDED.deciding, settings=GUARDED.settings)
    assert again.deciding == again.ranked == GUARDED.deciding
