"""Files of a pending change: whole or not there, linked by one alone, removed record first."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from netpolicy.dataplane import guard_files


def test_a_file_is_replaced_and_only_ours_to_read(tmp_path: Path):
    path = tmp_path / "record"
    guard_files.write(path, b"one\n")
    guard_files.write(path, b"two\n")
    assert path.read_bytes() == b"two\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["record"]


def test_what_cannot_be_written_leaves_what_was_there_and_names_the_file(tmp_path: Path):
    path = tmp_path / "missing" / "record"
    with pytest.raises(OSError, match="missing/record"):
        guard_files.write(path, b"x")


def test_of_many_who_link_at_once_one_wins_and_the_file_is_whole(tmp_path: Path):
    path = tmp_path / "verdict"
    ready = threading.Barrier(16)
    won = []

    def race(number: int) -> None:
        ready.wait()
        if guard_files.link_once(path, f"revert racer-{number}\n".encode()):
            won.append(number)

    racers = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for one in racers:
        one.start()
    for one in racers:
        one.join()
    assert len(won) == 1
    assert guard_files.read_line(path) == f"revert racer-{won[0]}"
    assert os.listdir(tmp_path) == ["verdict"]


def test_reading_has_a_limit_follows_no_link_and_says_nothing_of_what_is_not_there(tmp_path: Path):
    path = tmp_path / "long"
    path.write_bytes(b"x" * 100)
    assert guard_files.read(path, 10) == b"x" * 10
    (tmp_path / "link").symlink_to(path)
    assert guard_files.read(tmp_path / "link") is None
    assert guard_files.read_line(tmp_path / "none") == ""


def test_the_record_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "pending"
    guard_files.make_folder(folder / "old")
    (folder / "record").write_text("x")
    (folder / "verdict").write_text("x")
    with monkeypatch.context() as cut:
        cut.setattr(os, "rename", interrupted)
        with pytest.raises(InterruptedError):
            guard_files.remove_pending(folder)
    assert sorted(os.listdir(folder)) == ["old", "verdict"]
    with monkeypatch.context() as cut:
        cut.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(InterruptedError):
            guard_files.remove_pending(folder)
    assert os.listdir(tmp_path) == ["pending.gone"]
    guard_files.make_folder(folder)
    guard_files.remove_pending(folder)
    guard_files.remove_pending(folder)
    assert os.listdir(tmp_path) == []


def interrupted(path: str, *_: object) -> None:
    """As at a power cut."""
    if os.path.exists(path):
        raise InterruptedError
    raise FileNotFoundError


def test_a_guard_that_still_writes_does_not_keep_the_change_from_being_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "pending"
    guard_files.make_folder(folder)
    (folder / "record").write_text("x")
    remove_folder = os.rmdir

    def too_late(*words: object, **more: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            (folder / "outcome.guard").write_text("reverted\n")
        remove_folder(*words, **more)

    monkeypatch.setattr(os, "rmdir", too_late)
    guard_files.remove_pending(folder)
    assert os.listdir(tmp_path) == []
