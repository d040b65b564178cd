"""What lint says of a text in the DSL, in short forms for tests."""

from __future__ import annotations

from netpolicy.config.diagnostic import Diagnostic
from netpolicy.config.linter import lint_text
from netpolicy.config.spelling import DSL

# Said of many rules that a test is not about.
USUAL = ("NP207", "NP219", "NP440", "NP463")


def findings(text: str, *codes: str) -> list[Diagnostic]:
    """The findings of these codes; without codes all but the usual ones. Never an error."""
    found = lint_text(text, "rules.np", DSL)
    assert [item.text() for item in found if item.severity == "error"] == []
    return [item for item in found if (item.code in codes if codes else item.code not in USUAL)]


def codes(text: str) -> list[str]:
    """The codes of all findings but the usual ones, sorted."""
    return sorted(item.code for item in findings(text))


def marked(text: str, item: Diagnostic) -> str:
    """The characters that the finding points at."""
    return text.splitlines()[item.line - 1][item.column - 1 :][: item.length]


def rule(name: str, *lines: str, action: str = "block") -> str:
    """One rule."""
    return "\n".join([f"rule {name}:", *[f"  {line}" for line in lines], f"  action {action}", ""])


LINES = """netpolicy main:
  enabled 1
outbound wan interface wan
outbound wg interface wg0
"""
