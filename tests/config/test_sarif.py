"""SARIF 2.1.0: the parts that the standard requires, and what tools read of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from netpolicy.config.diagnostic import CODES, Diagnostic
from netpolicy.config.linter import lint_text
from netpolicy.config.sarif import to_sarif, uri

TEXT = """outbound wan interface wan

rule a:
  match port=80,80 sni=!*zoom.us
  action route=wann
"""


def document(text: str = TEXT, file: str = "rules.np", folder: str = "/srv/net"):
    lines = text.splitlines()
    found = lint_text(text, file, "dsl")
    made = to_sarif(found, lambda item: lines[item.line - 1] if item.line else "", folder)
    return json.loads(json.dumps(made))["runs"][0], found


def test_the_document_has_what_the_standard_requires() -> None:
    whole = to_sarif((), lambda item: "")
    assert (whole["version"], whole["$schema"].rsplit("/", 1)[1]) == ("2.1.0", "sarif-2.1.0.json")
    run, found = document()
    driver = run["tool"]["driver"]
    assert driver["name"] == "netpolicy" and run["columnKind"] == "unicodeCodePoints"
    assert len(run["results"]) == len(found) > 2
    for result in run["results"]:
        assert result["message"]["text"]
        assert result["level"] in ("error", "warning", "note")
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        for location in result["locations"]:
            physical = location["physicalLocation"]
            assert set(physical) <= {"artifactLocation", "region"}
            assert all(number >= 1 for number in physical.get("region", {}).values())
            assert physical.get("region", {"startLine": 1}).get("startLine")


def test_every_code_is_a_rule_with_its_page() -> None:
    rules = document()[0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted(CODES)
    page = (Path(__file__).parents[2] / "docs" / "lints.md").read_text(encoding="utf-8")
    for rule in rules:
        assert rule["shortDescription"]["text"] and rule["fullDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
        assert rule["helpUri"] == f"docs/lints.md#{rule['id'].lower()}"
        assert f"### {rule['id']}\n" in page


def applied(text: str, run) -> str:
    """The text with all fixes, the last first."""
    lines = text.splitlines()
    changes = [
        change
        for result in run["results"]
        for fix in result.get("fixes", ())
        for artifact in fix["artifactChanges"]
        for change in artifact["replacements"]
    ]
    for change in sorted(changes, key=lambda one: -one["deletedRegion"]["startColumn"]):
        where = change["deletedRegion"]
        line = lines[where["startLine"] - 1]
        new = change["insertedContent"]["text"]
        lines[where["startLine"] - 1] = line[: where["startColumn"] - 1] + new + line[where["endColumn"] - 1 :]
    return "\n".join(lines) + "\n"


def test_the_fixes_can_be_applied_and_correct_what_they_are_about() -> None:
    fixed = applied(TEXT, document()[0])
    assert fixed == TEXT.replace("wann", "wan").replace("!*zoom", "!*.zoom")
    assert not {"NP204", "NP209"} & {item.code for item in lint_text(fixed, "rules.np", "dsl")}


def test_in_uci_a_misspelt_option_is_replaced_by_its_name() -> None:
    text = "config rule 'a'\n\tlist dest_prot '25'\n\toption block '1'\n"
    lines = text.splitlines()
    run = to_sarif(lint_text(text, "f"), lambda item: lines[item.line - 1] if item.line else "", "/")["runs"][0]
    assert applied(text, run) == text.replace("dest_prot", "dest_port")


def test_files_are_relative_to_the_folder_and_escaped() -> None:
    assert uri("rules.np", "/srv/net") == "rules.np"
    assert uri("/srv/net/a b/ü.np", "/srv/net") == "a%20b/%C3%BC.np"
    assert uri("../other.np", "/srv/net") == "file:///srv/other.np"
    assert re.fullmatch(r"[!-~]+", uri("a\x1b\nb", "/srv"))


def test_a_finding_without_a_line_has_no_region() -> None:
    item = Diagnostic("NP001", "error", "f", 0, 0, "", "gone")
    (result,) = to_sarif([item], lambda one: "", "/")["runs"][0]["results"]
    assert "region" not in result["locations"][0]["physicalLocation"]
    shown = Diagnostic("NP003", "error", "f", 3, 7, "", "odd")
    (result,) = to_sarif([shown], lambda one: "", "/")["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 7}
