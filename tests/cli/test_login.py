"""By which login the tool was started, also through programs that clean the environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from netpolicy.cli import login

WORDS = "192.168.1.5 40000 192.168.1.1 22"
ASK = "from netpolicy.cli import login; print(login.ssh_words(), '|', login.told())"


def test_the_words_of_the_server_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", WORDS)
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert login.ssh_words() == WORDS
    assert login.told() == "from 192.168.1.5"
    monkeypatch.setenv("SUDO_USER", "alice")
    assert login.told() == "alice by sudo from 192.168.1.5"
    monkeypatch.setenv("SSH_CONNECTION", "x" * 5000)
    assert len(login.ssh_words()) == login.LONGEST and len(login.told() or "") == login.LONGEST


def test_what_sudo_took_away_is_found_above() -> None:
    """A shell with the words starts one without, which starts the tool."""
    cleaned = f'env -u SSH_CONNECTION sh -c \'"$0" -c "$1"; exit $?\' "{sys.executable}" "{ASK}"; exit $?'
    shell = ["sh", "-c", cleaned]
    done = subprocess.run(
        shell, env={**os.environ, "SSH_CONNECTION": WORDS, "SUDO_USER": ""}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{WORDS} | from 192.168.1.5\n"


def test_at_the_console_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(login, "_in_environment", lambda process: "")
    assert (login.ssh_words(), login.told()) == ("", None)


def test_the_way_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert login._parent(os.getpid()) == os.getppid()
    assert login._parent(2**22 + 1) == 0
    asked: list[int] = []
    monkeypatch.setattr(login, "_parent", lambda process: asked.append(process) or process)
    monkeypatch.setattr(login, "_in_environment", lambda process: "")
    assert login._from_above() == ""
    assert len(asked) in (0, login.MOST_ABOVE)
