"""`netpolicy xray-gen`: the predecessor's command, with its file kept private and its failures named."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from tests.xray.node_links import LINKS
from tests.xray.real_xray import judge

from .conftest import Tool

GOOD = "socks://192.0.2.7:1080#far\n"
SECRET = "Zebra-in-the-dark"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_vector_k06(tool: Tool, here: Path) -> None:
    (here / "u.txt").write_text(f"# nodes\n\n{GOOD}trojan://pw@t.example.com:443#near\n")
    found = tool("xray-gen", "--output", "o.json", "--url-file", "u.txt")
    assert found == (0, "xray config generated: o.json\n", "")
    config = json.loads((here / "o.json").read_text())
    assert [one["tag"] for one in config["outbounds"]] == ["far", "near", "direct", "reject"]


def test_the_real_xray_takes_the_file(tool: Tool, here: Path) -> None:
    (here / "u.txt").write_text("".join(f"{link}#{name}\n" for name, link in LINKS.items()))
    assert tool("xray-gen", "--output", "o.json", "--url-file", "u.txt").code == 0
    verdict = judge((here / "o.json").read_text())
    assert verdict.accepted, verdict.log


def test_the_default_file_is_config_json(tool: Tool, here: Path) -> None:
    assert tool("xray-gen", "--url", GOOD) == (0, "xray config generated: config.json\n", "")
    assert (here / "config.json").exists()


def test_only_the_owner_may_read_it_also_when_it_was_there(tool: Tool, here: Path) -> None:
    (here / "o.json").write_text("old")
    (here / "o.json").chmod(0o644)
    assert tool("xray-gen", "--output", "o.json", "--url", GOOD).code == 0
    assert stat.S_IMODE((here / "o.json").stat().st_mode) == 0o600
    assert sorted(os.listdir(here)) == ["o.json"]


def test_links_of_all_places_come_in_order(tool: Tool, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "u.txt").write_text("socks://10.0.0.3#c\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"# piped\nsocks://10.0.0.4#e\r\n")))
    words = ("--url", "socks://10.0.0.1#a", "--url", "socks://10.0.0.2#b", "--url-file", "u.txt", "--url-file", "-")
    found = tool("xray-gen", *words, "--json")
    assert found.json == {
        "ok": True,
        "output": "config.json",
        "nodes": [{"tag": tag, "label": tag, "protocol": "socks"} for tag in "abce"],
        "problems": [],
    }


def test_a_bad_link_among_good_ones_is_a_warning_with_its_place(tool: Tool, here: Path) -> None:
    (here / "u.txt").write_text(f"{GOOD}# comment\nvless://{SECRET}@example.com\n")
    found = tool("xray-gen", "--url-file", "u.txt")
    assert (found.code, found.out) == (0, "xray config generated: config.json\n")
    assert found.err == "u.txt:3: warning: link 2 is left out: vless missing port\n"


def test_when_no_link_is_good_nothing_is_written(tool: Tool, here: Path) -> None:
    (here / "config.json").write_text("old")
    found = tool("xray-gen", "--url", f"trojan://{SECRET}@example.com:0", "--url", "ftp://example.com:21")
    assert (found.code, found.out) == (1, "")
    assert "--url 1: error: link 1 is left out: port must be > 0\n" in found.err
    assert "none of 2 links can be used" in found.err and SECRET not in found.err
    assert (here / "config.json").read_text() == "old"


def test_the_same_as_json(tool: Tool) -> None:
    found = tool("xray-gen", "--json", "--url", f"trojan://{SECRET}@example.com:0")
    assert found.code == 1 and SECRET not in found.out + found.err
    assert found.json["ok"] is False and found.json["output"] is None and found.json["nodes"] == []
    assert found.json["problems"] == [{"number": 1, "place": "--url 1", "reason": "port must be > 0"}]


@pytest.mark.parametrize("text", [None, "", "# only a comment\n\n"])
def test_without_links_it_says_so(text: str | None, tool: Tool, here: Path) -> None:
    if text is not None:
        (here / "u.txt").write_text(text)
    found = tool("xray-gen", *(["--url-file", "u.txt"] if text is not None else []))
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("netpolicy: no urls provided\n")


def test_a_file_that_cannot_be_read_is_named(tool: Tool) -> None:
    found = tool("xray-gen", "--url-file", "missing.txt")
    assert found.code == 1 and "failed to read missing.txt" in found.err


@pytest.mark.parametrize("output", ["/dev/null", ".", "a\x00b"])
def test_an_output_that_is_no_plain_file_is_left_alone(output: str, tool: Tool) -> None:
    found = tool("xray-gen", "--output", output, "--url", GOOD)
    assert found.code == 1 and "cannot be written" in found.err
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_that_is_no_text_is_one_problem(tool: Tool, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n" + GOOD.encode())))
    found = tool("xray-gen", "--url-file", "-")
    assert (found.code, found.err) == (0, "standard input:1: warning: link 1 is left out: not UTF-8 text\n")


def test_the_help_warns_of_secrets_in_command_lines(tool: Tool) -> None:
    assert "everybody on this machine can read" in " ".join(tool("xray-gen", "--help").out.split())
