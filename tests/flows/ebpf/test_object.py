"""The committed objects are those of the committed source: built anew with the pinned clang, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from netpolicy.flows.ebpf.loading import FILES, FOLDER

PINNED = "clang-14"
# Debian's; other builds of the same version may order things in another way.
VERSION = "Debian clang version 14.0.6"


def reason_to_skip() -> str:
    """Why the objects cannot be built here; "" where they can."""
    if shutil.which(PINNED) is None:
        return f"{PINNED} is not installed (Debian 12: apt install --no-install-recommends {PINNED})"
    if shutil.which("make") is None:
        return "make is not installed"
    said = subprocess.run([PINNED, "--version"], capture_output=True, text=True, check=True).stdout
    return "" if said.startswith(VERSION) else f"{PINNED} is not {VERSION!r} but {said.splitlines()[0]!r}"


@pytest.mark.skipif(bool(reason := reason_to_skip()), reason=reason)
def test_the_objects_are_built_of_the_source(tmp_path: Path) -> None:
    """In another folder, so that no path of this machine can be in them."""
    for name in ("npflow.bpf.c", "npflow.h", "Makefile"):
        shutil.copy(Path(FOLDER) / name, tmp_path / name)
    done = subprocess.run(["make", "-C", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    different = [
        name for name in FILES.values() if (tmp_path / name).read_bytes() != (Path(FOLDER) / name).read_bytes()
    ]
    assert not different, f"{different}: run `make -C ebpf` and commit what it makes"
