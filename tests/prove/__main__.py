"""`make prove`: a million engine cases, then 520 rule sets and their reloads in the real kernel.

python -m tests.prove                   everything
python -m tests.prove kernel 0 520      the kernel's part for these seeds: SEEDS="0 520"
python -m tests.prove engine            the engine's part
python -m tests.prove shrink 17         the smallest scene of a seed that still differs
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable

from tests.prove.chain import journey
from tests.prove.compare import Travel, attempt
from tests.prove.router import Router
from tests.prove.shrink import Shrinker

SEEDS = (0, 520)  # 100 000 packets and more before any reload
SHOWN = 6  # differences of a seed that are printed; the first one is mostly the cause of all
EVERY = 10.0  # seconds between two lines of progress

_router: Router | None = None


def _open() -> None:
    global _router
    _router = Router()


def _seed(seed: int) -> tuple[int, Travel]:
    assert _router is not None
    return seed, attempt(_router, journey(seed))


def kernel(first: int, last: int) -> int:
    """Proves the seeds; prints what differs, returns in how many."""
    started = time.monotonic()
    total = Travel()
    wrong: list[int] = []
    with _pool(_open) as pool:
        for seed, found in _with_progress(pool.imap_unordered(_seed, range(first, last)), last - first):
            for text in found.differences[:SHOWN]:
                print(f"seed {seed}: {text}", flush=True)
            if found.differences:
                wrong.append(seed)
            for name in ("packets", "cold", "loads", "invalid", "untold", "matched"):
                setattr(total, name, getattr(total, name) + getattr(found, name))
    _say(total, last - first, time.monotonic() - started)
    print(f"kernel: seeds with a disagreement: {' '.join(map(str, sorted(wrong))) or 'none'}")
    return len(wrong)


def _say(total: Travel, seeds: int, seconds: float) -> None:
    print(
        f"kernel: {total.cold} packets over {seeds} rule sets, {total.packets - total.cold} after"
        f" {total.loads - seeds} reloads"
    )
    print(
        f"kernel: {total.matched} decided by a rule, {total.invalid} invalid to conntrack, {total.untold} not sent;"
        f" {total.packets / seconds:.0f} packets/s, {seconds:.0f} s"
    )


def engine() -> int:
    """The engine's part; returns how many cases differ."""
    from tests.prove.engine import CASES, SLICE, slice_differences

    wrong = 0
    started = time.monotonic()
    with _pool() as pool:
        count = CASES // SLICE
        for found in _with_progress(pool.imap_unordered(slice_differences, range(count)), count):
            wrong += len(found)
            print("".join(f"{text}\n" for text in found[:SHOWN]), end="", flush=True)
    print(f"engine: {count * SLICE} cases, {wrong} disagreements ({time.monotonic() - started:.0f} s)")
    return wrong


def shrink(seed: int) -> int:
    """Prints the smallest scene and packets of the seed that still differ."""
    router = Router()
    shrinker = Shrinker(router, journey(seed))
    left = shrinker.run()
    print(shrinker.text() if left else f"seed {seed}: nothing differs")
    for text in left[:SHOWN]:
        print(f"# {text}")
    router.close()
    return len(left)


def _pool(prepare: Callable[[], None] | None = None):
    return multiprocessing.get_context("fork").Pool(os.cpu_count() or 1, prepare)


def _with_progress(results: Iterable, count: int):
    said = time.monotonic()
    for done, result in enumerate(results, 1):
        yield result
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            print(f"… {done} of {count}", flush=True)


def main(words: list[str]) -> int:
    if words[:1] == ["shrink"]:
        return shrink(int(words[1]))
    if words[:1] == ["kernel"]:
        return kernel(int(words[1]), int(words[2]))
    if words[:1] == ["engine"]:
        return engine()
    return engine() + kernel(*SEEDS)


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
