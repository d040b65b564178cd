"""`netpolicy lint`: texts and codes of the predecessor, findings of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Tool

GOOD = """
config rule 'a'
	option priority '1'
	list dest_port '443'
	option route 'direct'

config netpolicy 'main'
	option enabled '1'
"""
BAD = """
config rule 'a'
	option priority '1'
	list proto 'tpc'
	list dest_port '99999'
	option route 'direct'

config netpolicy 'main'
	option enabled '1'
"""
WARNED = GOOD.replace("direct", "nowhere")  # no outbounds in the file: a warning

DIAGNOSTIC_KEYS = {"code", "severity", "file", "line", "column", "rule", "message", "hint"}


def written(folder: Path, text: str, name: str = "netpolicy") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_good_file_is_one_line(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert tool("lint", path) == (0, f"lint ok: {path}\n", "")


def test_a_good_file_as_json(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    result = tool("lint", path, "--json")
    assert result.json == {"ok": True, "diagnostics": [], "path": path, "error": None}
    assert result.code == 0


def test_a_bad_file_has_all_its_findings_on_standard_error(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, BAD)
    result = tool("lint", path)
    assert (result.code, result.out) == (1, "")
    assert f"{path}:4:" in result.err and "unknown protocol 'tpc'" in result.err
    assert f"{path}:5:" in result.err and "invalid port value: 99999" in result.err
    assert result.err.splitlines()[-1].startswith(f"lint failed: {path}:4:")


def test_a_bad_file_as_json(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, BAD)
    result = tool("lint", path, "--json")
    assert (result.code, result.err) == (1, "")
    assert result.json["ok"] is False and result.json["path"] == path
    assert result.json["error"].startswith("lint failed: ")
    assert len(result.json["diagnostics"]) >= 2
    assert all(set(item) == DIAGNOSTIC_KEYS for item in result.json["diagnostics"])
    assert result.json["diagnostics"][0]["rule"] == "a"


def test_a_warning_does_not_fail(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, WARNED)
    result = tool("lint", path)
    assert (result.code, result.out) == (0, f"lint ok: {path}\n")
    assert "warning[NP204]" in result.err


def test_a_file_of_rules_alone_is_fine_with_a_warning(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("config netpolicy 'main'\n\toption enabled '1'\n", ""))
    result = tool("lint", path)
    assert (result.code, result.out) == (0, f"lint ok: {path}\n")
    assert "warning[NP210]" in result.err


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_an_unreadable_file_says_failed_to_read(words: list[str], tool: Tool, tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    result = tool("lint", path, *words)
    assert result.code == 1
    assert (result.json["error"] if words else result.err).startswith(f"failed to read {path}: ")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("rules.yaml", "rules: [{name: a, priority: 1, match: {any: true}, action: {block: true}}]\n", "rules: [\n"),
        ("rules.YML", "rules: [{name: a, priority: 1, match: {any: true}, action: {block: true}}]\n", "rules: []\n"),
        ("rules.np", "rule a:\n  match any\n  action block\n", "rule a:\n"),
        ("rules.dsl", "rule a:\n  match any\n  action block\n", "rules: []\n"),
    ],
)
def test_the_name_of_a_file_says_its_format(name: str, good: str, bad: str, tool: Tool, tmp_path: Path) -> None:
    assert tool("lint", written(tmp_path, good, name)).code == 0
    result = tool("lint", written(tmp_path, bad, name), "--json")
    assert result.code == 1
    assert result.json["error"].startswith("lint failed: ")


def test_of_several_files_one_bad_one_fails(tool: Tool, tmp_path: Path) -> None:
    good, bad = written(tmp_path, GOOD), written(tmp_path, BAD, "other")
    result = tool("lint", good, bad)
    assert (result.code, result.out) == (1, f"lint ok: {good}\n")
    assert "lint failed: " in result.err
    document = tool("lint", good, bad, "--json").json
    assert set(document) == {"ok", "diagnostics"} and document["ok"] is False
    assert {item["file"] for item in document["diagnostics"]} == {bad}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"config rule 'a\x1b[2J'\n", b"config\n" * 2000, b"\x00" * 10])
def test_garbage_is_findings_without_control_characters(content: bytes, tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "netpolicy"
    path.write_bytes(content)
    result = tool("lint", str(path))
    assert result.code == 1
    assert "Traceback" not in result.err
    assert all(c.isprintable() or c == "\n" for c in result.err)


def test_the_file_we_install_is_fine(tool: Tool) -> None:
    installed = Path(__file__).parents[2] / "files/etc/config/netpolicy"
    assert tool("lint", str(installed)).code == 0


ROUTES = """outbound wan interface wan

