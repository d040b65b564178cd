"""Configuration files for the commands that need no daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.cli import files
from netpolicy.cli.exit_code import Failure
from netpolicy.cli.terminal import Terminal
from netpolicy.config.diagnostic import Diagnostic


def test_a_place_is_as_exact_as_it_is_known() -> None:
    def place(line: int, column: int) -> str:
        return files.place(Diagnostic("NP001", "error", "f", line, column, "", "text"))

    assert (place(0, 0), place(3, 0), place(3, 7)) == ("f", "f:3", "f:3:7")


@pytest.mark.parametrize("name", ["folder", "fifo"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import os
    import sys

    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(Failure) as refused:
        files.read(str(tmp_path / name), Terminal(sys.stdout, sys.stderr))
    assert name in refused.value.text and "not a plain file" in refused.value.text
