"""The manual pages: made of the programs' own tables, and taken by `man` without a complaint."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netpolicy.cli.arguments import COMMANDS
from netpolicy.config.schema import SECTIONS
from netpolicy.daemon.manual import _text, pages

ROOT = Path(__file__).resolve().parents[2]
PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_current(name: str) -> None:
    assert (ROOT / "docs/man" / name).read_text(encoding="utf-8") == PAGES[name], "make generated"


def test_every_command_and_every_option_has_its_place() -> None:
    assert all(f"\n.SS {_text(name)}\n" in PAGES["netpolicy.1"] for name in COMMANDS)
    for spec in SECTIONS.values():
        assert all(f"\\fB{_text(name)}\\fR\n" in PAGES["netpolicy.5"] for name in spec.options)


@pytest.mark.skipif(not shutil.which("groff"), reason="there is no groff to read them")
@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_read_without_a_warning(name: str) -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-z"]
    done = subprocess.run(command, input=PAGES[name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