rule mail:
  match port=25
  action route=wann
"""


def test_a_finding_shows_its_line_and_a_mark(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, ROUTES, "rules.np")
    assert tool("lint", path).err.splitlines() == [
        "warning[NP210]: there is no main section: config netpolicy 'main'",
        f" --> {path}",
        " = help: it can be tried, or be listed as a ruleset of another file; alone it is not applied",
        "",
        "error[NP204]: rule 'mail': route 'wann' is not an outbound",
        f"  --> {path}:5:16",
        "  |",
        "5 |   action route=wann",
        "  |                ^^^^",
        "  = help: did you mean 'wan'?",
        "",
        f"{path}: 1 error, 1 warning",
        f"lint failed: {path}:5:16: route 'wann' is not an outbound",
    ]


def test_short_is_one_line_a_finding(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, ROUTES, "rules.np")
    lines = tool("lint", "--format", "short", path).err.splitlines()
    assert f"{path}:5:16: error[NP204] rule 'mail': route 'wann' is not an outbound" in lines
    assert lines[-2:] == [f"{path}: 1 error, 1 warning", lines[-1]]
    assert "|" not in "".join(lines)


@pytest.mark.parametrize("words", [["--json"], ["--format", "json"]])
def test_json_can_be_asked_for_in_two_ways(words: list[str], tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, ROUTES, "rules.np")
    document = tool("lint", path, *words).json
    assert set(document) == {"ok", "diagnostics", "path", "error"}
    assert all(set(item) == DIAGNOSTIC_KEYS for item in document["diagnostics"])


@pytest.mark.parametrize("words", [["--sarif"], ["--format", "sarif"]])
def test_sarif_can_be_asked_for_in_two_ways(words: list[str], tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, ROUTES, "rules.np")
    result = tool("lint", *words, path, path)
    assert (result.code, result.err) == (1, "")
    found = result.json["runs"][0]["results"]
    assert sorted(one["ruleId"] for one in found) == ["NP204", "NP210"]  # once, though named twice
    (fixable,) = [one for one in found if "fixes" in one]
    assert fixable["locations"][0]["physicalLocation"]["region"] == {"startLine": 5, "startColumn": 16, "endColumn": 20}


def test_strict_fails_for_warnings_and_not_for_notes(tool: Tool, tmp_path: Path) -> None:
    warned = written(tmp_path, WARNED)
    result = tool("lint", "--strict", warned)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1].startswith(f"lint failed: {warned}:5:")
    assert tool("lint", "--strict", "--json", warned).json["ok"] is False
    noted = written(tmp_path, GOOD.replace("list dest_port '443'", "list dest_port '443,443'"), "noted")
    assert tool("lint", "--strict", noted).code == 0


def test_a_secret_in_a_file_of_something_else_is_not_quoted(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, "config wifi-iface 'x'\n\toption key 'hunter2'\nconfig rule 'r' 'hunter3'\n", "wireless")
    for words in ([], ["--format", "short"], ["--sarif"], ["--json"]):
        result = tool("lint", *words, path)
        assert result.code == 1 and "hunter" not in result.out + result.err


def test_dsl_lint_takes_any_name_for_the_dsl(tool: Tool, tmp_path: Path) -> None:
    path = written(tmp_path, "rule a:\n  match any\n  action block\n", "rules.txt")
    assert tool("dsl-lint", path)[:2] == (0, f"dsl lint ok: {path}\n")
    bad = written(tmp_path, "rule a:\n  match prot=1\n  action block\n", "bad.yaml")
    result = tool("dsl-lint", bad)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1].startswith(f"dsl lint failed: {bad}:2:")
    assert tool("dsl-lint", bad, "--json").json["error"].startswith("dsl lint failed: ")
    gone = str(tmp_path / "none")
    assert tool("dsl-lint", gone).err.startswith(f"failed to read {gone}: ")


def test_a_code_is_explained_with_its_examples(tool: Tool) -> None:
    result = tool("lint", "--explain", "np204")
    assert result.code == 0 and result.out.startswith("### NP204\n")
    assert "Fails:" in result.out and "Fixed:" in result.out
    assert set(tool("lint", "--explain", "NP204", "--json").json) == {"code", "severity", "title", "why"}
    assert tool("lint", "--explain", "NP999").code == 1


def test_without_a_file_the_usage_is_shown(tool: Tool) -> None:
    result = tool("lint", "--strict")
    assert result.code == 64 and "usage: netpolicy lint" in result.err
