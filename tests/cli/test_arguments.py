"""The command line of the tool."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from netpolicy.cli.arguments import COMMANDS, parse, whole_parser

from .conftest import Tool
from .stand_in import StandIn

ROOT = Path(__file__).resolve().parents[2]

# What interfaces promises for later: there is no command that only pretends.
NOT_YET = ["xray"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_function(name: str) -> None:
    module, _, function = COMMANDS[name][0].partition(":")
    assert callable(getattr(import_module(f"netpolicy.cli.{module}"), function))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "lab"])
def test_every_command_has_help(name: str, tool: Tool) -> None:
    result = tool(name, "--help")
    assert result.code == 0
    assert f"usage: netpolicy {name}" in result.out and "--json" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())


@pytest.mark.parametrize("words", [[name] for name in NOT_YET] + [["--bogus"], ["status", "--bogus"], ["status", "x"],
                                   ["lint"], ["call"], ["--socket"], ["stat"]], ids=" ".join)  # fmt: skip
def test_a_wrong_command_line_ends_with_64(words: list[str], tool: Tool) -> None:
    result = tool(*words)
    assert result.code == 64
    assert result.out == "" and "usage: netpolicy" in result.err


@pytest.mark.parametrize("words", [["aply"], ["--json", "aply"], ["--socket", "/x", "aply"], ["--socket=/x", "Aply"]])
def test_a_mistyped_command_is_told_what_was_probably_meant(words: list[str], tool: Tool) -> None:
    result = tool(*words)
    assert result.code == 64
    assert "did you mean 'apply'?" in result.err and "choose from" not in result.err


def test_a_word_that_is_like_no_command_leads_to_the_list(tool: Tool) -> None:
    assert "netpolicy help lists" in tool("xyzzy").err


def test_help_is_also_a_word(tool: Tool) -> None:
    assert tool("help").out == tool("--help").out != ""
    assert tool("help", "apply").out == tool("apply", "--help").out != ""
    assert "did you mean 'apply'?" in tool("help", "aply").err


@pytest.mark.parametrize("words", [["--json", "status"], ["status", "--json"]])
def test_common_options_stand_before_or_after_the_command(words: list[str]) -> None:
    assert parse(words).json is True
    assert parse(["--socket", "/a", *words]).socket == "/a"
    assert parse([*words, "--socket", "/a"]).socket == "/a"


def test_the_option_after_the_command_wins() -> None:
    assert parse(["--socket", "/a", "status", "--socket", "/b"]).socket == "/b"


def test_without_options_there_is_no_json_and_no_socket() -> None:
    options = parse(["status"])
    assert (options.json, options.socket) == (False, None)


@pytest.mark.parametrize("words", [["--ui", "8080"], ["--help"], ["--json"], ["-x", "status", "--socket"], []])
def test_everything_after_lab_is_the_labs(words: list[str]) -> None:
    options = parse(["lab", *words])
    assert options.words == words
    assert options.json is False


def test_a_word_that_is_no_text_is_refused_without_a_traceback(tool: Tool, daemon: StandIn) -> None:
    for words in (["\udcff"], ["connections", "--filter", "\udcff"], ["call", "\udcff"], ["lint", "\udcff"]):
        result = tool(*words)
        assert result.code in (1, 64)
        assert "internal error" not in result.err


def test_the_page_of_the_tool_names_every_command_and_option() -> None:
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    for name, command in whole_parser()._subparsers._group_actions[0].choices.items():
        assert f"`{name}" in page, name
        missing = [word for action in command._actions for word in action.option_strings if word not in page]
        assert not missing, (name, missing)
