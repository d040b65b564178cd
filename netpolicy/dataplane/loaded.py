"""What the kernel has of our table now: its structure, and what its sets hold; read again only after a change.

Never changes the kernel, and never takes somebody else's hand for ours: the kernel tells of every transaction.
From `nft list` (chains, rules, declarations) and from netlink dumps (elements).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netpolicy.dataplane import packed
from netpolicy.dataplane.chains import HITS
from netpolicy.dataplane.commits import Commits
from netpolicy.dataplane.learned_sets import is_learned
from netpolicy.dataplane.limits import COUNTS
from netpolicy.dataplane.listing import Listing
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.nft import Nft
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.set_key import from_host_number
from netpolicy.dataplane.table import SLOTS, Table


@dataclass(frozen=True, slots=True)
class Loaded:
    """Our table as it is now."""

    structure: Listing | None
    contents: Mapping[str, packed.Contents]  # of sets of single keys, as they were read
    digests: Mapping[str, bytes]  # of sets of intervals
    written: Table | None = None  # what the sets were written from, by us and by nobody since

    @property
    def slot(self) -> str:
        """Which of the two versions of the label sets is asked."""
        return (self.structure.slot if self.structure else "") or SLOTS[0]

    @property
    def room(self) -> int:
        """How many labels fit into the sets that are asked, 0 where there are none."""
        declared = self.structure.sets.get(f"{HITS}_{self.slot}", "") if self.structure else ""
        return int(json.loads(declared).get("size", 0)) if declared else 0

    def held(self, name: str) -> packed.Contents:
        """What a set of single keys holds: as it was written, or as it was read."""
        for one in self.written.sets if self.written is not None else ():
            if one.name == name:
                return packed.contents(packed.pack(one))
        return self.contents.get(name, {})

    def labels(self) -> dict[str, int]:
        """The label of every rule, from the comments of the set that counts hits."""
        if self.written is not None:
            return dict(self.written.labels)
        found = self.contents.get(f"{HITS}_{self.slot}", {})
        return {name: from_host_number(key) for key, name in found.items() if name}


class Reader:
    """Reads our table; who calls sees to it that only one thing at a time asks over the link."""

    def __init__(self, nft: Nft, open_link: Callable[[], NftLink]) -> None:
        self._nft = nft
        self._link = open_link
        self._commits = Commits(TABLE)
        self._known: tuple[int, Loaded] | None = None  # as of this generation of the kernel's rule set
        # Where rules that come back go on counting, while a change is taken back.
        self.earlier: Mapping[str, tuple[int, int]] = {}
        self._older: dict[str, int] | None = None  # packets by rule, as we came; None: nothing was read yet

    async def read(self) -> Loaded:
        """What is loaded; listed and dumped only where the rule set changed since. Raises NftError."""
        # Before the generation is asked for: of what comes after it, the end is heard.
        self._commits.listen()
        generation = await self.generation()
        if self._known is not None:
            if not await self.touched(self._known[0], generation):
                self._known = (generation, self._known[1])
                return self._known[1]
            generation = await self.generation()  # later than whatever was lost
        structure = await self.structure()
        if structure is None or not structure.is_ours:
            loaded = Loaded(structure, {}, {})
            self._older = self._older or {}
        else:
            loaded = await asyncio.to_thread(self._read_sets, structure)
        # Changed while it was read: then it is read again next time.
        if await self.generation() == generation:
            self._known = (generation, loaded)
        return loaded

    async def generation(self) -> int:
        """The number that every transaction of any program counts up. Raises NftError."""
        return await asyncio.to_thread(self._link().generation)

    async def touched(self, since: int, until: int) -> int:
        """How many transactions between two generations touched our table; all of them, where that is not known."""
        count = (until - since) & 0xFFFFFFFF
        known = await asyncio.to_thread(self._commits.touching, since, until) if count else 0
        return count if known is None else known

    async def structure(self) -> Listing | None:
        """The table as nft lists it, without elements. Raises NftError."""
        return await self._nft.list_table()

    def forget(self) -> tuple[int, Loaded] | None:
        """The next reading asks the kernel; what was known, and of which generation."""
        known, self._known = self._known, None
        return known

    def remember(self, generation: int, loaded: Loaded) -> None:
        """As of this generation that is what is loaded: we wrote it."""
        self._known = (generation, loaded)

    def counters(self) -> dict[str, tuple[int, int]]:
        """Packets and bytes of first packets, by rule; blocks. Raises NftError."""
        link = self._link()
        found: dict[str, tuple[int, int]] = {}
        for name in sorted(link.sets()):
            if name.startswith(HITS):
                for element in link.elements(name):
                    if element.comment:
                        # Of two slots, where a death left one behind, the older one has counted less.
                        known = found.get(element.comment, (0, 0))
                        found[element.comment] = max(known, element.counter or (0, 0))
        return found

    def take_older_counts(self) -> dict[str, int]:
        """What rules had counted when we first read, in packets, where they had; told once: it may be a megabyte."""
        older = self._older or {}
        if older:
            self._older = {}
        return older

    def limits(self) -> dict[str, tuple[int, int, int]]:
        """What came to each limit, by its comment: the key, packets, bytes; blocks. Raises NftError."""
        link = self._link()
        if COUNTS not in link.sets():
            return {}
        return {
            element.comment: (from_host_number(element.key), *(element.counter or (0, 0)))
            for element in link.elements(COUNTS)
        }

    def starting_counters(self) -> dict[str, tuple[int, int]]:
        """Where what is written now begins to count: as it counts, or as it did before. Raises NftError."""
        found = dict(self.earlier)
        for name, count in self.counters().items():
            found[name] = max(count, found.get(name, (0, 0)))
        return found

    def _read_sets(self, structure: Listing) -> Loaded:
        link = self._link()
        contents: dict[str, packed.Contents] = {}
        digests: dict[str, bytes] = {}
        is_first, older = self._older is None, dict[str, int]()
        for name in sorted(structure.sets):
            if is_learned(name):
                continue  # what is in it is not ours to compare
            if "dynamic" in structure.sets[name]:
                continue  # packets fill it
            if "interval" in structure.sets[name]:
                digests[name] = link.folded(name, packed.digest)
            else:
                contents[name] = _contents(link.elements(name), older if is_first and name.startswith(HITS) else None)
        if is_first:
            self._older = older
        return Loaded(structure, contents, digests)


def _contents(elements: Sequence[Element], older: dict[str, int] | None) -> packed.Contents:
    """What they say; packets that they counted are noted in `older`, of a rule in two slots the most."""
    if older is not None:
        for element in elements:
            packets = element.counter[0] if element.counter else 0
            if packets > older.get(element.comment, 0):
                older[element.comment] = packets
    return packed.contents(elements)
