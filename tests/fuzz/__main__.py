"""`make fuzz`: a million inputs for every parser, with the seed that repeats them.

    python -m tests.fuzz [--parser NAME …] [--count N] [--seed N] [--engine own|atheris|auto]

Ends with 1 when an input was not survived. What was found is written into build/fuzz/.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from random import Random

from .harness import BATCH, Finding, Limits, run, smaller
from .mutation import Mutator
from .seeds import corpus, tokens
from .targets import HAS_LIBRARY, TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "build/fuzz"
SHOWN = 400  # bytes of an input
LAST_LINES = 60  # of Atheris, when it found something
EVERY = 15  # seconds between two lines of progress
MOST_FINDINGS = 50  # of a parser in one run; the same place is reported once


def main(argv: list[str] | None = None) -> int:
    options = _options(argv)
    names = [name for name in options.parser or TARGETS if HAS_LIBRARY or name != "yaml-library"]
    engine = options.engine
    if engine == "auto":
        engine = "atheris" if importlib.util.find_spec("atheris") else "own"
    print(f"{options.count} inputs each, seed {options.seed}, {engine}: {' '.join(names)}", flush=True)
    fuzz = _guided if engine == "atheris" else _own
    bad = [name for name in names if not fuzz(name, options.count, options.seed)]
    print(f"not survived by: {' '.join(bad)}" if bad else "everything was survived", flush=True)
    return 1 if bad else 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--parser", action="append", choices=sorted(TARGETS), help="only this one (repeatable)")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("auto", "own", "atheris"), default="auto")
    return parser.parse_args(argv)


def _own(name: str, count: int, seed: int) -> bool:
    """Our own mutations, in processes of BATCH inputs; behind a finding it goes on with other inputs."""
    texts, words = corpus(name), tokens(name)
    begun = shown = time.monotonic()
    done = findings = 0
    reported: set[str] = set()
    while done < count and findings < MOST_FINDINGS:
        size = min(BATCH, count - done)
        mutator = Mutator(Random(f"{seed} {done}"), texts, words)
        found = run(TARGETS[name], mutator.next, size)
        if found is not None:
            findings += 1
            if found.where not in reported:
                reported.add(found.where)
                _report(name, smaller(TARGETS[name], found, Limits()))
        done += size if found is None else found.number
        if time.monotonic() - shown > EVERY or done >= count:
            shown = time.monotonic()
            print(f"{name}: {done} of {count}, {done / (shown - begun):.0f}/s, {findings} findings", flush=True)
    return not findings


def _report(name: str, found: Finding) -> None:
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"{name}-{hashlib.sha256(found.data).hexdigest()[:12]}"
    path.write_bytes(found.data)
    shown = found.data[:SHOWN]
    print(f"{name}: {found.what} on {len(found.data)} bytes {shown!r}\n{found.detail}\n{path}", flush=True)


def _guided(name: str, count: int, seed: int) -> bool:
    """Atheris: each parser in a process that it owns. It ends at the first finding, with its words."""
    FOUND.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.guided", name, str(count), str(seed), f"{FOUND}/{name}-"]
    child = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert child.stdout is not None
    last: deque[str] = deque(maxlen=LAST_LINES)
    shown = time.monotonic()
    for line in child.stdout:
        last.append(line)
        if line.startswith("#") and ("DONE" in line or time.monotonic() - shown > EVERY):
            shown = time.monotonic()
            print(f"{name}: {line.strip()}", flush=True)
    if child.wait():
        print("".join(last), flush=True)
    return child.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
