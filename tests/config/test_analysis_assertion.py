"""A name in an assertion that is almost one of the configuration's is pointed at; others are believed."""

from __future__ import annotations

import pytest

from netpolicy.config.diagnostic import Diagnostic

from .linted import LINES, findings, marked, rule

KNOWN = (
    LINES + "outbound dsl interface dsl_line\nlist office 192.0.2.0/24\n" + rule("guests", "match src_iface=br-guest")
)


def said(assertion: str) -> list[Diagnostic]:
    return findings(f"assert {assertion}\n{KNOWN}", "NP466")


@pytest.mark.parametrize(
    ("assertion", "meant"),
    [
        ("br-gest cannot br-lan", "br-guest"),
        ("br-lan can dsl_lin tcp/443", "dsl_line"),
        ("192.168.1.0/24 can @offise", "@office"),
    ],
)
def test_a_name_that_is_almost_another_is_told_with_the_other(assertion: str, meant: str) -> None:
    found = said(assertion)
    assert [(item.severity, item.hint) for item in found] == [("info", f"did you mean {meant!r}?")]
    assert assertion in marked(f"assert {assertion}\n{KNOWN}", found[0])


@pytest.mark.parametrize(
    "assertion",
    [
        "br-guest cannot br-lan",
        "lan can wan",
        "br-guest2 cannot lan",
        "kitchen can 192.0.2.7 tcp/443",
        "lo can @office",
    ],
)
def test_what_is_right_or_like_nothing_is_believed(assertion: str) -> None:
    assert said(assertion) == []
