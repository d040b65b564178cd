"""State files: whole or as before, wherever the writing stops, and nobody's link is followed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from netpolicy.service import files


def test_a_file_is_replaced_and_private(tmp_path):
    path = tmp_path / "sub" / "file"
    files.replace(str(path), "one")
    files.replace(str(path), "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("moment", ["fsync", "rename"])
def test_a_death_before_the_rename_keeps_the_old_file(tmp_path, moment):
    path = tmp_path / "file"
    path.write_text("old")
    script = f"import os, sys; sys.path.insert(0, {os.getcwd()!r}); from netpolicy.service import files\n"
    script += f"os.{moment} = lambda *_: os.kill(os.getpid(), 9)\nfiles.replace({str(path)!r}, 'new' * 1000)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert path.read_text() == "old"
    files.replace(str(path), "next")  # what the dead one left is no obstacle
    assert path.read_text() == "next" and os.listdir(tmp_path) == ["file"]


def test_a_link_in_the_way_is_replaced_and_not_followed(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("precious")
    path.symlink_to(victim)
    (tmp_path / "file.tmp").symlink_to(victim)
    files.replace(str(path), "ours")
    assert victim.read_text() == "precious"
    assert not path.is_symlink() and path.read_text() == "ours"


def test_a_refusal_names_the_file_and_keeps_it(tmp_path):
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "x").touch()
    with pytest.raises(OSError, match="file'") as caught:
        files.replace(str(tmp_path / "file"), "ours")
    assert caught.value.filename == str(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


def test_removing_what_is_not_there_is_fine(tmp_path):
    files.remove(str(tmp_path / "nothing"))


def test_classes_are_remembered(tmp_path):
    assert files.read_classes(str(tmp_path)) == {}
    files.write_classes(str(tmp_path), {"b": 2, "a": 1})
    assert files.read_classes(str(tmp_path)) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"a": "1"}', '{"a": null}', '{"a": 1.5}', '{"a": true}', "\udcff", "[" * 100_000]
)
def test_a_damaged_file_of_classes_is_as_good_as_none(tmp_path, text):
    (tmp_path / files.CLASSES).write_text(text, errors="surrogateescape")
    assert files.read_classes(str(tmp_path)) == {}


def test_what_is_whole_of_a_file_of_classes_is_kept(tmp_path):
    (tmp_path / files.CLASSES).write_text(json.dumps({"a": 1, "b": "x"}))
    assert files.read_classes(str(tmp_path)) == {"a": 1}


def test_a_number_that_stands_twice_counts_for_one(tmp_path):
    (tmp_path / files.CLASSES).write_text('{"a": 3, "b": 3}')
    assert len(files.read_classes(str(tmp_path))) == 1


def test_what_stood_in_a_file_is_kept_and_what_was_kept_before_is_not_lost(tmp_path):
    path, aside = str(tmp_path / "config"), str(tmp_path / "rejected")
    for content in (b"one", b"two", b"two", b"three", b"four", b"five", b"six"):
        files.put(path, content, aside)
    kept = [(tmp_path / ("rejected" + end)).read_bytes() for end in files.OLDER]
    assert kept == [b"five", b"four", b"three", b"two"]
    assert (tmp_path / "config").read_bytes() == b"six"


def test_what_is_known_elsewhere_is_not_kept_and_permissions_stay(tmp_path):
    path = tmp_path / "config"
    path.write_bytes(b"confirmed")
    path.chmod(0o644)
    files.put(str(path), b"new", str(tmp_path / "rejected"), b"confirmed")
    assert not (tmp_path / "rejected").exists()
    assert path.stat().st_mode & 0o777 == 0o644


def test_every_file_has_its_own_name_aside():
    assert files.aside("/store", "/etc/config/netpolicy", "/etc/config/netpolicy") == "/store/rejected"
    assert files.aside("/store", "/etc/netpolicy/more.dsl", "/etc/config/netpolicy") == "/store/rejected-more.dsl"


def test_it_is_told_whether_something_was_kept(tmp_path):
    path, aside = tmp_path / "config", str(tmp_path / "rejected")
    assert not files.put(str(path), b"a", aside)  # there was none
    assert not files.put(str(path), b"a", aside)  # the same
    assert not files.put(str(path), b"b", aside, b"a")  # known
    assert files.put(str(path), b"c", aside) and (tmp_path / "rejected").read_bytes() == b"b"
