"""What watching connections costs the packets, and what is seen of how many of them.

Throughput is taken as in `path`: one core does everything, and courses with and without a tier take turns. How many
connections a tier sees without a loss, and what one costs its reader, comes from prebuilt frames at steady rates.
Never asserts a bar. Where a tier is not to be had it is left out, with the reason.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from benchmarks.conversations import Conversations, Talking
from benchmarks.course import LATE_SECONDS, Course, WrongMeasure
from benchmarks.effort import Effort
from benchmarks.inspector_memory import grown
from benchmarks.inspector_program import program
from benchmarks.measure import Family, Options, Ratio, Sample, Turns
from benchmarks.path_rules import open_flows
from benchmarks.talk import Bulk
from benchmarks.watching import NONE, TICK, TIERS, Watching, there

OPEN_FLOWS = 64
PARTS = 15

SLOW, STEADY = 50, 500  # connections per second, for what one costs the reader
# Tried one after the other until something is lost.
RATES = (4_000, 8_000, 12_000, 16_000, 20_000, 24_000)
TALKS = 50  # a conversation takes so many times the length of a sample


def throughput(options: Options) -> Iterator[Turns]:
    """One TCP connection: with big packets, as a host or a merging device sends them, and in frames of 1500 bytes."""
    tiers = there()
    for what, offload in (("gso", True), ("frames", False)):
        lane = _Lane(offload, tiers, options.seconds)
        base = f"inspector/throughput/{what}"
        samples: dict[str, Sample] = {f"{base}/{tier}": partial(lane.sample, tier) for tier in (NONE, *tiers)}
        ratios = tuple(Ratio(f"{base}/{tier}", f"{base}/{tier}", f"{base}/{NONE}") for tier in tiers)
        yield Turns("Gbit/s", samples, ratios, lane.close, parts=PARTS, best=max)


def connections(options: Options) -> Iterator[Turns]:
    """How many are seen without a loss, and what one costs the reader, with and without reading its name."""
    seconds = options.seconds * TALKS
    with contextlib.closing(_Road()) as road:
        rates: dict[str, Sample] = {
            f"inspector/lossless/{tier}": partial(_lossless, road, tier, seconds) for tier in there()
        }
        yield Turns("connections/s", rates, counts=tuple(rates))
        for rate in (SLOW, STEADY):
            costs: dict[str, Sample] = {}
            for tier, words in itertools.product(there(), ("", "/read")):
                costs[f"inspector/cpu/{rate}/{tier}{words}"] = partial(_cost, road, tier, rate, seconds, bool(words))
            yield Turns("µs", costs, budget=30.0)


def memory(options: Options) -> Iterator[Turns]:
    """What the resident set of a process grows by when a tier watches, and when all of them do."""
    tiers = there()
    together = [(tier,) for tier in tiers] + ([TIERS] if tiers == TIERS else [])
    samples: dict[str, Sample] = {f"inspector/memory/{'+'.join(one)}": partial(grown, one) for one in together}
    yield Turns("MB", samples, counts=tuple(samples))


def inspector(options: Options) -> Iterator[Turns]:
    """All of it."""
    yield from program(options)
    yield from throughput(options)
    yield from connections(options)
    yield from memory(options)


FAMILIES: dict[str, Family] = {"inspector": inspector}


class _Lane:
    """One course and one connection at a time, which every tier is put on in turn, and taken off.

    Some connections are lucky with their memory, by a third: more than all that is to be seen here. So each carries
    all the samples of one turn, with and without a tier, and the next turn has another.
    """

    def __init__(self, offload: bool, tiers: tuple[str, ...], seconds: float) -> None:
        self._course = Course(offload)
        self._seconds = seconds
        self._watching = {tier: Watching(tier, self._course) for tier in tiers}
        for one in self._watching.values():
            one.leave()
        self._places = itertools.cycle(open_flows(OPEN_FLOWS, 0))
        self._talk: Bulk | None = None
        self._taken: set[str] = set()

    def sample(self, tier: str) -> float:
        """Gbit/s per second of CPU time, with that tier on the device."""
        talk = self._connection(tier)
        watching = self._watching.get(tier)
        if watching is not None:
            watching.come()
        talk.run(self._seconds / 4)
        effort = Effort()
        began = effort.now()
        arrived = talk.run(self._seconds)
        time.sleep(0.0005)  # what was left to the kernel's helper thread belongs to this sample
        took = effort.now() - began
        if watching is not None:
            watching.leave()
        return arrived * 8 / 1e9 / took

    def close(self) -> None:
        if self._talk is not None:
            self._talk.close()
        for one in self._watching.values():
            one.close()
        self._course.close()

    def _connection(self, tier: str) -> Bulk:
        if self._talk is None or tier in self._taken:
            if self._talk is not None:
                self._talk.close()
            self._talk = Bulk(self._course, next(self._places))
            self._taken.clear()
        self._taken.add(tier)
        return self._talk


class Made(NamedTuple):
    """How many connections, how long they took, and how long the reader was at work for them."""

    number: int
    seconds: float
    cpu: float


class _Road:
    """A course and the connections that nobody made on it yet."""

    def __init__(self) -> None:
        self.course = Course()
        self._first = 0

    def made(self, watching: Watching, rate: float, seconds: float) -> Made:
        """New connections at that rate, while somebody watches."""
        count = max(20, int(rate * seconds))
        talking = Talking(Conversations(self.course, count, first=self._first), rate)
        self._first += count
        began, worked = time.perf_counter(), time.process_time()
        while talking.running():
            watching.drain(TICK)
        took = time.perf_counter() - began
        talking.end()
        for _ in range(3):  # what waits in a block that is not full
            if watching.ends < count:
                watching.drain(TICK)
        until = time.monotonic() + LATE_SECONDS
        while not watching.hellos and time.monotonic() < until:  # nobody let us look
            watching.drain(TICK)
        return Made(count, took, time.process_time() - worked)

    def close(self) -> None:
        self.course.close()


def _lossless(road: _Road, tier: str, seconds: float) -> float:
    """The highest of RATES at which every hello and every end was told; 0 where none was."""
    best = 0.0
    for rate in RATES:
        with contextlib.closing(Watching(tier, road.course)) as watching:
            made = road.made(watching, rate, seconds)
            if watching.lost() or watching.hellos != made.number or watching.ends != made.number:
                break
            best = made.number / made.seconds
    return best


def _cost(road: _Road, tier: str, rate: float, seconds: float, reads: bool) -> float:
    """CPU time of the reader per connection, in µs."""
    with contextlib.closing(Watching(tier, road.course, reads)) as watching:
        made = road.made(watching, rate, seconds)
        if not watching.hellos or (reads and watching.names < watching.hellos):
            raise WrongMeasure(f"of {made.number} connections {watching.hellos} were seen, {watching.names} names read")
        return made.cpu / made.number * 1e6
