"""Lines of files for showing, and which are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.cli.source_line import SourceLines
from netpolicy.config.diagnostic import Diagnostic


def item(path: Path, code: str = "NP105", line: int = 2) -> Diagnostic:
    return Diagnostic(code, "error", str(path), line, 1, "", "text")


def test_a_line_is_read_without_its_end(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(b"one\r\ntwo\r\n")
    assert SourceLines([]).of(item(path)) == "two"
    assert SourceLines([]).of(item(path, line=9)) == ""
    assert SourceLines([]).of(item(path, line=0)) == ""


@pytest.mark.parametrize("code", ["NP002", "NP003", "NP004", "NP102"])
def test_nothing_of_a_uci_file_with_mistakes_of_form_is_shown(code: str, tmp_path: Path) -> None:
    path = tmp_path / "shadow"
    path.write_text("root:secret\nroot:secret\n")
    broken = item(path, code)
    assert SourceLines([broken]).of(broken) == ""
    assert SourceLines([broken]).of(item(path)) == ""
    dsl = tmp_path / "rules.np"
    dsl.write_text("one\ntwo\n")
    assert SourceLines([item(dsl, code)]).of(item(dsl, code)) == "two"


def test_nothing_of_a_lists_file_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a\nb\n")
    assert SourceLines([]).of(item(path, "NP217")) == ""


def test_what_cannot_be_read_again_has_no_lines(tmp_path: Path) -> None:
    assert SourceLines([]).of(item(tmp_path / "gone")) == ""
    assert SourceLines([]).of(item(tmp_path)) == ""
    (tmp_path / "bytes").write_bytes(b"\n\xff\n")
    assert SourceLines([]).of(item(tmp_path / "bytes")) == ""
