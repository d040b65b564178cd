"""The file by which another terminal finds the lab: private, gone with the lab, and never believed blindly."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from netpolicy.lab import running


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lab"
    monkeypatch.setenv(running.PLACE, str(path))
    return path


def test_a_lab_is_found_while_it_runs_and_leaves_nothing_behind(place: Path) -> None:
    assert running.find() == 0
    with running.told(os.getpid()):
        assert running.find() == os.getpid()
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert running.find() == 0
    assert list(place.parent.iterdir()) == []


def test_a_number_that_another_process_has_now_is_no_lab(place: Path) -> None:
    place.write_text(f"{os.getpid()} 1\n")
    assert running.find() == 0


@pytest.mark.parametrize("text", ["", "x y", "1 2 3", "-1 5", "\x00", "9" * 10000])
def test_nonsense_is_no_lab(text: str, place: Path) -> None:
    place.write_text(text)
    assert running.find() == 0


def test_a_link_or_a_pipe_of_somebody_else_is_not_read(place: Path) -> None:
    with running.told(os.getpid()):
        text = place.read_text()
    (place.parent / "elsewhere").write_text(text)
    place.symlink_to("elsewhere")
    assert running.find() == 0
    place.unlink()
    os.mkfifo(place)
    assert running.find() == 0


def test_an_older_lab_that_ends_does_not_hide_the_newer_one() -> None:
    older, newer = running.told(os.getpid()), running.told(os.getppid())
    older.__enter__()
    newer.__enter__()
    older.__exit__(None, None, None)
    assert running.find() == os.getppid()
    newer.__exit__(None, None, None)


def test_a_lab_that_cannot_write_the_file_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(running.PLACE, "/nowhere/lab")
    with running.told(os.getpid()):
        assert running.find() == 0


def test_users_do_not_share_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(running.PLACE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert running.place() == Path("/run/user/1000/netpolicy-lab-1000")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert running.place() == Path("/run/netpolicy-lab-0")
