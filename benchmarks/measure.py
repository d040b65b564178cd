"""Takes turns: A B C A B C …, so that a machine whose speed drifts changes all of them alike.

The contract of every family: a function that yields `Turns`, which say what is measured and of
which neighbours a ratio is made. Never decides whether a figure is good. Data: the clock.

    def decisions(options: Options) -> Iterator[Turns]:
        for size in options.sizes:
            ours, theirs = f"decide/mixed/{size}", f"decide/mixed/{size}/reference"
            yield Turns("µs", {ours: …, theirs: …}, (Ratio(ours, ours, theirs),))

    FAMILIES = {"decide": decisions}
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

# A sample shorter than this is mostly the clock's own noise.
SAMPLE_SECONDS = 0.02

FEWEST_ROUNDS = 3

Sample = Callable[[], float]

# What could not be measured, with the reason: said in machine.json, so that a gap is not taken for a zero.
LEFT_OUT: list[str] = []


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller asked for. `seconds`: how long one sample should take, at least about."""

    sizes: tuple[int, ...] = (10, 100, 1_000, 10_000)
    rounds: int = 15
    seconds: float = SAMPLE_SECONDS


@dataclass(frozen=True, slots=True)
class Ratio:
    """The result `name` is `of` divided by `against`, round by round. Both are names of samples."""

    name: str
    of: str
    against: str


@dataclass(frozen=True, slots=True)
class Turns:
    """Samples taken in turn. Each gives one value in `unit`; `close` ends what they need."""

    unit: str
    samples: Mapping[str, Sample]
    ratios: tuple[Ratio, ...] = ()
    close: Callable[[], None] = lambda: None
    budget: float = 120.0  # seconds: fewer rounds where all of them would take longer, but three at least
    counts: tuple[str, ...] = ()  # samples that are counted, not timed: taken once
    parts: int = 1  # a round takes every sample so many times, in turn, and keeps the best
    best: Callable[[Iterable[float]], float] = min  # the undisturbed one: min of times, max of rates


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a result file. `ratio` and `against` are None where there is nothing to compare with."""

    name: str
    value: float
    unit: str
    ratio: float | None
    against: str | None
    spread: float


Family = Callable[[Options], Iterator[Turns]]


def run(turns: Turns, options: Options) -> list[Result]:
    """Every sample once to warm up, then in turn; closes the turns."""
    try:
        taken = _rounds(turns, options.rounds)
    finally:
        turns.close()
    results = [_ratio(ratio, taken, turns.unit) for ratio in turns.ratios]
    named = {result.name for result in results}
    alone = [_alone(name, values, turns.unit) for name, values in taken.items() if name not in named]
    return sorted(alone + results, key=lambda result: order(result.name))


def order(name: str) -> tuple[tuple[int, int, str], ...]:
    """`path/new/100` before `path/new/1000`."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split("/"))


def _rounds(turns: Turns, rounds: int) -> dict[str, list[float]]:
    timed = {name: sample for name, sample in turns.samples.items() if name not in turns.counts}
    taken = {name: [turns.samples[name]()] for name in turns.counts}
    began = time.perf_counter()
    _turn(timed, 0)  # the first time pays for what is built once
    for _ in range(_affordable(turns, rounds, time.perf_counter() - began)):
        parts = [_turn(timed, number) for number in range(turns.parts)]
        for name in timed:
            # What disturbs a sample only makes it worse: other work, a cold cache, the host of a virtual machine.
            taken.setdefault(name, []).append(turns.best(part[name] for part in parts))
    return taken


def _affordable(turns: Turns, rounds: int, seconds: float) -> int:
    """How many rounds fit into the budget, when one part of a round took so long."""
    return min(rounds, max(FEWEST_ROUNDS, int(turns.budget / (seconds * turns.parts)))) if turns.samples else 0


def _turn(samples: Mapping[str, Sample], number: int) -> dict[str, float]:
    """Each sample once; backwards every second time, so that what one leaves behind meets another neighbour."""
    names = list(samples)
    return {name: samples[name]() for name in (reversed(names) if number % 2 else names)}


def _ratio(ratio: Ratio, taken: Mapping[str, list[float]], unit: str) -> Result:
    values = taken[ratio.of]
    ratios = [mine / theirs for mine, theirs in zip(values, taken[ratio.against], strict=True)]
    median = statistics.median(ratios)
    return Result(ratio.name, statistics.median(values), unit, median, ratio.against, spread(ratios))


def _alone(name: str, values: list[float], unit: str) -> Result:
    return Result(name, statistics.median(values), unit, None, None, spread(values))


def spread(values: list[float]) -> float:
    """The distance of the 90th and the 10th percentile over the median."""
    median = statistics.median(values)
    return (_quantile(values, 0.9) - _quantile(values, 0.1)) / abs(median) if median else 0.0


def _quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def seconds_per_call(call: Callable[[], object], seconds: float = SAMPLE_SECONDS) -> Sample:
    """A sample of this process's CPU time per call, over as many calls as make it long enough."""
    began = time.perf_counter()
    call()
    times = max(1, int(seconds / max(time.perf_counter() - began, 1e-7)))

    def sample() -> float:
        start = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - start) / times

    return sample


def leave_out(what: str, why: object) -> None:
    """Notes that a case is missing from the results, and why."""
    LEFT_OUT.append(f"{what}: {why}")
    progress(f"left out: {what}: {why}")


def progress(text: str) -> None:
    """A word for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
