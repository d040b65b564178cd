"""The closer look as a whole: on anything that loads, in bounded time, with places that exist."""

from __future__ import annotations

import time
from random import Random

from netpolicy.config.analysis import analyse
from netpolicy.config.assemble import assemble
from netpolicy.config.diagnostic import ERROR, Findings
from netpolicy.config.linter import lint_text
from netpolicy.config.print_uci import to_uci
from netpolicy.config.source import SourceFile
from netpolicy.config.unload import to_sections

from .linted import codes
from .rulesets import random_ruleset, random_sections


def test_anything_that_loads_can_be_looked_at() -> None:
    for seed in range(300):
        loaded = assemble((SourceFile("f", random_sections(Random(seed)), ()),), keeps_sources=True)
        found = Findings()
        analyse(loaded, found)
        assert not found.has_errors


def test_every_place_is_in_the_text() -> None:
    for seed in range(100):
        text = to_uci(to_sections(random_ruleset(Random(seed))))
        lines = text.splitlines()
        for item in lint_text(text, "f"):
            assert item.severity != ERROR
            if item.line:
                assert item.column - 1 + item.length <= len(lines[item.line - 1])


def test_a_sound_configuration_has_no_findings() -> None:
    assert (
        codes("""
netpolicy main:
  enabled 1
  primary wan
outbound wan interface wan
outbound work interface wg0
rule office:
  priority 50
  match dest_addr=203.0.113.0/24,2001:db8:40::/48
  action route=work on_fail=block
""")
        == []
    )


def test_ten_thousand_rules_are_looked_at_in_seconds() -> None:
    rules = [f"rule r{at}:\n  match port={at} protocol=tcp\n  action block\n" for at in range(10_000)]
    text = "netpolicy main:\n  enabled 1\n" + "".join(rules)
    start = time.process_time()
    found = lint_text(text, "f", "dsl")
    assert time.process_time() - start < 60  # reading included; some seconds on any machine of today
    assert not [item for item in found if item.severity == ERROR]
