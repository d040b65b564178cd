"""`make soak`: COUNT random stories (1 000), beginning at SEED, over as many labs as there are processors.

    python -m tests.acceptance.soak [COUNT [SEED [LABS]]]

Prints how many ended old and how many new; a story that ended otherwise is printed with its seed and all logs.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.chaos import Chaos, story
from tests.acceptance.scene import Scene


def share(first: int, last: int, step: int, fresh: dict[str, str]) -> tuple[Counter[str], list[str]]:
    """The stories of one lab, and what went wrong; a lab in which something did is built anew."""
    ended: Counter[str] = Counter()
    wrong: list[str] = []
    seeds = iter(range(first, last, step))
    is_left = True
    while is_left:
        with Scene() as scene:
            scene.serve_ssh()
            chaos = Chaos(scene, fresh)
            is_left = False
            for seed in seeds:
                try:
                    ended[f"{story(seed).accident} {chaos.run(story(seed))}"] += 1
                except AssertionError as problem:
                    wrong.append(str(problem))
                    print(problem, flush=True)
                    is_left = True
                    break
    return ended, wrong


def soak(count: int, first: int, labs: int) -> tuple[Counter[str], list[str]]:
    """All of them; the labs work side by side, and share what a fresh daemon makes of a configuration."""
    fresh: dict[str, str] = {}
    with ThreadPoolExecutor(labs) as pool:
        parts = [pool.submit(share, first + number, first + count, labs, fresh) for number in range(labs)]
        shares = [one.result() for one in parts]
    ended: Counter[str] = Counter()
    for one, _ in shares:
        ended += one
    return ended, [text for _, wrong in shares for text in wrong]


def main(words: list[str]) -> int:
    """1 when a story ended badly."""
    usual = ["1000", "1", str(os.cpu_count() or 1)]
    count, first, labs = [int(word) for word in words + usual[len(words) :]]
    begin = time.monotonic()
    ended, wrong = soak(count, first, labs)
    for name, number in sorted(ended.items()):
        print(f"{number:5} {name}")
    seconds = time.monotonic() - begin
    print(f"soak: seeds {first} to {first + count - 1}: {sum(ended.values())} old or new, {len(wrong)} otherwise, "
          f"{seconds:.0f} s")  # fmt: skip
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
