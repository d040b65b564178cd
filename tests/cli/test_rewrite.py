"""`netpolicy fmt`, `convert` and `migrate` on real files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from netpolicy.config.load import load_alone
from netpolicy.config.unload import as_key

from .conftest import Tool

CANONICAL = """\
# Calls first.
rule zoom_calls:
  priority 100
  match sni="*.zoom.us" protocol=udp
  action route=fibre log=true
"""
UNTIDY = CANONICAL.replace("  priority 100\n  match", "\tmatch").replace("log=true", "log") + "\tpriority 100  # high\n"
V1 = """\
rules:
  - name: video calls
    priority: 100
    match: {sni: "*.zoom.us", protocol: tcp}
    action: {route: tunnel_fast}
  - name: slow
    priority: 5
    match: {any: true}
    action: {throttle: trickle}
"""
BROKEN = "rule a:\n  match prot=tcp\n  action route=x\n"


@pytest.fixture
def file(tmp_path: Path):
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_fmt_rewrites_a_file_keeps_its_comments_and_finds_nothing_to_do_the_second_time(tool: Tool, file) -> None:
    path = file("x.dsl", UNTIDY)
    path.chmod(0o640)
    before = as_key(load_alone(str(path)).ruleset)
    done = tool("fmt", str(path))
    assert (done.code, done.out) == (0, f"formatted: {path}\n")
    text = path.read_text()
    assert text.startswith("# Calls first.\nrule zoom_calls:\n  priority 100")
    assert "# high" in text
    assert as_key(load_alone(str(path)).ruleset) == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert tool("fmt", str(path)).out == f"unchanged: {path}\n"
    assert path.read_text() == text


def test_check_and_diff_change_nothing_and_fail_where_something_would_change(tool: Tool, file) -> None:
    good, bad = file("good.np", CANONICAL), file("bad.np", UNTIDY)
    for option in ("--check", "--diff"):
        assert tool("fmt", option, str(good)).code == 0
        found = tool("fmt", option, str(good), str(bad))
        assert found.code == 1
        assert str(bad) in found.out
    assert "+  priority 100" in tool("fmt", "--diff", str(bad)).out
    assert bad.read_text() == UNTIDY
    answer = tool("fmt", "--check", "--json", str(good), str(bad))
    assert [one["changed"] for one in answer.json["files"]] == [False, True]
    assert answer.json["ok"] is False


def test_a_file_with_an_error_is_left_as_it_was(tool: Tool, file) -> None:
    path = file("x.dsl", BROKEN)
    found = tool("fmt", str(path))
    assert found.code == 1
    assert "unknown match key prot" in found.err
    assert path.read_text() == BROKEN
    assert tool("fmt", str(path), "--json").json["files"][0]["ok"] is False


def test_a_link_stays_a_link_and_nothing_is_left_beside_the_file(tool: Tool, file, tmp_path: Path) -> None:
    path = file("real.dsl", UNTIDY)
    (tmp_path / "link.dsl").symlink_to(path)
    assert tool("fmt", str(tmp_path / "link.dsl")).code == 0
    assert (tmp_path / "link.dsl").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link.dsl", "real.dsl"]


def test_comments_of_a_uci_file_are_not_dropped_without_being_asked(tool: Tool, file) -> None:
    text = "# mine\nconfig rule 'a'\n\toption any 1\n\toption route 'direct'\n"
    path = file("netpolicy", text)
    found = tool("fmt", str(path))
    assert found.code == 1
    assert "its comments would be lost" in found.err
    assert path.read_text() == text
    assert tool("fmt", "--drop-comments", str(path)).code == 0
    assert "#" not in path.read_text()


@pytest.mark.parametrize(("format", "name"), [("uci", "netpolicy"), ("yaml", "x.yaml"), ("dsl", "x.np")])
def test_convert_prints_the_same_rules_in_another_spelling(tool: Tool, file, format: str, name: str) -> None:
    source = file("source.yaml", V1)
    made = tool("convert", str(source), "--to", format)
    assert made.code == 0
    target = file(name, made.out)
    assert as_key(load_alone(str(target)).ruleset) == as_key(load_alone(str(source)).ruleset)
    assert tool("convert", str(source), "--to", format, "--json").json["text"] == made.out


def test_convert_writes_to_a_file_and_says_what_is_not_kept(tool: Tool, file, tmp_path: Path) -> None:
    source = file("source.np", CANONICAL)
    target = tmp_path / "out.yaml"
    done = tool("convert", str(source), "--to", "yaml", "--output", str(target))
    assert (done.code, done.out) == (0, f"written: {target}\n")
    assert "comments are not kept" in done.err
    assert "zoom_calls" in target.read_text()


def test_what_is_written_must_be_readable_as_what_it_is(tool: Tool, file, tmp_path: Path) -> None:
    source = file("source.np", CANONICAL)
    os.mkfifo(tmp_path / "pipe")
    for output, code, says in (
        (str(tmp_path / "out.np"), 64, "would be read as dsl"), (str(source), 64, "would be read as dsl"),
        (str(tmp_path / "pipe"), 1, "not a plain file"), ("/dev/null", 1, "not a plain file"),
        (str(tmp_path / "none" / "out"), 1, "no such folder"),
    ):  # fmt: skip
        found = tool("convert", str(source), "--to", "uci", "--output", output, "--force")
        assert (found.code, found.out) == (code, "")
        assert says in found.err
    assert source.read_text() == CANONICAL
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_file_that_is_there_is_replaced_only_when_that_is_said(tool: Tool, file) -> None:
    source, target = file("rules.yaml", V1), file("rules.np", "# mine\n")
    for command in (["migrate"], ["convert", "--to", "dsl"]):
        found = tool(*command, str(source), "--output", str(target))
        assert (found.code, found.out) == (64, "")
        assert "say --force" in found.err
        assert target.read_text() == "# mine\n"
        assert tool(*command, str(source), "--output", str(target), "--force").code == 0
        assert "video calls" in target.read_text()
        target.write_text("# mine\n")


def test_a_line_separator_of_unicode_never_makes_a_line(tool: Tool, file) -> None:
    path = file("x.np", "rule a:\n  match any  # x\u2028rule b:\u2028  match any\n  action block\n")
    found = tool("convert", str(path), "--to", "dsl")
    assert (found.code, found.out) == (1, "")
    assert "control character 0x2028" in found.err


def test_convert_of_a_broken_file_gives_no_text(tool: Tool, file, tmp_path: Path) -> None:
    target = tmp_path / "out.uci"
    found = tool("convert", str(file("x.dsl", BROKEN)), "--to", "uci", "--output", str(target))
    assert (found.code, found.out) == (1, "")
    assert "convert failed" in found.err
    assert not target.exists()


def test_migrate_says_what_the_predecessors_rules_lack(tool: Tool, file) -> None:
    path = file("rules.yaml", V1)
    done = tool("migrate", str(path))
    assert done.code == 0
    assert done.out.startswith('rule "video calls":\n  priority 100\n')
    assert "define these outbounds before the rules can be applied: tunnel_fast" in done.err
    assert "define these throttle profiles: trickle" in done.err
    assert tool("migrate", str(file("x.np", CANONICAL))).code == 64


@pytest.mark.parametrize("command", [["fmt"], ["convert", "--to", "dsl"], ["migrate"]])
def test_what_cannot_be_read_is_said_in_one_line(tool: Tool, tmp_path: Path, command: list[str]) -> None:
    found = tool(*command, str(tmp_path / "none.yaml"))
    assert found.code == 1
    assert found.err.startswith("netpolicy: failed to read")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    found = tool(*command, str(tmp_path / "x.yaml"))
    assert found.code == 1
    assert "not UTF-8" in found.err
