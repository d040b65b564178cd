"""A program is found where a shell would find it."""

from __future__ import annotations

import os
import shutil

import pytest

from netpolicy.dataplane import program


@pytest.fixture
def folders(tmp_path, monkeypatch):
    made = [tmp_path / "first", tmp_path / "second"]
    for folder in made:
        folder.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, made)))
    return made


def put(path, mode=0o755):
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)


def test_the_first_folder_that_has_it_counts(folders):
    put(folders[1] / "tool")
    assert program.find("tool") == str(folders[1] / "tool")
    put(folders[0] / "tool")
    assert program.find("tool") == shutil.which("tool") == str(folders[0] / "tool")


def test_a_folder_and_what_cannot_be_run_are_no_programs(folders):
    (folders[0] / "tool").mkdir()
    put(folders[1] / "tool", 0o644)
    assert program.find("tool") is None and shutil.which("tool") is None


@pytest.mark.parametrize("name", ["sh", "no-such-program"])
def test_without_a_path_the_usual_folders_are_searched(monkeypatch, name):
    monkeypatch.delenv("PATH")
    assert (program.find(name) is None) == (shutil.which(name) is None)


def test_with_its_path_it_need_not_be_searched():
    assert program.find("/bin/sh") == "/bin/sh"
