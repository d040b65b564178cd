"""`make mutants`: each defect in a copy of this checkout, and the test that has to turn red with it.

    python -m tests.mutants [NUMBER…]

The unchanged copy has to be green first. Exit code 1: a defect went unnoticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600
EVERY = "5"  # of the deaths at every step: a defect that shows between two of them is no defect that nobody notices


def copy(where: Path) -> None:
    """The files of this checkout that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, where / name)


def is_green(where: Path, test: tuple[str, str]) -> tuple[bool, str]:
    """Whether the test passes there, and what it said last. Anything but a test that failed is a fault of ours."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "--no-header",
        "-p",
        "no:cacheprovider",
        test[0],
        "-k",
        test[1],
    ]
    environment = {**os.environ, "EVERY": EVERY}
    done = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{test[0]} -k {test[1]!r}: pytest ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.returncode == 0, done.stdout.strip().rpartition("\n")[2]


def is_found(where: Path, one: Mutant) -> bool:
    """Whether the test turns red with this defect."""
    kept = {file: (where / file).read_text() for file, _, _ in one.edits}
    try:
        for file, old, new in one.edits:
            (where / file).write_text((where / file).read_text().replace(old, new))
        green, _ = is_green(where, one.test)
    finally:
        for file, text in kept.items():
            (where / file).write_text(text)
    return not green


def main(words: list[str]) -> int:
    """Those with these numbers, or all."""
    chosen = [one for one in MUTANTS if not words or str(one.number) in words]
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        copy(where)
        for one in chosen:
            begin = time.monotonic()
            found = is_found(where, one)
            print(
                f"{one.number:2} {'red ' if found else 'GREEN'} {one.name} ({time.monotonic() - begin:.0f} s)",
                flush=True,
            )
            if not found:
                missed.append(one.name)
        for test in sorted({one.test for one in chosen}):
            green, said = is_green(where, test)
            if not green:
                missed.append(f"{test} without any defect: {said}")
                print(f"not green by itself: {test}: {said}", flush=True)
    print(f"mutants: {len(chosen)}, unnoticed: {len(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
