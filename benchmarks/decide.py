"""Decisions and the compilation of rules: the compiled index against the reference evaluator's walk.

    decide/<shape>/<rules>          µs of CPU per decision, packets made for rules drawn at random
    decide/<shape>/<rules>/miss     packets that no rule is made for
    decide/<shape>/<rules>/reference, …/miss/reference    the same by the walk, over fewer packets
    compile/<rules>                 ms of CPU to compile mixed rules; the collector off, as where it matters
    compile/<rules>/longest         the longest time between two steps of it
    memory/index/<rules>            bytes per rule that the index adds to mixed rules

Shapes and packets: `shapes`. The predecessor's shape is asked as its own benchmark asked it, with one
packet again and again; the others with so many packets that they do not stay in the nearest cache.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.measure import Family, Options, Ratio, Sample, Turns
from benchmarks.shapes import packets_for, shape
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import Facts
from netpolicy.core.index import Building, build
from netpolicy.core.model import Ruleset

SHAPES = ("predecessor", "domains", "cidr", "mixed", "shared", "keywords", "regexes")
PACKETS = 5000

# The walk looks at this many rules in a sample, so that it ends: packets are as many as that allows.
WALKED = 20_000

MICROSECONDS = 1e6
MILLISECONDS = 1e3


def decisions(options: Options) -> Iterator[Turns]:
    """Hits and misses of every shape at every size."""
    for name in SHAPES:
        for size in options.sizes:
            yield _decisions(name, size, options.seconds)


def _decisions(name: str, size: int, seconds: float) -> Turns:
    ruleset = shape(name, size)
    view = build(ruleset).view()
    samples: dict[str, Sample] = {}
    ratios = []
    for ending, hit in (("", True), ("/miss", False)):
        packets = packets_for(name, ruleset, 1 if name == "predecessor" else PACKETS, hit)
        ours = f"decide/{name}/{size}{ending}"
        samples[ours] = _per_packet(view.decide, packets, seconds)
        few = packets[: max(1, WALKED // size)]
        samples[f"{ours}/reference"] = _per_packet(lambda facts: decide(ruleset, facts), few, seconds)
        ratios.append(Ratio(ours, ours, f"{ours}/reference"))
    gc.collect()
    gc.freeze()  # as after every compilation: what stays is not looked through again and again
    return Turns("µs", samples, tuple(ratios), close=gc.unfreeze)


def _per_packet(answer: Callable[[Facts], object], packets: list[Facts], seconds: float) -> Sample:
    """Microseconds of CPU per packet, over all of them so often that it takes that long."""

    def once() -> float:
        began = time.process_time()
        for packet in packets:
            answer(packet)
        return time.process_time() - began

    times = max(1, int(seconds / max(once(), 1e-6)))
    if len(packets) == 1:  # the loop around it would be half of what is measured
        packets = packets * min(times, 10_000)
        times = max(1, times // len(packets))
    return lambda: sum(once() for _ in range(times)) / times / len(packets) * MICROSECONDS


def compilations(options: Options) -> Iterator[Turns]:
    """Mixed rules, in steps."""
    rulesets = {size: shape("mixed", size) for size in options.sizes}
    samples: dict[str, Sample] = {}
    for size, ruleset in rulesets.items():
        samples[f"compile/{size}"] = partial(_total, ruleset)
        samples[f"compile/{size}/longest"] = partial(_longest, ruleset)
    yield Turns("ms", samples)


def _total(ruleset: Ruleset) -> float:
    return sum(_steps(ruleset))


def _longest(ruleset: Ruleset) -> float:
    return max(_steps(ruleset))


def _steps(ruleset: Ruleset) -> list[float]:
    """How long each step took, in ms of CPU."""
    gc.collect()
    gc.disable()
    taken = []
    began = time.process_time()
    building = Building(ruleset)  # held to the end: freeing an index is no part of making it
    for _ in building.steps():
        taken.append((time.process_time() - began) * MILLISECONDS)
        began = time.process_time()
    taken.append((time.process_time() - began) * MILLISECONDS)
    gc.enable()
    return taken


def footprints(options: Options) -> Iterator[Turns]:
    """What stays in memory of a compilation."""
    samples: dict[str, Sample] = {}
    for size in options.sizes:
        samples[f"memory/index/{size}"] = partial(_bytes_per_rule, size)
    yield Turns("bytes", samples, counts=tuple(samples))


def _bytes_per_rule(size: int) -> float:
    ruleset = shape("mixed", size)
    gc.collect()
    tracemalloc.start()
    index = build(ruleset)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / len(index.rules)


FAMILIES: dict[str, Family] = {"decide": decisions, "compile": compilations, "memory": footprints}
