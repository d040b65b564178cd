"""Fills the learned sets of the kernel with the addresses of names that rules ask for, as they are told.

Never starts a program, never takes an address out before its time, and never makes a packet wait. Names come from the
inspector and from the resolver; what a name server put there itself is heard of. Batches over netlink.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.learned_sets import LONGEST_SECONDS, base_of, set_name
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import AddElements, Change, DeleteElements, noticed
from netpolicy.flows.seen import MAPPED
from netpolicy.service import learned_file
from netpolicy.service.engine import Engine
from netpolicy.service.learned_addresses import Addresses
from netpolicy.service.name_index import NameIndex, fields_of, heirs

# The time of an answer, within reason: clients use it longer than it says, and addresses that live for days move.
SHORTEST_SECONDS = 300.0

# Elements that wait for one batch; what comes beyond is asked for again with the next connection.
MOST_WAITING = 8192

# So often what is known is written to the state folder (RAM), for a kernel that loses it.
KEEP_SECONDS = 600.0

Told = Iterable[tuple[bytes, float]]  # addresses of 16 bytes, IPv4 mapped; seconds


class NameLearning:
    """One daemon's. `memory` tells again what was heard before a rule asked for it: name, addresses."""

    def __init__(
        self,
        engine: Engine,
        memory: Callable[[], Iterable[tuple[str, Told]]] = lambda: (),
        open_link: Callable[[], NftLink] = lambda: NftLink(TABLE),
        clock: Callable[[], float] = time.monotonic,
        learned: Callable[[frozenset[str]], object] | None = None,
    ) -> None:
        """`learned` is told which addresses came into a set just now."""
        self._learned = learned
        self._engine = engine
        self._memory = memory
        self._open_link = open_link
        self._clock = clock
        self._link: NftLink | None = None
        self._seen: object = None  # the rules and the kernel change that were followed last
        self._waiting: dict[tuple[str, bytes], float] = {}  # seconds, by set and key
        self._gone: list[tuple[str, bytes, float]] = []  # set, key, until when
        self._must_read = False
        self._is_first = True
        self._work: asyncio.Task[None] | None = None
        self._keeping: asyncio.TimerHandle | None = None
        self._full: set[str] = set()
        self.index = NameIndex({})
        self.addresses = Addresses()
        self.counters = {"added": 0, "refreshed": 0, "refused": 0, "dropped": 0}

    # -- what the daemon hears -------------------------------------------------------------

    def turned(self) -> bool:
        """The engine had a turn. Whether the names that rules ask for are others than before."""
        enforced = self._engine.enforced
        entries = enforced.policy.entries if enforced is not None else None
        revision = self._engine.in_force.revision
        if self._seen == (entries, revision):
            return False
        is_same = self._seen is not None and self._seen[0] is entries  # type: ignore[index]
        self._seen = (entries, revision)
        fields = self.index.fields if is_same else fields_of(entries.rules if entries is not None else ())
        is_other = fields != self.index.fields
        if is_other:
            self._take(NameIndex(fields))
        if fields:
            self._must_read = True
            self._go_on()
        return is_other

    def told(self, name: str, addresses: Told) -> None:
        """A name has these addresses: by an answer that somebody asked for, or because a client named it there."""
        bases = self.index.bases(name) if self.index.fields else ()
        if bases:
            self._note(bases, addresses)

    def noticed(self, messages: Iterable[wire.Message]) -> None:
        """The kernel tells of elements of learned sets, whoever put them there."""
        now = self._clock()
        for message in messages:
            found = noticed(message)
            if found is not None:
                self.addresses.told(*found, now)

    def lost_notices(self) -> None:
        """The kernel had to drop notifications."""
        if self.index.fields:
            self._must_read = True
            self._go_on()

    async def close(self) -> None:
        """Ends; what is in the kernel stays, and what is known is kept for the next daemon."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        if self.index.fields:
            self._keep_now()
        if self._link is not None:
            self._link.close()

    # -- inside ----------------------------------------------------------------------------

    def _take(self, index: NameIndex) -> None:
        new = set(index.fields) - set(self.index.fields)
        changed = {base for base in index.fields if index.fields[base] is not self.index.fields.get(base)}
        self._hand_down(heirs(self.index.fields, index.fields))
        self._bring_back(new, set(self.index.fields) - set(index.fields))
        self.index = index
        self.addresses.follow(index.fields)
        self._full.clear()
        if new or changed:
            for name, addresses in self._memory():
                self._note([base for base in index.bases(name) if base in new or base in changed], addresses)

    def _hand_down(self, heirs: Mapping[str, list[str]]) -> None:
        """A set whose question changed has another name: what it held must not be asked for again, name by name."""
        for name, key, left in self.addresses.all(self._clock()) if heirs else ():
            for base in heirs.get(base_of(name), ()):
                if len(self._waiting) < MOST_WAITING and left >= 1:
                    self._waiting[set_name(base, 4 if len(key) == 4 else 6), key] = left

    def _bring_back(self, new: set[str], gone: set[str]) -> None:
        """What the sets held that went with the last change: it may be taken back."""
        now = self._clock()
        for name, key, until in self._gone:
            if base_of(name) in new and until - now >= 1 and len(self._waiting) < MOST_WAITING:
                self._waiting[name, key] = until - now
        self._gone = [(name, key, now + left) for name, key, left in self.addresses.all(now) if base_of(name) in gone]

    def _note(self, bases: Iterable[str], addresses: Told) -> None:
        now = self._clock()
        for address, seconds in addresses:
            family, key = (4, address[12:]) if address.startswith(MAPPED) else (6, address)
            wanted = min(max(float(seconds), SHORTEST_SECONDS), float(LONGEST_SECONDS))
            for base in bases:
                name = set_name(base, family)
                if self.addresses.left(name, key, now) * 2 >= wanted:
                    continue  # it stays long enough: each change is a transaction that other programs hear of
                if len(self._waiting) >= MOST_WAITING:
                    self.counters["dropped"] += 1
                    return
                self._waiting[name, key] = wanted
        if self._waiting:
            self._go_on()

    def _go_on(self) -> None:
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._must_read or self._waiting:
                if self._must_read:
                    self._must_read = False
                    await self._read()
                waiting, self._waiting = self._waiting, {}
                if waiting:
                    await self._fill(waiting)
        except Exception as fault:  # noqa: BLE001 - the border of a task: a bug must be told
            self._engine.note_fault(fault)

    async def _read(self) -> None:
        """What the sets hold; what they lost with a table that somebody deleted comes back."""
        names = [set_name(base, family) for base in self.index.fields for family in (4, 6)]
        try:
            contents = await asyncio.to_thread(self._dump, names)
        except NftError:
            return  # there is no table at this moment; the next turn tells
        lost = self.addresses.read(contents, self._clock())
        if self._is_first:
            self._is_first = False
            kept = await asyncio.to_thread(learned_file.read, self._engine.places.state)
            lost = {**learned_file.missing(kept, contents), **lost}
            self._keep_later()
        for name, elements in lost.items():
            if name in contents:
                for element in elements:
                    self._waiting.setdefault((name, element.key), element.timeout_ms / 1000)

    def _dump(self, names: list[str]) -> dict[str, list[Element]]:
        link = self._opened()
        there = link.sets()
        return {name: link.elements(name) for name in names if name in there}

    async def _fill(self, waiting: Mapping[tuple[str, bytes], float]) -> None:
        by_set: dict[str, list[Element]] = {}
        for (name, key), seconds in waiting.items():
            if base_of(name) in self.index.fields:
                by_set.setdefault(name, []).append(Element(key, timeout_ms=int(seconds * 1000)))
        for name, elements in by_set.items():
            now = self._clock()
            old = [one for one in elements if self.addresses.left(name, one.key, now)]
            try:
                await asyncio.to_thread(self._commit, name, elements, old)
                self.counters["added"] += len(elements) - len(old)
                self.counters["refreshed"] += len(old)
                self._tell(name, elements, len(elements) > len(old))
            except NftError as error:
                self.counters["refused"] += len(elements)
                self._refused(name, error)

    def _tell(self, name: str, elements: list[Element], has_new: bool) -> None:
        self.addresses.told(name, elements, True, self._clock())  # the kernel tells it too, a moment later
        if has_new and self._learned is not None:
            family = socket.AF_INET if name.endswith("4") else socket.AF_INET6
            self._learned(frozenset(socket.inet_ntop(family, one.key) for one in elements))

    def _commit(self, name: str, elements: list[Element], old: list[Element]) -> None:
        # An element that is there keeps its time when it is added again: it is made anew, in one transaction. Added
        # before, because it may be gone by now, and what is not there cannot be deleted.
        changes: list[Change] = [AddElements(name, elements)]
        if old:
            changes += [DeleteElements(name, old), AddElements(name, old)]
        self._opened().commit(changes)

    def _refused(self, name: str, error: NftError) -> None:
        if name not in self._full:
            self._full.add(name)
            self._engine.log.add("warning", "flow", f"addresses of names are not taken into {name}: {error}")

    def _opened(self) -> NftLink:
        if self._link is None:
            self._link = self._open_link()
        return self._link

    def _keep_later(self) -> None:
        self._keeping = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._keep)

    def _keep(self) -> None:
        self.addresses.expire(self._clock())
        self._keep_now()
        self._keep_later()

    def _keep_now(self) -> None:
        with contextlib.suppress(OSError):  # it is asked only where the kernel lost what it had
            learned_file.write(self._engine.places.state, self.addresses.all(self._clock()))
