"""`make bench`: measures what was asked for, writes build/bench/*.json, prints a table.

Never asserts anything and never compares with another run: a person does. What each family
measures is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine, report
from benchmarks.measure import LEFT_OUT, SAMPLE_SECONDS, Family, Options, Result, order, progress, run

# Each has FAMILIES: the word for --only, and what yields its Turns. Loaded when asked for.
MODULES = ("decide", "path", "apply", "memory", "tracking", "inspector", "lines", "names")
NICENESS = -10
FOLDER = Path(__file__).resolve().parents[1] / "build" / "bench"


def main(argv: list[str] | None = None) -> int:
    """Runs the chosen families; 0 unless none has that name."""
    given = _arguments(argv)
    options = Options(given.sizes, given.rounds, given.seconds)
    _settle(given.core)
    chosen = [(name, family) for name, family in families() if not given.only or name in given.only]
    if not chosen:
        known = ", ".join(sorted({name for name, _ in families()}))
        print(f"bench: there is no family {', '.join(given.only)}; there are {known}", file=sys.stderr)
        return 2
    described = machine.describe(given.rounds, given.sizes)
    results: list[Result] = []
    for name, family in chosen:
        results += _run(name, family, options)
        # After each: what was measured is there also when a later family fails.
        report.write(given.folder, results, {**described, "left_out": LEFT_OUT})
    print(f"results in {given.folder}", file=sys.stderr)
    return 0


def families() -> Iterator[tuple[str, Family]]:
    """Every family by its word; two modules may serve one word."""
    for name in MODULES:
        if importlib.util.find_spec(f"benchmarks.{name}") is None:
            continue
        yield from importlib.import_module(f"benchmarks.{name}").FAMILIES.items()


def _run(name: str, family: Family, options: Options) -> list[Result]:
    found = []
    for turns in family(options):
        progress(f"{name}: {', '.join(list(turns.samples)[:3])}{' …' if len(turns.samples) > 3 else ''}")
        found += run(turns, options)
    found.sort(key=lambda result: order(result.name))
    print(report.table(found), flush=True)
    return found


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Medians of interleaved runs, as JSON.")
    parser.add_argument("--only", type=_words, default=(), metavar="FAMILY,…", help="these families alone")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="turns per case (default: %(default)s)")
    parser.add_argument("--sizes", type=_numbers, default=(10, 100, 1_000, 10_000), metavar="N,…", help="rules")
    parser.add_argument(
        "--seconds", type=float, default=SAMPLE_SECONDS, help="one sample, about (default: %(default)s)"
    )
    parser.add_argument("--core", type=int, default=None, metavar="N", help="run on this one (default: the first)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results go (default: build/bench)")
    return parser.parse_args(argv)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _settle(core: int | None) -> None:
    """On one core, and before others there: a sample that is interrupted meets cold caches afterwards."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed) if core is None else core})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


if __name__ == "__main__":
    raise SystemExit(main())
