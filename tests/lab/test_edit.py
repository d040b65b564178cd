"""The edits the running lab makes to its copy of the configuration."""

from __future__ import annotations

import pytest

from netpolicy.lab import edit
from netpolicy.lab.main import EXAMPLE

TEXT = EXAMPLE.read_text()


def test_the_edits_go_round_and_come_back_to_the_same_text() -> None:
    text, told = TEXT, []
    for _ in range(3):
        text, words = edit.next_edit(text)
        told.append(words)
    assert told == ["video goes by wan_a", "rule video is switched off", "video goes by wan_b"]
    assert text == TEXT


def test_an_edit_touches_only_the_one_rule() -> None:
    changed, _ = edit.next_edit(TEXT)
    pairs = zip(TEXT.splitlines(), changed.splitlines(), strict=True)
    assert [pair for pair in pairs if pair[0] != pair[1]] == [("\toption route 'wan_b'", "\toption route 'wan_a'")]
    assert edit.options(changed, "backup_host") == edit.options(TEXT, "backup_host")


def test_an_option_that_is_absent_is_added_to_the_rule() -> None:
    text = "config rule 'video'\n\toption route 'wan_b'\n\nconfig rule 'other'\n"
    assert edit.with_option(text, "video", "enabled", "0").splitlines()[1] == "\toption enabled '0'"


def test_a_configuration_without_the_rule_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="no rule 'video'"):
        edit.next_edit("config rule 'other'\n")
