"""The packet path: what a packet, a new flow, a connection and a byte cost with N rules.

Every variant has a course of its own and all stand at the same time, so that samples of some
milliseconds are taken in turn. Value: per second of CPU time of one core, which does
everything, sender and receiver included. Never measures a router that decides wrongly: the
classes are checked against the reference evaluator first.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from benchmarks.course import LATE_SECONDS, REFUSALS, Course, WrongMeasure
from benchmarks.effort import Effort
from benchmarks.frames import Sender
from benchmarks.measure import Family, Options, Ratio, Sample, Turns, leave_out, progress
from benchmarks.path_rules import flows, open_flows, ruleset
from benchmarks.talk import Bulk, Connections, Datagrams
from netpolicy.core.model import Ruleset

BATCH = 64
ENDLESS = 1 << 30
FEWEST = 256  # packets or connections in a sample, however slow: fewer would not meet all ranks alike
NEW_FLOWS = 32_768  # in one sample at most: half of what the smallest conntrack table holds
OPEN_FLOWS = 512
CHECKED_FLOWS = 200

# Samples are short and many: what disturbs one of them is told apart from what the rules cost.
PARTS = 15
SHARE = 0.25  # of the length that other samples have

# More are lost only where the helper thread of the core did not get its turn.
LOSS = 0.001

NONE, CONNTRACK, ROUTING, FIREWALL, FEW = "none", "conntrack", "routing", "firewall", "few"

Ends = list[Callable[[], None]]
Courses = dict[str, tuple[Course, int]]  # by variant, with the number of rules its traffic is made for


def path(options: Options) -> Iterator[Turns]:
    """Five kinds of traffic over all variants."""
    courses = _courses(options.sizes)
    try:
        for kind, unit, make in KINDS:
            ends: Ends = []
            asked = {variant: at for variant, at in courses.items() if kind == "new" or FEW not in variant}
            samples = {f"path/{kind}/{variant}": make(course, rules, options.seconds * SHARE, ends)
                       for variant, (course, rules) in asked.items()}  # fmt: skip
            close = partial(_close, ends)
            yield Turns(unit, samples, _ratios(kind, options.sizes, samples), close, parts=PARTS, best=max)
    finally:
        for course in {course for course, _ in courses.values()}:
            course.close()


FAMILIES: dict[str, Family] = {"path": path}


def _courses(sizes: tuple[int, ...]) -> Courses:
    largest = max(sizes)
    courses: Courses = {}
    for variant in (NONE, CONNTRACK, ROUTING, FIREWALL):
        courses[variant] = (Course(), largest)
    courses[CONNTRACK][0].load_conntrack()
    courses[ROUTING][0].load_routing()
    courses[FIREWALL][0].load_firewall()
    for size in (0, *sizes):
        progress(f"path: {size} rules, ours and one nft rule per policy")
        _add(courses, str(size), Course.carry, size)
        if size:
            _add(courses, f"linear/{size}", Course.load_linear, size)
    for size in sorted({min(sizes), largest}):
        _add(courses, f"{FIREWALL}/{size}", Course.carry, size)
        if f"{FIREWALL}/{size}" in courses:
            courses[f"{FIREWALL}/{size}"][0].load_firewall()
    if str(largest) in courses and largest > min(sizes):
        courses[f"{largest}/{FEW}"] = (courses[str(largest)][0], min(sizes))
    return courses


def _add(courses: Courses, variant: str, load: Callable[[Course, Ruleset], None], size: int) -> None:
    course, rules = Course(), ruleset(size)
    try:
        load(course, rules)
    except REFUSALS as refusal:
        course.close()
        leave_out(f"path/*/{variant}", refusal)
        return
    course.check(rules, flows(NEW_FLOWS, size)[:: NEW_FLOWS // CHECKED_FLOWS])
    courses[variant] = (course, size)


def _ratios(kind: str, sizes: tuple[int, ...], there: Mapping[str, Sample]) -> tuple[Ratio, ...]:
    base = f"path/{kind}"
    found = [Ratio(f"{base}/{one}", f"{base}/{one}", f"{base}/{NONE}") for one in (CONNTRACK, ROUTING, FIREWALL)]
    found.append(Ratio(f"{base}/{max(sizes)}/{FEW}", f"{base}/{max(sizes)}/{FEW}", f"{base}/{min(sizes)}"))
    for size in (0, *sizes):
        ours = f"{base}/{size}"
        found += [Ratio(ours, ours, f"{base}/{NONE}"),
                  Ratio(f"{ours}/vs/{CONNTRACK}", ours, f"{base}/{CONNTRACK}"),
                  Ratio(f"{base}/{FIREWALL}/{size}", f"{base}/{FIREWALL}/{size}", f"{base}/{FIREWALL}")]  # fmt: skip
        if size:
            # The most that anything that tracks connections could reach.
            best = f"{base}/{CONNTRACK}/vs/linear/{size}"
            found.append(Ratio(best, f"{base}/{CONNTRACK}", f"{base}/linear/{size}"))
            found.append(Ratio(f"{ours}/vs/linear", ours, f"{base}/linear/{size}"))
        if size > min(sizes):
            found.append(Ratio(f"{ours}/vs/{min(sizes)}", ours, f"{base}/{min(sizes)}"))
    return tuple(ratio for ratio in found if ratio.of in there and ratio.against in there)


def _close(ends: Ends) -> None:
    for end in ends:
        end()


# -- what runs ------------------------------------------------------------------------------
# Each sample first runs a little that is not measured. Else a course that runs twice in a row, at either end of a
# round, would meet its own caches and the others not: of eight equal courses those two were 7 % faster (measured).


def _established(course: Course, rules: int, seconds: float, ends: Ends) -> Sample:
    """Small datagrams of open flows from socket to socket."""
    talk = Datagrams(course, open_flows(OPEN_FLOWS, rules))
    ends.append(talk.close)

    def sample() -> float:
        _datagrams(talk, 0)
        return _per_second(lambda: _datagrams(talk, seconds))

    return sample


def _datagrams(talk: Datagrams, seconds: float) -> int:
    arrived = rounds = 0
    until = time.perf_counter() + seconds
    while not rounds or time.perf_counter() < until:
        arrived += talk.exchange()
        rounds += 1

    def all_arrived() -> int:
        nonlocal arrived
        arrived += talk.take()
        return arrived

    _expect(rounds * OPEN_FLOWS, all_arrived)
    return arrived


def _forward(course: Course, rules: int, seconds: float, ends: Ends) -> Sample:
    """Small packets of open flows, with next to nothing at both ends: nearly the router alone."""
    sender = course.sender(flows(OPEN_FLOWS, rules))
    ends.append(sender.close)

    def sample() -> float:
        _frames(course, sender, 0, ENDLESS, OPEN_FLOWS)
        return _frames(course, sender, seconds, ENDLESS)

    return sample


def _new(course: Course, rules: int, seconds: float, ends: Ends) -> Sample:
    """Every packet is the first of its flow."""
    sender = course.sender(flows(NEW_FLOWS, rules))
    ends += [sender.close, course.forget]

    def sample() -> float:
        _frames(course, sender, 0, FEWEST)
        course.forget()
        return _frames(course, sender, seconds, NEW_FLOWS)

    return sample


def _frames(course: Course, sender: Sender, seconds: float, most: int, fewest: int = FEWEST) -> float:
    before, first = course.arrived(), sender.passed
    rate = _per_second(lambda: _burst(sender, seconds, most, fewest))
    _expect(sender.passed - first, lambda: course.arrived() - before)
    return rate


def _burst(sender: Sender, seconds: float, most: int, fewest: int) -> int:
    first = sender.passed
    until = time.perf_counter() + seconds
    while sender.passed - first < min(fewest, most) or (time.perf_counter() < until and sender.passed - first < most):
        sender.send(BATCH)
    return sender.passed - first


def _connections(course: Course, rules: int, seconds: float, ends: Ends) -> Sample:
    """Short TCP connections, one after the other."""
    talk = Connections(course, open_flows(OPEN_FLOWS * 8, rules))
    ends += [talk.close, course.forget]

    def sample() -> float:
        talk.run(0, FEWEST // 8)
        course.forget()
        return _per_second(lambda: talk.run(seconds, FEWEST // 2))

    return sample


def _throughput(course: Course, rules: int, seconds: float, ends: Ends) -> Sample:
    """One TCP connection in frames of 1500 bytes, Gbit/s. A new one each time: some are lucky with their memory."""
    places = itertools.cycle(open_flows(OPEN_FLOWS, rules))
    ends.append(course.forget)

    def sample() -> float:
        with contextlib.closing(Bulk(course, next(places))) as talk:
            talk.run(seconds / 4)  # the slow start
            return _per_second(lambda: talk.run(seconds)) * 8 / 1e9

    return sample


KINDS = (
    ("established", "packets/s", _established),
    ("forward", "packets/s", _forward),
    ("new", "flows/s", _new),
    ("connections", "connections/s", _connections),
    ("throughput", "Gbit/s", _throughput),
)


def _per_second(work: Callable[[], int]) -> float:
    effort = Effort()
    began = effort.now()
    done = work()
    time.sleep(0.0005)  # what was left to the kernel's helper thread belongs to this sample
    return done / (effort.now() - began)


def _expect(sent: int, arrived: Callable[[], int]) -> None:
    """A thread of the kernel that was not let run holds some: they are waited for."""
    until = time.monotonic() + LATE_SECONDS
    while (came := arrived()) < sent * (1 - LOSS):
        if time.monotonic() >= until:
            raise WrongMeasure(f"{sent} packets were sent and {came} arrived")
        time.sleep(0.001)
