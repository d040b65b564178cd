"""One generation as a folder; what the store does with many is in test_generations.py."""

from __future__ import annotations

import os

import pytest

from netpolicy.service import generation
from netpolicy.service.generation import Damaged, Generation


def test_a_folder_holds_what_was_written_and_is_of_one_number(tmp_path):
    folder = str(tmp_path / "one")
    written = Generation(5, {"/a": b"text", "/b": b""}, {"why": "ü"}, 4)
    generation.write(folder, written)
    assert generation.read(folder, 5) == written
    with pytest.raises(Damaged, match="generation 6 is damaged: it is of another one"):
        generation.read(folder, 6)
    with pytest.raises(FileExistsError):
        generation.write(folder, written)


def test_a_main_file_is_kept(tmp_path):
    with pytest.raises(ValueError, match="too long"):
        generation.write(str(tmp_path / "one"), Generation(1, {"/a": bytes(generation.MAIN_LIMIT + 1)}, {}))
    with pytest.raises(ValueError, match="too long"):
        generation.write(str(tmp_path / "two"), Generation(1, {"/a": b""}, {"plan": "x" * generation.META_LIMIT}))


def test_a_reason_says_which_file_and_what(tmp_path):
    folder = tmp_path / "one"
    generation.write(str(folder), Generation(1, {"/a": b"text"}, {}))
    (folder / "config").unlink()
    with pytest.raises(Damaged, match="config: No such file"):
        generation.read(str(folder), 1)
    (folder / "meta.json").write_text("[" * 100_000)
    with pytest.raises(Damaged, match=r"meta\.json is not what was written"):
        generation.read(str(folder), 1)


def test_size_is_told_in_blocks(tmp_path):
    generation.write(str(tmp_path / "one"), Generation(1, {"/a": b"x" * 5000}, {}))
    assert generation.size_of(str(tmp_path / "one")) == 4096 * 4


def test_what_is_renamed_while_sizes_are_told_counts_for_nothing(tmp_path, monkeypatch):
    """The mark of one that is well is put there by the loop, which waits for no worker."""
    (tmp_path / "healthy.tmp").write_bytes(b"x" * 5000)
    listed = os.scandir

    def renamed_then(folder):
        found = list(listed(folder))
        (tmp_path / "healthy.tmp").unlink()
        return found

    monkeypatch.setattr(os, "scandir", renamed_then)
    assert generation.size_of(str(tmp_path)) == 4096
