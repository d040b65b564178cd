"""Leads our table from what is loaded to what a plan says: stage, one small swap, clear away, read back.

Never lets a packet see half a rule set, and takes back what it staged where a step is refused. Texts and
batches: `staging`. Why in this order: docs/dataplane.md ("How a change is made").
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from netpolicy.dataplane import packed, script, staging
from netpolicy.dataplane.chains import HITS
from netpolicy.dataplane.loaded import Loaded, Reader
from netpolicy.dataplane.names import SCHEMA
from netpolicy.dataplane.nft import Nft, NftError
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import AddElements, Change, DeleteElements, DeleteSet
from netpolicy.dataplane.sets import KernelSet
from netpolicy.dataplane.staging import Difference
from netpolicy.dataplane.table import Table


class Uncertain(NftError):
    """A step failed, and the rule set changed all the same: what is loaded has to be read before anything is undone."""


class Transition:
    """One way from what is loaded to `table`, gone once."""

    def __init__(
        self, nft: Nft, open_link: Callable[[], NftLink], reader: Reader, table: Table, difference: Difference
    ) -> None:
        self._nft = nft
        self._link = open_link
        self._reader = reader
        self._table = table
        self._difference = difference
        self._commits = 0  # transactions so far
        self._loads = 0  # those of them that were texts
        self._replaced = False  # whether elements were put in the place of others

    async def run(self) -> None:
        """All of it. Raises NftError: the old rules are in force and nothing of the new ones is left; Uncertain."""
        if self._difference.is_empty:
            return
        known = self._reader.forget()
        generation = await self._reader.generation()
        if self._difference.rebuild:
            await self._rebuild(generation)
            return
        try:
            await self._stage()
            await self._swap()
        except NftError as error:
            # nft may die after the kernel did what it said. What is asked by then must not be taken away:
            # the next plan finds out, and clears what nobody asks.
            await self._make_sure(generation, error)
            await self._restore()
            await self._unstage()
            raise
        # The new rules are in force: what could not be cleared away is in the next plan.
        with contextlib.suppress(NftError):
            await self._clear()
            if known is not None and not await self._reader.touched(known[0], generation):
                await self._read_back(known[1], generation)

    async def _rebuild(self, generation: int) -> None:
        # In one transaction, so that a kill switch holds meanwhile; large lists then cost memory once.
        learned = await asyncio.to_thread(self._learned)
        try:
            await self._nft.load(script.rebuild_text(self._table, script.MOST_AT_BOOT, self._reader.earlier))
        except NftError as error:
            await self._make_sure(generation, error)
            raise
        with contextlib.suppress(NftError):  # what is learned is learned again
            await self._commit([AddElements(name, found) for name, found in learned.items()])
        for one in self._table.sets:
            if not script.holds_text(one, script.MOST_AT_BOOT):
                await asyncio.to_thread(self._fill, one, {})

    def _learned(self) -> dict[str, list[Element]]:
        """What the sets hold now that fill by themselves and stay, with the time that is left to each address."""
        found: dict[str, list[Element]] = {}
        with contextlib.suppress(NftError):
            link = self._link()
            there = link.sets()
            for one in self._table.sets:
                if one.timeout and one.name in there and (held := link.elements(one.name)):
                    found[one.name] = held
        return found

    async def _stage(self) -> None:
        difference = self._difference
        await self._load(staging.stage_text(self._table, difference))
        for one in self._missing_sets(counting=False):
            await asyncio.to_thread(self._fill, one, {})
        # A rule that gets another label goes on counting from where it is; what it counts until the
        # swap, some milliseconds, is lost. So what takes long, maps and lists, was filled before.
        counters: dict[str, tuple[int, int]] = {}
        if any(name.startswith(HITS) for name in (*difference.missing_sets, *difference.elements)):
            counters = await asyncio.to_thread(self._reader.starting_counters)
        for one in self._missing_sets(counting=True):
            await asyncio.to_thread(self._fill, one, counters)
        await self._commit(staging.additions(difference, counters))
        await self._load(staging.hook_text(self._table, difference))

    def _missing_sets(self, counting: bool) -> list[KernelSet]:
        wanted = {*self._difference.missing_sets, *self._difference.empty_lists}
        return [one for one in self._table.sets if one.name in wanted and one.counter == counting]

    async def _swap(self) -> None:
        self._replaced = await self._commit(staging.replacements(self._difference))
        await self._load(staging.swap_text(self._table, self._difference))

    async def _clear(self) -> None:
        """What is not asked any more goes: labels and classes that nobody says, then maps, then chains."""
        difference = self._difference
        await self._commit(staging.removals(difference))
        await self._load(staging.empty_text(difference))
        await self._commit([DeleteSet(name) for name in difference.stale_sets])
        await self._load(staging.clear_text(difference))

    async def _read_back(self, before: Loaded, generation: int) -> None:
        """The structure as nft lists it now; elements are known where nobody else changed anything meanwhile.

        Sets of intervals are told by their names: what they hold was written with them.
        """
        now = await self._reader.generation()
        if await self._reader.touched(generation, now) != self._commits:
            return
        trusted = Loaded(before.structure, {}, {}, self._table)
        if self._loads or self._difference.stale_sets:  # these go by a batch
            trusted = replace(trusted, structure=await self._reader.structure())
        self._reader.remember(now, trusted)

    # -- the way back --------------------------------------------------------------------------

    async def _make_sure(self, generation: int, error: NftError) -> None:
        """Raises Uncertain where there were other transactions than those that we know of."""
        try:
            now = await self._reader.generation()
        except NftError:
            raise Uncertain(f"nft failed in the middle of a change: {error}") from error
        if await self._reader.touched(generation, now) != self._commits:
            raise Uncertain(f"nft failed in the middle of a change: {error}") from error

    async def _restore(self) -> None:
        if self._replaced:
            with contextlib.suppress(NftError):
                await self._commit(staging.restorations(self._difference))

    async def _unstage(self) -> None:
        """Takes back what was staged, all of it or a part: what is not there yet cannot be taken back."""
        difference = self._difference
        if SCHEMA in difference.missing_chains:  # the table itself is new
            with contextlib.suppress(NftError):
                await self._load(script.removal_text())
            return
        for name, change in difference.elements.items():
            if change.add:
                with contextlib.suppress(NftError):
                    await self._commit([DeleteElements(name, change.add)])
        with contextlib.suppress(NftError):
            await self._load(staging.unstage_text(self._table, difference))
        with contextlib.suppress(NftError):
            await self._commit([DeleteSet(name) for name in difference.missing_sets])
        with contextlib.suppress(NftError):
            await self._load(staging.unstage_chains_text(self._table, difference))

    # -- one transaction -----------------------------------------------------------------------

    async def _load(self, text: str) -> None:
        if text:
            await self._nft.load(text)
            self._commits += 1
            self._loads += 1

    def _fill(self, one: KernelSet, counters: Mapping[str, tuple[int, int]]) -> None:
        for _ in self._link().load_steps(one.name, packed.pack(one, counters)):
            self._commits += 1

    async def _commit(self, changes: list[Change]) -> bool:
        """Whether there was anything to do."""
        if changes:
            await asyncio.to_thread(self._link().commit, changes)
            self._commits += 1
        return bool(changes)
