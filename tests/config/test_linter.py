"""Lint as a whole: what loading finds comes first, and a file that cannot be used is not looked at closer."""

from __future__ import annotations

from pathlib import Path

from netpolicy.config.analysis_name_server import Dnsmasq
from netpolicy.config.linter import lint_file, lint_text

BY_NAME = "rule a:\n  match domain=a.example\n  action block\n"


def test_findings_of_loading_come_before_those_of_the_closer_look() -> None:
    text = BY_NAME + "rule b:\n  match port=99999\n  action block\n"
    found = [item.code for item in lint_text(text, "f", "dsl")]
    assert found.index("NP105") < found.index("NP440")


def test_what_cannot_be_used_is_not_looked_at_closer() -> None:
    found = {item.code for item in lint_text(BY_NAME + "rule c:\n  match 'domain\n", "f", "dsl")}
    assert "NP003" in found and "NP440" not in found


def test_a_file_is_looked_at_with_what_the_machine_has(tmp_path: Path) -> None:
    path = tmp_path / "rules.np"
    path.write_text(BY_NAME)
    assert "NP440" in [item.code for item in lint_file(str(path))]
    assert "NP441" in [item.code for item in lint_file(str(path), dnsmasq=lambda: Dnsmasq("2.90", False))]
    assert "NP441" not in [item.code for item in lint_file(str(path), dnsmasq=lambda: Dnsmasq("2.90", True))]


def test_a_file_that_is_not_there_is_one_finding(tmp_path: Path) -> None:
    assert [item.code for item in lint_file(str(tmp_path / "none"))] == ["NP001"]
