"""Reading plain files of bounded size, on real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.text_file import MAX_BYTES, decode, read_bytes


def refused(path: str) -> tuple[str, str]:
    findings = Findings()
    assert read_bytes(path, findings) is None
    (finding,) = findings.all
    return finding.code, finding.message


def test_the_bytes_of_a_file(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"\xff\0")
    findings = Findings()
    assert read_bytes(str(tmp_path / "a"), findings) == b"\xff\0"
    assert not findings.all


def test_a_file_may_have_as_much_as_the_limit_and_no_more(tmp_path: Path):
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(MAX_BYTES)
    assert len(read_bytes(str(tmp_path / "a"), Findings()) or b"") == MAX_BYTES
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    assert refused(str(tmp_path / "a")) == ("NP004", "the file is larger than 4 MiB")


def test_a_file_that_is_not_there_is_said_in_the_systems_words(tmp_path: Path):
    path = str(tmp_path / "none")
    assert refused(path) == ("NP001", f"failed to read {path}: No such file or directory")


def test_what_is_no_plain_file_is_not_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        assert refused(str(path)) == ("NP001", "not a plain file")


def test_a_path_that_no_file_can_have():
    assert refused("a\0b")[0] == "NP001"
    assert refused("a" * 5000)[0] == "NP001"
    assert refused("\ud800")[0] == "NP001"


def test_text_is_utf_8():
    findings = Findings()
    assert decode("Büro 🎮".encode(), "f", findings) == "Büro 🎮"
    assert not findings.all


@pytest.mark.parametrize("data", [b"\xff", b"\xc3", b"\xed\xa0\x80", "ü".encode("latin-1"), "ü".encode("utf-16")])
def test_other_bytes_are_reported_with_their_line(data):
    findings = Findings()
    assert decode(b"a\nb\n" + data, "f", findings) is None
    assert [(one.code, one.line) for one in findings.all] == [("NP002", 3)]
