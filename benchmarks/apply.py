"""What a reload costs: from a policy to a kernel that follows it, and what traffic notices of it.

Times are wall time of plan and apply with a Kernel that lives, as in the daemon; the router's
traffic is new flows, each of which asks the rules that are being exchanged. Never loads
anything outside the course's own namespaces.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from benchmarks.course import REFUSALS, Course
from benchmarks.frames import Flow
from benchmarks.load import DATAGRAMS, Load, Seen
from benchmarks.measure import Family, Options, Ratio, Sample, Turns, leave_out, progress
from benchmarks.namespaces import run
from benchmarks.path_rules import OUTBOUNDS, UNCHANGED, Change, named_flows, ruleset
from benchmarks.spawned import Spawned, watched
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule, Ruleset, Settings
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.nft import Nft
from netpolicy.service.compile import Compiled
from netpolicy.service.reuse import with_known_rules

COLD, NONE, ONE, MATCH, ALL = "cold", "none", "one", "match", "all"
CHANGES = (ONE, MATCH, ALL)
LISTED = 10  # entries of the long list, for each rule of the largest set
LIST_NETWORKS = 0x14000000  # 20.0.0.0, in steps that no aggregation joins
LOADS_NOTHING = "add table inet calibration\n"
MEGABYTE = 1_024  # kB


def apply(options: Options) -> Iterator[Turns]:
    """Times, then counts, for every size; then the long list."""
    for size in options.sizes:
        progress(f"apply: {size} rules")
        yield from _unless_refused(f"apply/*/{size}", _reloads(size))
    entries = LISTED * max(options.sizes)
    yield from _unless_refused(f"apply/list/{entries}", _list(entries))


def _unless_refused(what: str, turns: Iterator[Turns]) -> Iterator[Turns]:
    try:
        yield from turns
    except REFUSALS as refusal:
        leave_out(what, refusal)


def _reloads(size: int) -> Iterator[Turns]:
    yield _times(size)
    yield from _counts(size)


FAMILIES: dict[str, Family] = {"apply": apply}


class Reloads:
    """A router whose rules change back and forth."""

    def __init__(self, size: int, nft: str = "nft") -> None:
        self.course, self._size, self._nft = Course(), size, nft
        self._compiled: Compiled | None = None
        self._rules = Ruleset()
        self.cpu: dict[str, float] = {}  # seconds of the last reload of each kind, children included
        self._now = UNCHANGED
        self.empty()
        self.reload(NONE)

    def there_and_back(self, what: str) -> float:
        """The mean of a change and of the way back, where there is one: to add is not what it is to remove. Seconds."""
        seconds, used = [], []
        for _ in range(2 if what in CHANGES else 1):
            seconds.append(self.reload(what))
            used.append(self.cpu[what])
        self.cpu[what] = sum(used) / len(used)
        return sum(seconds) / len(seconds)

    def reload(self, what: str) -> float:
        """Makes the change, or takes it back; seconds."""
        if what == COLD:
            self.empty()
        self._now = _changed(self._now, what, self._size // 2)
        seconds, self.cpu[what] = self.to(ruleset(self._size, self._now))
        return seconds

    def empty(self) -> None:
        """As after a boot."""
        with self.course.router.entered():
            self._kernel = Kernel(self.course.netlink, Nft(self._nft))
            asyncio.run(self._kernel.remove())

    def to(self, fresh: Ruleset) -> tuple[float, float]:
        """Makes the router follow the rules, as the daemon does once they are read; seconds, and those of processors.

        What reads them is another process, which tells rules that are known by their place, so here they are the
        same objects; and what was read is put out of the way of the collector, as in service/loading.py.
        """
        fresh = with_known_rules(fresh, self._rules)
        gc.freeze()

        async def timed() -> tuple[float, float]:
            began, used = time.perf_counter(), _processor_time()
            self._rules = with_known_rules(fresh, self._rules)
            self._compiled = self.course.compile(self._rules, self._compiled)
            plan = await self._kernel.plan(self._compiled.policy)
            if not plan.is_empty:
                await self._kernel.apply(plan)
            return time.perf_counter() - began, _processor_time() - used

        with self.course.router.entered():
            return asyncio.run(timed())

    def under_load(self, what: str) -> tuple[Seen, int]:
        """Reloads while datagrams pass; what was seen of them, and how many reloads there were."""
        load = Load(self.course, _steady_flows(self._size))
        reloads = 0
        while reloads == 0 or load.running():
            self.reload(what)
            reloads += 1
        self.course.forget()
        return load.end(), reloads


def _changed(change: Change, what: str, number: int) -> Change:
    if what == ONE:
        return replace(change, action=-1 if change.action == number else number)
    if what == MATCH:
        return replace(change, match=-1 if change.match == number else number)
    return replace(change, every_match=not change.every_match) if what == ALL else change


def _steady_flows(size: int) -> list[Flow]:
    """Of rules that lead by the second line before and after every change."""
    rules = ruleset(size)
    changing = rules.rules[size // 2]
    steady = {rule.name for rule in rules.rules if rule.action.target == "wan_b" and rule is not changing}
    return [flow for flow, rule in named_flows(DATAGRAMS * 3, size) if rule in steady][:DATAGRAMS]


# -- times ----------------------------------------------------------------------------------


def _times(size: int) -> Turns:
    """Milliseconds, and the ratio to starting nft for nothing: what any reload would cost at least."""
    reloads = Reloads(size)
    nothing = f"apply/nft/{size}"
    samples: dict[str, Sample] = {f"apply/{what}/{size}": _milliseconds(reloads, what)
                                  for what in (NONE, ONE, MATCH, ALL, COLD)}  # fmt: skip
    ratios = tuple(Ratio(name, name, nothing) for name in samples)
    # Steadier than the clock on the wall, but without the waiting for the kernel.
    samples |= {f"apply/{what}/{size}/cpu": partial(_cpu_milliseconds, reloads, what)
                for what in (NONE, ONE, MATCH, ALL, COLD)}  # fmt: skip
    samples[nothing] = lambda: _loading_nothing(reloads.course)
    return Turns("ms", samples, ratios, reloads.course.close, budget=20.0, parts=3)


def _milliseconds(reloads: Reloads, what: str) -> Sample:
    return lambda: reloads.there_and_back(what) * 1_000


def _cpu_milliseconds(reloads: Reloads, what: str) -> float:
    return reloads.cpu.get(what, 0.0) * 1_000


def _processor_time() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _loading_nothing(course: Course) -> float:
    with course.router.entered():
        began = time.perf_counter()
        run("nft", "-f", "-", text=LOADS_NOTHING)
        return (time.perf_counter() - began) * 1_000


# -- counts ---------------------------------------------------------------------------------


def _counts(size: int) -> Iterator[Turns]:
    """Programs started, the largest of them, and datagrams that noticed."""
    with watched() as spawned:
        reloads = Reloads(size, spawned.program)
        peaks = {what: _peaks(reloads, what, spawned) for what in (NONE, ONE, MATCH, ALL, COLD)}
        reloads.course.close()
    yield _counted("programs", {f"apply/{what}/{size}/programs": len(found) for what, found in peaks.items()})
    yield _counted("MB", {f"apply/{what}/{size}/nft-memory": max(found) / MEGABYTE
                          for what, found in peaks.items() if found})  # fmt: skip
    reloads = Reloads(size)
    for what in CHANGES:
        name = f"apply/{what}/{size}"
        seen, times = reloads.under_load(what)
        yield _counted("datagrams", {f"{name}/lost": seen.lost, f"{name}/wrong": seen.wrong})
        yield _counted("reloads", {f"{name}/under-load": times})
    reloads.course.close()


def _peaks(reloads: Reloads, what: str, spawned: Spawned) -> list[int]:
    if what == COLD:
        reloads.empty()
    spawned.take()
    reloads.reload(NONE if what == COLD else what)
    return spawned.take()


def _counted(unit: str, values: dict[str, float]) -> Turns:
    return Turns(unit, {name: partial(float, value) for name, value in values.items()}, counts=tuple(values))


# -- a long list ----------------------------------------------------------------------------


def _list(entries: int) -> Iterator[Turns]:
    """One rule with that many networks, loaded into an empty router."""
    name = f"apply/list/{entries}"
    progress(name)
    rules = _listed(entries)
    with watched() as spawned:
        reloads = Reloads(0, spawned.program)
        spawned.take()
        reloads.to(rules)
        peaks = spawned.take()
        reloads.course.close()
    yield _counted("programs", {f"{name}/programs": len(peaks)})
    yield _counted("MB", {f"{name}/nft-memory": max(peaks, default=0) / MEGABYTE})
    timed = Reloads(0)
    yield Turns("ms", {name: partial(_cold, timed, rules)}, close=timed.course.close, budget=20.0)


def _cold(reloads: Reloads, rules: Ruleset) -> float:
    reloads.empty()
    return reloads.to(rules)[0] * 1_000


def _listed(entries: int) -> Ruleset:
    numbers = range(LIST_NETWORKS, LIST_NETWORKS + entries * 128, 128)
    named = NamedList(
        "long",
        tuple(f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/26" for number in numbers),
    )
    fields = (parse_field("dest_addr", ("@long",), Lists((named,))),)
    return Ruleset(
        (Rule("listed", 10, fields, Action("route", "wan_b")),), OUTBOUNDS, Settings(enabled=True, default="direct")
    )
