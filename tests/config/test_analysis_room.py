"""What is more than there is room for is said, with its number, and at the first that is too much."""

from __future__ import annotations

from netpolicy.config.analysis import analyse
from netpolicy.config.analysis_room import FEW
from netpolicy.config.diagnostic import Diagnostic, Findings
from netpolicy.config.load import load_text
from netpolicy.config.spelling import DSL

LINES = "".join(f"outbound l{number} interface wan{number}\n" for number in range(14))


def said(code: str, text: str) -> list[Diagnostic]:
    loaded = load_text(text, "r.np", DSL, keeps_sources=True)
    assert not loaded.skipped, [item.message for item in loaded.diagnostics]
    found = Findings()
    analyse(loaded, found)
    return [item for item in found.all if item.code == code]


def throttled(count: int) -> str:
    rules = [f"\nrule r{at}:\n  match port={at + 1}\n  action route=l{at} throttle=slow\n" for at in range(count)]
    return LINES + "\nthrottle slow down=1mbit\n" + "".join(rules)


def test_pairs_of_a_line_and_a_profile_count_like_lines() -> None:
    assert said("NP468", throttled(14)) == []
    (found,) = said("NP468", throttled(14) + "\nrule more:\n  match port=99\n  action throttle=slow\n")
    assert "14 outbounds and 15 pairs" in found.message and found.message.endswith("0x77000000 numbers 28")
    (found,) = said("NP468", "netpolicy:\n  fwmark_mask 0x71000000\n\n" + throttled(0))
    assert found.message.startswith("14 outbounds need a class each") and found.line == 2


def asking(count: int) -> str:
    return "".join(f"rule r{at}:\n  match domain=n{at}.example\n  action block\n\n" for at in range(count))


def test_different_questions_for_names_are_counted_and_those_that_ask_alike_are_one() -> None:
    again = "".join(f"rule s{at}:\n  match domain=n0.example port={at + 1}\n  action block\n\n" for at in range(9))
    assert said("NP469", asking(FEW) + again) == []
    (found,) = said("NP469", asking(FEW + 1))
    assert found.message.startswith(f"rules ask for {FEW + 1} different") and found.rule in ("", f"r{FEW}")
