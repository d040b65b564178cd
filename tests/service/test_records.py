"""The firewall's include and the class numbers, as the next fw4 reload and the next daemon find them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netpolicy.service import files
from netpolicy.service.records import Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(str(tmp_path))


def include(folder: Path) -> str:
    return (folder / files.INCLUDE).read_text()


def test_both_files_are_written_and_read_again_by_the_next_run(records: Records, tmp_path: Path) -> None:
    records.remember("add table inet netpolicy\n", {"wan": 3})
    assert include(tmp_path) == "add table inet netpolicy\n"
    assert Records(str(tmp_path)).classes() == {"wan": 3}
    assert records.is_true


def test_the_same_again_writes_nothing(records: Records, tmp_path: Path) -> None:
    records.remember("text\n", {"wan": 3})
    before = [os.lstat(tmp_path / name).st_mtime_ns for name in (files.INCLUDE, files.CLASSES)]
    records.remember("text\n", {"wan": 3})
    assert [os.lstat(tmp_path / name).st_mtime_ns for name in (files.INCLUDE, files.CLASSES)] == before


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_an_include_that_is_gone_or_somebody_elses_is_noticed_and_written_again(
    records: Records, tmp_path: Path, damage: str
) -> None:
    records.remember("text\n", {})
    path = tmp_path / files.INCLUDE
    path.unlink()
    if damage == "other":
        path.write_text("flush ruleset\n")
    assert not records.is_true
    records.remember("text\n", {})
    assert (include(tmp_path), records.is_true) == ("text\n", True)


def test_a_new_run_does_not_believe_the_file_of_a_former_one(records: Records, tmp_path: Path) -> None:
    records.remember("old\n", {})
    assert not Records(str(tmp_path)).is_true


def test_what_the_kernel_refused_is_taken_back(records: Records, tmp_path: Path) -> None:
    records.remember("old\n", {})
    before = records.go_back()
    records.remember("new\n", {})
    records.restore(before)
    assert include(tmp_path) == "old\n"


def test_what_somebody_else_wrote_meanwhile_is_not_put_back(records: Records, tmp_path: Path) -> None:
    records.remember("old\n", {})
    (tmp_path / files.INCLUDE).unlink()
    (tmp_path / files.INCLUDE).write_text("flush ruleset\n")
    before = records.go_back()
    records.remember("new\n", {})
    records.restore(before)
    assert not (tmp_path / files.INCLUDE).exists()


def test_the_text_itself_is_not_kept(records: Records) -> None:
    """It is megabytes with ten thousand rules."""
    records.remember("text\n" * 200_000, {})
    held = sum([sys.getsizeof(getattr(records, name)) for name in vars(records)])
    assert held < 10_000 and records.go_back() == "text\n" * 200_000


def test_a_first_text_that_was_refused_leaves_no_include(records: Records, tmp_path: Path) -> None:
    before = records.go_back()
    records.remember("new\n", {})
    records.restore(before)
    assert not (tmp_path / files.INCLUDE).exists()


def test_withdrawn_and_forgotten_nothing_is_left(records: Records, tmp_path: Path) -> None:
    records.remember("text\n", {"wan": 1})
    records.withdraw()
    records.forget_classes()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
    assert records.classes() == {}
