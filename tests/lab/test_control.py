"""Keys and words do the same, and a failure is an answer, not the end of the lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.lab.control import COMMANDS, Control, Lines, ask_relay, command_for
from netpolicy.lab.main import EXAMPLE


@pytest.fixture
def control(tmp_path: Path) -> Control:
    config = tmp_path / "netpolicy"
    config.write_text(EXAMPLE.read_text())
    return Control(config, lambda letter: tmp_path / f"relay-{letter}", lambda: "reloaded", lambda: "killed")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.word)
def test_a_key_and_its_word_are_the_same_command(command) -> None:
    assert command_for(command.key) is command_for(command.word.upper()) is command


def test_no_two_commands_share_a_key_or_word() -> None:
    names = [name for command in COMMANDS for name in (command.key, command.word)]
    assert len(set(names)) == len(names)


def test_an_edit_is_written_and_reloaded(control: Control, tmp_path: Path) -> None:
    assert control.do("e") == "edited: video goes by wan_a; reloaded"
    assert (tmp_path / "netpolicy").read_text() != EXAMPLE.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["netpolicy"]


def test_an_unknown_word_is_answered_with_the_known_ones(control: Control) -> None:
    assert "no command 'dance'" in control.do("dance")
    assert "e edit" in control.do("dance")


def test_a_line_that_does_not_answer_is_told_and_stays_as_it_was(control: Control) -> None:
    assert control.do("silent").startswith("silent: ")
    assert control.lines == Lines()


def test_a_relay_that_is_gone_raises_its_reason(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        ask_relay(tmp_path / "none", "stats")
