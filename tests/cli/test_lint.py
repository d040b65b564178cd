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
"""
BAD = """
config rule 'a'
	option priority '1'
	list proto 'tpc'
	list dest_port '99999'
	option route 'direct'

config netpolicy 'main'
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
    path = written(tmp_path, GOOD.replace("config netpolicy 'main'\n", ""))
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
