"""What a process grows by when the inspector works in it: code, tables, rings, and what its traffic leaves behind.

Measured in an interpreter of its own, which has what the daemon has anyway. Never counts the frames that are sent.

    python -m benchmarks.inspector_memory ebpf packet
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import time
from pathlib import Path

from netpolicy.flows import watch  # what every daemon has

CONNECTIONS, RATE = 3_000, 1_500.0
ROOT = Path(__file__).resolve().parents[1]
HAS_ANYWAY = (asyncio, watch)


def grown(tiers: tuple[str, ...]) -> float:
    """MB that the resident set is larger with these tiers, after some thousand connections. RuntimeError."""
    command = [sys.executable, "-m", "benchmarks.inspector_memory", *tiers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
    return float(done.stdout)


def main(tiers: list[str]) -> int:
    """Watches, and prints the difference."""
    from benchmarks.conversations import Conversations, Talking
    from benchmarks.course import LATE_SECONDS, Course

    course = Course()
    conversations = Conversations(course, CONNECTIONS)
    before = _resident()
    with contextlib.ExitStack() as ends:
        from benchmarks.watching import TICK, Watching

        watching = [Watching(tier, course, reads=True) for tier in tiers]
        for one in watching:
            ends.callback(one.close)
        talking = Talking(conversations, RATE)
        while talking.running():
            for one in watching:
                one.drain(TICK / len(watching))
        talking.end()
        until = time.monotonic() + LATE_SECONDS  # all of it may have been sent while we were not let run
        while not all(one.hellos for one in watching) and time.monotonic() < until:
            for one in watching:
                one.drain(TICK)
        if not all(one.hellos for one in watching):
            raise RuntimeError("a tier saw nothing")
        gc.collect()
        print(_resident() - before)
    course.close()
    return 0


def _resident() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.split()[0]) / 1_024
    raise RuntimeError("no VmRSS in /proc/self/status")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
