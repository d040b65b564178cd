"""The VS Code extension holds together: its parts are there, its snippets are right, it understands lint."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from netpolicy import __version__
from netpolicy.cli.main import main
from netpolicy.config.dsl import HEADERS
from netpolicy.config.linter import lint_file, lint_text
from netpolicy.config.spelling import DSL, ENDINGS
from tests.editors.samples import VSCODE, snippets, written
from tests.editors.vscode import GRAMMAR, ask, why_not
from tests.repository.tree import ROOT

# One finding of each severity, a rule with every kind of quote in its name, a warning without a place.
FAULTY = """\
outbound wan interface wan
rule it's "so": done:
  priority high
  match sni="*zoom.us" portt=1
  action route=wann
rule calls:
  match sni="*example.com" rtt_ms=">50"
  action route=wan
"""


def held(name: str) -> Any:
    return json.loads((VSCODE / name).read_text(encoding="utf-8"))


def contributes() -> Any:
    return held("package.json")["contributes"]


def matcher() -> Any:
    (found,) = contributes()["problemMatchers"]
    return found


def json_blocks(page: Path) -> list[Any]:
    return [
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]


def test_every_file_that_the_extension_names_is_there() -> None:
    named = [
        part[key]
        for parts in contributes().values()
        for part in parts
        for key in ("path", "configuration")
        if key in part
    ]
    assert len(named) == 3
    assert [name for name in named if not (VSCODE / name).is_file()] == []


def test_its_language_is_the_one_of_the_readers() -> None:
    (language,) = contributes()["languages"]
    (grammar,) = contributes()["grammars"]
    assert set(language["extensions"]) == {ending for ending, format in ENDINGS if format == DSL}
    assert grammar["scopeName"] == json.loads(GRAMMAR.read_text(encoding="utf-8"))["scopeName"]
    assert {grammar["language"], contributes()["snippets"][0]["language"]} == {language["id"]}
    assert held("package.json")["version"] == __version__


@pytest.mark.parametrize("name", sorted(snippets()))
def test_a_snippet_is_a_correct_text_as_it_is_inserted(name: str) -> None:
    text = snippets()[name]
    assert "$" not in text and "|" not in text
    findings = lint_text(text, name, DSL)
    # NP207: what the kernel does not follow yet.
    assert [item.text() for item in findings if item.severity != "info" and item.code != "NP207"] == []


def test_the_snippets_show_every_section() -> None:
    found = {
        line.split()[0].rstrip(":") for text in snippets().values() for line in text.splitlines() if line[:1].isalpha()
    }
    assert found == set(HEADERS)


def test_the_readme_names_every_snippet() -> None:
    text = (VSCODE / "README.md").read_text(encoding="utf-8")
    prefixes = [one["prefix"] for one in held("snippets/netpolicy.json").values()]
    assert len(set(prefixes)) == len(prefixes)
    assert [prefix for prefix in prefixes if f"`{prefix}`" not in text] == []


def test_the_matcher_understands_what_lint_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the task of the README, over a real run of the tool."""
    if why_not():
        pytest.skip(why_not())
    path = tmp_path / "a b:1:2: c.np"
    path.write_text(FAULTY)
    (task,) = json_blocks(VSCODE / "README.md")[0]["tasks"]
    assert (task["command"], task["problemMatcher"]) == ("netpolicy", "$" + matcher()["name"])
    assert main([word.replace("${file}", str(path)) for word in task["args"]]) == 1
    lines = "".join(capsys.readouterr()).splitlines()  # a terminal shows both
    pattern = matcher()["pattern"]
    found = [one for one in ask({}, pattern["regexp"], tuple(lines))[1] if one]
    keys = ("file", "line", "column", "severity", "code")
    read = [tuple(one[pattern[key]] for key in keys) for one in found]
    expected = [
        (item.file, str(item.line), str(item.column), item.severity, item.code) for item in lint_file(str(path))
    ]
    assert sorted(read) == sorted(expected)
    assert {item[3] for item in read} == {"error", "warning", "info"}
    assert "rule 'calls': rtt_ms: not known" in " ".join(one[pattern["message"]] for one in found)


def test_the_schema_that_the_readme_names_is_there() -> None:
    text = (VSCODE / "README.md").read_text(encoding="utf-8")
    (schema,) = json_blocks(VSCODE / "README.md")[1]["yaml.schemas"]
    assert (ROOT / schema).is_file()
    assert "# yaml-language-server: $schema=../editors/netpolicy.schema.json" in text  # from examples/


def test_indentation_follows_the_canonical_form() -> None:
    """The line behind a header is moved in, and a header moves back out."""
    rules = held("language-configuration.json")["indentationRules"]
    increase, decrease = (re.compile(rules[key]) for key in ("increaseIndentPattern", "decreaseIndentPattern"))
    wrong = []
    for name, text in written().items():
        lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        if not name.startswith("examples/"):
            continue
        for line, after in itertools.pairwise(lines):
            is_header = not line.startswith(" ")
            if bool(increase.search(line)) != (is_header and after.startswith(" ")):
                wrong.append(f"{name}: behind {line!r}")
            if bool(decrease.search(line)) != (is_header and not line.startswith("assert")):
                wrong.append(f"{name}: before {line!r}")
    assert wrong == []


def test_comments_and_quotes_are_those_of_the_language() -> None:
    configuration = held("language-configuration.json")
    assert configuration["comments"] == {"lineComment": "#"}
    assert {pair["open"] for pair in configuration["autoClosingPairs"]} == {'"', "'"}
