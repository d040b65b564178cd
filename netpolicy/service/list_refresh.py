"""Keeps the lists with an address up to date: two fetches at a time, the rules read again when a list is another one.

Never holds up the loop and never empties a list: what counts stays until something better was taken. Owns a task, and
one for each fetch, which is a process that ends (list_fetch.py). When: list_timing.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from netpolicy.config.kept_list import AFTER_BOOT, FOLDER, HALF, Head, head_of, path_of, source_of
from netpolicy.config.machine_memory import memory_of_machine
from netpolicy.core.address import V4, V6
from netpolicy.core.list_budget import SMALL, budget_of
from netpolicy.core.model import Ruleset
from netpolicy.core.named_list import NamedList
from netpolicy.core.web_address import parse_web_address
from netpolicy.dataplane.rehearsal_child import ChildFailed, in_child
from netpolicy.service.engine import Engine
from netpolicy.service.list_timing import NEVER, after_failure, after_success, at_start, is_stale
from netpolicy.service.list_trial import LATER, TAKEN, try_lists
from netpolicy.service.loading import importing
from netpolicy.service.warnings import Warning_

# A whole fetch, names and redirections and slow lines included.
FETCH_SECONDS = 300.0

# So that a slow server holds up few of the others. Each process may take the memory of a whole list: a small router has
# one at a time.
MOST_AT_ONCE = 2

# What cannot be taken now (a change waits for its confirmation) is tried again so often.
LATER_SECONDS = 30.0

AGES = (False, True)  # of a copy: the one that counts, and a new one

Fetch = Callable[[NamedList, str], Awaitable[dict[str, Any]]]


async def fetch_beside(one: NamedList, folder: str, limit: float = FETCH_SECONDS) -> dict[str, Any]:
    """What `list_fetch.fetch_list` tells, from a process of its own."""
    fetching: asyncio.Task[bytes] | None = None
    try:
        async with importing():
            # It has forked at its first step, which is before it waits for anything.
            fetching = asyncio.get_running_loop().create_task(in_child(partial(_work, one, folder), limit))
            await asyncio.sleep(0)
        told: dict[str, Any] = json.loads(await fetching)
    except ChildFailed as failure:
        return {"result": "failed", "error": str(failure)}
    except asyncio.CancelledError:
        if fetching is not None:
            fetching.cancel()
        raise
    return told


def most_at_once() -> int:
    """How many processes may fetch on this machine at the same time."""
    return 1 if budget_of(memory_of_machine()) is SMALL else MOST_AT_ONCE


def _work(one: NamedList, folder: str) -> bytes:
    from netpolicy.service.list_fetch import Task, fetch_list  # in the memory of the child alone

    return fetch_list(Task(one.name, one.url, folder, one.format, one.categories))


@dataclass(slots=True)
class Watched:
    """One list that is fetched. `due` is by the loop's clock, `checked` by the wall's."""

    named: NamedList
    source: str
    due: float
    checked: float | None = None
    head: Head | None = None
    failures: int = 0
    error: str = ""
    waits: str = ""  # why a new copy does not count yet
    is_under_way: bool = False


def _source(named: NamedList) -> str:
    return source_of(named.url, named.format, named.categories)


class ListRefresh:
    """One daemon's. `look` is told why the kernel may have to follow."""

    def __init__(
        self,
        engine: Engine,
        look: Callable[[str], object],
        fetch: Fetch = fetch_beside,
        chance: Callable[[], float] = lambda: os.urandom(1)[0] / 256,
        now: Callable[[], float] = time.time,
        at_once: int = 0,
    ) -> None:
        self.folder = os.path.join(engine.places.state, FOLDER)
        self._engine = engine
        self._look = look
        self._fetch = fetch
        self._chance = chance
        self._now = now
        self._watched: dict[str, Watched] = {}
        self._at_once = at_once or most_at_once()
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}  # by name and source
        self._one_trial = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._seen: object = None
        self._try_at = NEVER
        self._is_held = False  # by a change that is under way: tried again as soon as it is over

    # -- what it is told -------------------------------------------------------------------

    def start(self) -> None:
        """Begins to keep them."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Fetches under way are given up; what counts stays."""
        every = [one for one in (self._task, *self._under_way.values()) if one is not None]
        for one in every:
            one.cancel()
        await asyncio.gather(*every, return_exceptions=True)

    def configured(self) -> None:
        """The engine may have taken another configuration."""
        loaded = self._engine.loaded
        if self._is_held and not self._engine.frozen:
            self._try_at = self._time()
            self._wake.set()
        if loaded is None or loaded is self._seen:
            return
        self._seen = loaded
        self._take(loaded.ruleset)
        self._wake.set()

    def fetch_now(self, name: str = "") -> list[str]:
        """The names of the lists that are fetched as soon as possible; all of them, or the one."""
        chosen = [one for one in self._watched.values() if name in ("", one.named.name)]
        for one in chosen:
            one.due = self._time()
        self._wake.set()
        return [one.named.name for one in chosen]

    def woke(self, seconds: float) -> None:
        """The machine slept: the lists grew older, and the loop's clock stood still."""
        for one in self._watched.values():
            one.due -= seconds
        self._wake.set()

    # -- for doors -------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Every list: where from, how much, how old, what was wrong last."""
        return {"lists": [self._document(one) for one in self._engine.ruleset.lists]}

    def summary(self) -> dict[str, Any]:
        """The part of `status`: how many lists there are, how many are fetched, and which of those could not be."""
        failing = sorted(name for name, one in self._watched.items() if one.error)
        return {"total": len(self._engine.ruleset.lists), "fetched": len(self._watched), "failing": failing[:20]}

    def warnings(self) -> list[Warning_]:
        """NP908: lists that have nothing, or are too old."""
        found = []
        for one in self._watched.values():
            age = self._age(one)
            if one.error and age is None:
                text = f"the list {one.named.name} has nothing that was fetched: {one.error}"
            elif age is not None and is_stale(one.named.refresh, age):
                why = one.error or one.waits or "it was not fetched"
                text = f"the list {one.named.name} is {age / 86400:.0f} days old: {why}"
            else:
                continue
            found.append(Warning_("NP908", text, "netpolicy lists shows when it is tried again"))
        return found

    # -- the lists -------------------------------------------------------------------------

    def _take(self, ruleset: Ruleset) -> None:
        """Watch the lists of these rules: known ones go on, of new ones what is kept counts."""
        found = {}
        sources = {one: _source(one) for one in ruleset.lists if one.url}
        for named, source in sources.items() if ruleset.settings.enabled else ():
            known = self._watched.get(named.name)
            if known is not None and known.source == source:
                if known.named.refresh != named.refresh or not named.refresh:
                    known.due = min(known.due, self._time() + at_start(named.refresh, self._age(known), self._chance()))
                known.named = named
                found[named.name] = known
            else:
                found[named.name] = self._begin(named, source)
        self._watched = found
        if not self._engine.frozen:  # else what goes now may come back
            self._clean({path_of("", one.name, source, is_new) for one, source in sources.items() for is_new in AGES})

    def _begin(self, named: NamedList, source: str) -> Watched:
        one = Watched(named, source, 0.0)
        if self._is_new(one):  # of an earlier life
            self._try_at = self._time()
        self._look_at_copy(one)
        # Most routers have no clock while they are off, and one that boots each night would never be due.
        age = None if os.path.exists(os.path.join(self.folder, AFTER_BOOT)) else self._age(one)
        one.due = self._time() + at_start(named.refresh, age, self._chance())
        return one

    def _look_at_copy(self, one: Watched) -> None:
        path = path_of(self.folder, one.named.name, one.source)
        head = head_of(path)
        one.head = head if head is not None and head.source == one.source else None
        one.checked = None
        if one.head is not None:
            with suppress(OSError):
                one.checked = os.stat(path).st_mtime

    def _clean(self, kept: set[str]) -> None:
        """Copies that belong to no list any more, and what a killed process left."""
        for name, source in self._under_way:
            kept = kept | {path_of("", name, source, is_new) + HALF for is_new in AGES}
        with suppress(OSError):
            for name in os.listdir(self.folder):
                if name not in kept:
                    os.unlink(os.path.join(self.folder, name))

    def _age(self, one: Watched) -> float | None:
        """Seconds; a clock that was put back makes nothing younger than new."""
        return None if one.checked is None else max(self._now() - one.checked, 0.0)

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    # -- the task --------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self.turn()
            except Exception as fault:  # noqa: BLE001 - the border: a bug must not end the keeping
                self._engine.note_fault(fault)
                await asyncio.sleep(LATER_SECONDS)

    async def turn(self) -> None:
        """One step: try what waits, begin to fetch what is due, and wait until one is done or another one is due."""
        self._wake.clear()
        if self._try_at <= self._time():
            await self._try()
        waits = self._begin_due()
        waking = asyncio.get_running_loop().create_task(self._wake.wait())
        try:
            await asyncio.wait(
                {waking, *self._under_way.values()}, timeout=waits, return_when=asyncio.FIRST_COMPLETED
            )  # fmt: skip
        finally:
            waking.cancel()
        for key, task in list(self._under_way.items()):
            if task.done():
                del self._under_way[key]
                task.result()

    def _begin_due(self) -> float | None:
        """Begins as many of the fetches that are due as may be; seconds until there is more to do, None: for ever."""
        now = self._time()
        idle = [one for one in self._watched.values() if (one.named.name, one.source) not in self._under_way]
        idle.sort(key=lambda one: one.due)
        while idle and idle[0].due <= now and len(self._under_way) < self._at_once:
            one = idle.pop(0)
            fetching = asyncio.get_running_loop().create_task(self._refresh(one))
            self._under_way[one.named.name, one.source] = fetching
        is_full = len(self._under_way) >= self._at_once
        until = min([self._try_at, *[one.due for one in idle if not is_full]])
        return None if until == NEVER else max(until - now, 0.0)

    async def _refresh(self, one: Watched) -> None:
        one.due, one.is_under_way = NEVER, True  # until it is known; who asks meanwhile asks for another time
        try:
            told = await self._fetch(one.named, self.folder)
        finally:
            one.is_under_way = False
        if self._is_gone(one):
            with suppress(OSError):
                os.unlink(self._new(one))
            return
        if told["result"] == "failed":
            self._failed(one, str(told["error"]))
            return
        if told["result"] == "new" or self._is_new(one):
            await self._try()
        elif self._succeeded(one):
            self._tell(one, "info", "it is fetched again, and what it was")
        one.due = min(one.due, self._time() + after_success(one.named.refresh, self._chance()))

    def _is_gone(self, one: Watched) -> bool:
        """Whether no list asks for it any more, nor can one that comes back with a change that is taken back."""
        now = self._watched.get(one.named.name)
        return (now is None or now.source != one.source) and not self._engine.frozen

    def _succeeded(self, one: Watched) -> bool:
        """Whether it failed before."""
        had_failed = bool(one.failures)
        one.failures, one.error, one.waits = 0, "", ""
        self._look_at_copy(one)
        return had_failed

    def _failed(self, one: Watched, why: str) -> None:
        one.failures += 1
        if why != one.error:
            self._tell(one, "warning", f"{why}; what it had stays" if one.head else why)
        one.error = why
        one.due = min(one.due, self._time() + after_failure(one.failures, self._chance()))

    async def _try(self) -> None:
        """Have the rules read again with all new copies; where that is refused, with one at a time."""
        async with self._one_trial:
            await self._try_all()

    async def _try_all(self) -> None:
        self._try_at, self._is_held = NEVER, False
        waiting = [one for one in self._watched.values() if self._is_new(one)]
        if not waiting:
            return
        result, why = await self._try_with(waiting)
        if result not in (TAKEN, LATER):
            for one in waiting:
                result, why = await self._try_with([one]) if len(waiting) > 1 else (result, why)
                if result not in (TAKEN, LATER):
                    with suppress(OSError):
                        os.unlink(self._new(one))
                    self._failed(one, f"the rules cannot be read with it: {why}")

    async def _try_with(self, fresh: list[Watched]) -> tuple[str, str]:
        tried = {one.named.name: head_of(self._new(one)) for one in fresh}
        result, why = await try_lists(self._engine, list(tried))
        self._seen = self._engine.loaded  # ours, if it is another one
        if result == TAKEN:
            await asyncio.to_thread(self._keep, fresh, tried)
            for one in fresh:
                self._succeeded(one)
                self._tell(one, "info", f"{one.head.addresses} addresses, {one.head.names} names" if one.head else "")
            self._look("a list was fetched")
        elif result == LATER:
            for one in fresh:  # it was fetched: what was wrong before is over
                one.failures, one.error, one.waits = 0, "", why
            self._is_held = bool(self._engine.frozen)
            self._try_at = self._time() + LATER_SECONDS
        return result, why

    def _keep(self, fresh: Iterable[Watched], tried: Mapping[str, Head | None]) -> None:
        """What was taken is what counts from now on. Of one that was fetched meanwhile no rule knows yet: it waits."""
        for one in fresh:
            if head_of(self._new(one)) == tried[one.named.name]:
                with suppress(OSError):  # the next start takes the earlier one, and fetches
                    os.rename(self._new(one), path_of(self.folder, one.named.name, one.source))

    def _new(self, one: Watched) -> str:
        return path_of(self.folder, one.named.name, one.source, is_new=True)

    def _is_new(self, one: Watched) -> bool:
        """Whether a copy waits to be tried."""
        return os.path.exists(self._new(one))

    def _tell(self, one: Watched, level: str, text: str) -> None:
        name = one.named.name
        self._engine.log.add(level, "config", f"list {name}: {text}")
        self._engine.publish("netpolicy.list", {"name": name, "error": text if level == "warning" else None})

    def _document(self, named: NamedList) -> dict[str, Any]:
        one = self._watched.get(named.name)
        head = one.head if one is not None else None
        age = self._age(one) if one is not None else None
        wait = None if one is None or one.due == NEVER else max(round(one.due - self._time()), 0)
        return {
            "name": named.name, "title": named.title,
            "addresses": sum(len(named.ranges[family]) for family in (V4, V6)),
            "names": sum(len(part.suffix) + len(part.exact) + len(part.under) + len(part.others)
                         for part in named.names.parts()),
            "file": named.file or None, "url": parse_web_address(named.url).shown if named.url else None,
            "format": head.format if head else named.format, "categories": list(named.categories),
            "refresh": named.refresh,
            "age": None if age is None else round(age), "fetched": head.fetched if head else None,
            "left_out": head.bad if head else 0, "skipped": head.skipped if head else 0,
            "is_stale": age is not None and is_stale(named.refresh, age),
            "is_under_way": one is not None and one.is_under_way,
            "next": wait, "failures": one.failures if one else 0,
            "error": (one.error or None) if one else None, "waits": (one.waits or None) if one else None,
        }  # fmt: skip
