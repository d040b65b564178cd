"""Every example of every code does what it says: one has the finding, the other has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.config import analysis_linear, analysis_room, analysis_shadow
from netpolicy.config.analysis_cover import Budget
from netpolicy.config.analysis_name_server import Dnsmasq
from netpolicy.config.convert import convert_text
from netpolicy.config.diagnostic import Diagnostic
from netpolicy.config.lint_codes import Code, every_code
from netpolicy.config.lint_examples import Example
from netpolicy.config.linter import lint_file, lint_text
from netpolicy.config.spelling import DSL, UCI, YAML

# Said of many texts that are examples of something else.
BESIDE = {"NP207", "NP219", "NP431", "NP440", "NP463"}
# A limit that nobody comes near by hand: there is nothing to advise.
SPEAK_FOR_THEMSELVES = {"NP004"}
ENDING = {DSL: "np", YAML: "yaml", UCI: "uci"}

by_code = pytest.mark.parametrize("code", every_code(), ids=lambda code: code.code)


def findings(code: str, example: Example, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Diagnostic]:
    if code == "NP301":
        return list(convert_text(example.text, "<text>", example.spelling, DSL).diagnostics)
    if example.steps:
        monkeypatch.setattr(analysis_shadow, "Budget", lambda: Budget(example.steps))
    if example.few:
        for module in (analysis_linear, analysis_room):
            monkeypatch.setattr(module, "FEW", example.few)
    if not example.files:
        return list(lint_text(example.text, "<text>", example.spelling))
    for name, content in example.files:
        (folder / name).write_text(content)
    path = folder / f"main.{ENDING[example.spelling]}"
    path.write_text(example.text)
    installed = None if example.has_nftset is None else Dnsmasq("2.90", example.has_nftset)
    return list(lint_file(str(path), dnsmasq=lambda: installed))


@by_code
def test_a_failing_example_has_that_finding_and_no_other(
    code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = findings(code.code, code.failing, tmp_path, monkeypatch)
    assert (code.code, code.severity) in [(item.code, item.severity) for item in found]
    assert [item.text() for item in found if not item.hint and item.code not in SPEAK_FOR_THEMSELVES] == []
    beside = {item.code for item in found if item.code != code.code} - BESIDE
    # A file of its own without a main section is said to be one.
    assert beside <= ({"NP210"} if code.code == "NP441" else set()), [item.text() for item in found]


@by_code
def test_a_fixed_example_does_not_have_it(code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(code.code, code.fixed, tmp_path, monkeypatch)
    assert code.code not in {item.code for item in found}
    assert [item.text() for item in found if item.severity == "error"] == []
