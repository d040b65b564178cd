"""The difference between a policy and the kernel: what an apply would send, worked out without sending it.

Never changes our table in the kernel: a text is rehearsed where it does no harm. From a Policy and what is `Loaded`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from netpolicy.dataplane import conflicts, labels, listing, packed, placeholders, routing, script, staging
from netpolicy.dataplane.arrange import TooManyBoxes
from netpolicy.dataplane.chains import HITS, VERDICTS
from netpolicy.dataplane.listing import Listing
from netpolicy.dataplane.loaded import Loaded
from netpolicy.dataplane.nft import Nft, NftError, NoRehearsal
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.packed import ElementChange
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import Routing
from netpolicy.dataplane.sets import KernelSet
from netpolicy.dataplane.shaping import ShapingChange, Way
from netpolicy.dataplane.table import SLOTS, Builder, Table, room_for

EMPTY = packed.digest(())

FREED_AT_ONCE = 500  # rules, about a millisecond


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between a policy and the kernel."""

    policy: Policy
    table: Table
    nft: staging.Difference
    routing: routing.RoutingChange
    conflicts: tuple[conflicts.Conflict, ...]
    wanted: Routing  # that `routing` leads to
    shaping: ShapingChange = field(default_factory=ShapingChange)
    ways: tuple[Way, ...] = ()  # how each limit of speed is held

    @property
    def changes(self) -> tuple[str, ...]:
        """Every change as one line, in the words of nft, ip and tc. Empty: nothing to do."""
        return self.nft.changes + self.routing.changes + self.shaping.changes

    @property
    def is_empty(self) -> bool:
        """Whether the kernel already does what the policy says."""
        return self.nft.is_empty and self.routing.is_empty and self.shaping.is_empty

    @property
    def digest(self) -> str:
        """Names this plan: the same differences to the same table have the same digest."""
        # The names of long lists stand for what they hold.
        text = "\n".join(self.changes) + script.full_text(self.table, script.MOST_AT_BOOT)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Planner:
    """Compares; remembers of the last comparison what the next one need not work out again."""

    def __init__(self, nft: Nft, open_link: Callable[[], NftLink], one_at_a_time: asyncio.Lock) -> None:
        self._nft = nft
        self._link = open_link
        self._one_at_a_time = one_at_a_time
        self._builder = Builder()
        self._rehearsed: tuple[bytes, Listing] | None = None  # digest of a structure, and how nft lists it
        self._digests: dict[str, bytes] = {}  # of sets of intervals, by the name that stands for their content
        self._last: tuple[Policy, Loaded, Table, staging.Difference] | None = None
        self.rehearsal = ""  # how the last text was rehearsed: "namespace" or "beside"

    async def compare(self, policy: Policy, loaded: Loaded) -> tuple[Table, staging.Difference]:
        """The table of the policy, and what leads there. Raises NftError: the text would not load."""
        last = self._last
        if last is not None and last[1] is loaded and last[0] == policy:
            return last[2], last[3]
        try:
            table, difference = await self._compare(policy, loaded)
        except TooManyBoxes as error:
            raise NftError(str(error)) from None
        gone = list(last[0].entries.rules) if last is not None else []
        self._last, last = (policy, loaded, table, difference), None
        while gone:  # ten thousand rules that are no more, freed at once, would hold the loop for 20 ms
            del gone[-FREED_AT_ONCE:]
            await asyncio.sleep(0)
        return table, difference

    async def _compare(self, policy: Policy, loaded: Loaded) -> tuple[Table, staging.Difference]:
        if loaded.written is not None and self._builder.made_from(policy, loaded.written):
            table = loaded.written  # as after an apply: what was written is what is wanted
            return table, await self._difference(table, loaded)
        given = await asyncio.to_thread(_assign, policy, loaded)
        slot, room = loaded.slot, loaded.room
        if len(policy.ranked) > room:
            slot, room = (_other(slot) if room else slot), room_for(len(policy.ranked))
        table = await asyncio.to_thread(self._builder.build, policy, given, slot, room)
        difference = await self._difference(table, loaded)
        if _needs_other_slot(difference, table, loaded, slot):
            table = await asyncio.to_thread(self._builder.build, policy, given, _other(slot), room)
            difference = await self._difference(table, loaded)
        return table, difference

    async def _difference(self, table: Table, loaded: Loaded) -> staging.Difference:
        wanted = await self._rehearse(table)
        if loaded.structure is None:
            return staging.Difference(missing_sets=tuple(wanted.sets), missing_chains=tuple(wanted.chains))
        found = listing.difference(wanted, loaded.structure)
        if found.rebuild:
            return found
        # As after a boot: the firewall's include declares long lists and leaves them to us.
        empty = tuple([one.name for one in table.sets if one.is_list and loaded.digests.get(one.name) == EMPTY])
        absent = {*found.missing_sets, *empty}
        elements = await asyncio.to_thread(self._element_changes, table, loaded, absent)
        for one in await asyncio.to_thread(self._strange, table, loaded, absent):
            async with self._one_at_a_time:
                elements[one.name] = await asyncio.to_thread(self._repair, one)
        if "restore" in elements and elements["restore"].replace:
            return staging.Difference(rebuild=True)  # a class means something else: after another mark mask only
        return replace(found, elements={name: one for name, one in elements.items() if one.count}, empty_lists=empty)

    def _element_changes(self, table: Table, loaded: Loaded, absent: Iterable[str]) -> dict[str, ElementChange]:
        """Of sets of single keys."""
        before = _written(loaded)
        found = {}
        for one in table.sets:
            if not one.interval and not one.timeout and one.name not in absent and before.get(one.name) is not one:
                since = packed.change_since(before.get(one.name), one)
                found[one.name] = since or packed.change(one, loaded.held(one.name))
        return found

    def _strange(self, table: Table, loaded: Loaded, absent: Iterable[str]) -> list[KernelSet]:
        """Sets of intervals that do not hold what their name says: somebody else's hand."""
        before = _written(loaded)
        read = [one for one in table.sets if one.interval and one.name not in absent and one.name not in before]
        return [one for one in read if loaded.digests.get(one.name) != self._digest(one)]

    def _repair(self, one: KernelSet) -> ElementChange:
        return packed.repair(one, self._link().elements(one.name))

    def _digest(self, one: KernelSet) -> bytes:
        """Made once per content: the name stands for it."""
        if one.name not in self._digests:
            self._digests[one.name] = packed.digest(packed.pack(one))
        return self._digests[one.name]

    def keep(self, table: Table) -> None:
        """Only this table is in force: what was remembered for others is dropped."""
        names = {one.name for one in table.sets}
        self._digests = {name: made for name, made in self._digests.items() if name in names}

    async def _rehearse(self, table: Table) -> Listing:
        """How nft lists the table once it is loaded: learned by loading its structure where it does no harm."""
        text = placeholders.structure(table)
        digest = hashlib.sha256(text.encode()).digest()
        if self._rehearsed is None or self._rehearsed[0] != digest:
            self._rehearsed = (digest, await self._rehearse_text(text))
        names = {stand_in: name for name, stand_in in placeholders.placeholders(table).items()}
        return self._rehearsed[1].renamed(names)

    async def _rehearse_text(self, text: str) -> Listing:
        try:
            found = await self._nft.rehearse(text)
            self.rehearsal = "namespace"
        except NoRehearsal:
            # The hooks are only checked, not loaded; with a deletion before it, so that a table of
            # another shape that is in force now does not count as a reason to refuse.
            await self._nft.check(script.removal_text() + text)
            found = await self._nft.rehearse_beside(placeholders.unhooked(text))
            self.rehearsal = "beside"
        return found


def _assign(policy: Policy, loaded: Loaded) -> Mapping[str, int]:
    written = loaded.written
    if written is not None and written.ranked == policy.ranked:
        return written.labels
    return labels.assign(policy.ranked, loaded.labels())


def _written(loaded: Loaded) -> dict[str, KernelSet]:
    return {one.name: one for one in loaded.written.sets} if loaded.written is not None else {}


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _needs_other_slot(difference: staging.Difference, table: Table, loaded: Loaded, slot: str) -> bool:
    """Whether labels change their meaning together with what says them: then both change in one swap.

    A label that counts for another rule, or a rule that leads elsewhere while the maps change too; also
    where the old and the new labels do not fit in side by side.
    """
    hits, verdicts = difference.elements.get(f"{HITS}_{slot}"), difference.elements.get(f"{VERDICTS}_{slot}")
    if hits is not None and (hits.replace or len(loaded.labels()) + len(hits.add) > loaded.room):
        return True
    return verdicts is not None and bool(verdicts.replace) and bool(difference.changed_chains)
