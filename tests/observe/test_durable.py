"""Files that outlive a power cut: old or new at every moment, and in the order that makes it so."""

from __future__ import annotations

import os
import time

import pytest

from netpolicy.observe import durable
from tests.power import Disk, deaths, every_world, memory_folder, watched


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


def old(folder):
    (folder / "file").write_bytes(b"old")


def new(folder):
    durable.replace(str(folder / "file"), b"new" * 1000)


@pytest.mark.parametrize("way", [deaths, every_world])
def test_a_file_is_the_old_one_or_the_new_one(tmp_path, way):
    seen = set()
    for place in way(old, new, tmp_path):
        seen.add((place / "file").read_bytes())
        new(place)  # what the dead one left is no obstacle
        assert os.listdir(place) == ["file"] and (place / "file").read_bytes() == b"new" * 1000
    assert seen == {b"old", b"new" * 1000}


@pytest.mark.parametrize("way", [deaths, every_world])
def test_a_file_in_new_folders_is_there_whole_or_not_at_all(tmp_path, way):
    def act(folder):
        durable.replace(str(folder / "a/b/file"), b"new")

    seen = set()
    for place in way(lambda folder: None, act, tmp_path):
        path = place / "a/b/file"
        seen.add(path.read_bytes() if path.exists() else None)
    assert seen == {None, b"new"}


def careless(folder):
    """As most programs do it."""
    (folder / "file.tmp").write_bytes(b"new")
    os.rename(folder / "file.tmp", folder / "file")


def test_the_model_finds_a_careless_program(tmp_path):
    old(tmp_path)
    disk = Disk(tmp_path)
    with watched(disk):
        careless(tmp_path)
    assert disk.faults == ["rename of file.tmp before its content was synced"]
    assert disk.unsynced()
    with memory_folder() as where:
        (where / "x").mkdir()
        assert {(world / "file").read_bytes() for world in disk.worlds(where / "x")} >= {b"old", b""}


def test_reading_takes_plain_files_of_bounded_size_only(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert durable.read_plain(str(tmp_path / "file"), 5) == b"12345"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    started = time.monotonic()
    for name, limit in (("file", 4), ("link", 5), ("fifo", 5), (".", 5), ("none", 5)):
        with pytest.raises(OSError):
            durable.read_plain(str(tmp_path / name), limit)
    assert time.monotonic() - started < 60


def test_an_error_names_the_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file'"):
        durable.replace(str(tmp_path / "file/below"), b"")
    with pytest.raises(FileExistsError, match="file"):
        durable.write_new(str(tmp_path / "file"), b"")
