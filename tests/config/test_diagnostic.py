"""How findings look."""

import pytest

from netpolicy.config.diagnostic import CODES, Diagnostic, Findings, Place


def test_the_json_keys_are_the_public_ones():
    item = Diagnostic("NP101", "error", "f", 3, 2, "r", "unknown option", "try")
    assert list(item.as_dict()) == ["code", "severity", "file", "line", "column", "rule", "message", "hint"]


def test_the_text_says_where_what_and_what_to_do():
    item = Diagnostic("NP101", "error", "f", 3, 2, "r", "unknown option", "try")
    assert item.text() == "f:3:2: error[NP101] rule 'r': unknown option\n  hint: try"
    assert Diagnostic("NP001", "info", "f", 0, 0, "", "m").text() == "f:0:0: info[NP001] m"


def test_only_registered_codes_exist():
    with pytest.raises(ValueError):
        Findings().error("NP999", Place("f"), "x")
    assert all(text and code[:2] == "NP" and len(code) == 5 for code, text in CODES.items())


def test_a_flood_of_one_severity_is_cut_and_says_so_without_hiding_the_others():
    findings = Findings()
    for _ in range(Findings.LIMIT + 50):
        findings.info("NP207", Place("f"), "x")
    assert not findings.has_errors
    findings.error("NP101", Place("f"), "y")
    assert findings.has_errors
    assert len(findings.all) == Findings.LIMIT + 2
    assert findings.all[Findings.LIMIT].code == "NP004"
    assert findings.last_error() == "y"


def test_a_message_has_a_bounded_length():
    findings = Findings()
    findings.error("NP105", Place("f"), "x" * 100_000)
    assert len(findings.all[0].message) < 500
