"""Makes the kernel equal to a Policy: observe, plan, apply, read back, remove.

The one place that orders changes: what is needed is added before the swap, what is no
longer needed removed after it. Never touches what is not ours. Design: docs/dataplane.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from netpolicy.dataplane import conflicts, labels, listing, packed, placeholders, routing, script, staging
from netpolicy.dataplane.listing import Listing
from netpolicy.dataplane.names import SCHEMA, TABLE
from netpolicy.dataplane.netlink import Netlink
from netpolicy.dataplane.nft import Nft, NftError, NoRehearsal
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import Change, DeleteElements, DeleteSet
from netpolicy.dataplane.packed import ElementChange
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.set_key import from_host_number
from netpolicy.dataplane.sets import KernelSet
from netpolicy.dataplane.state import Address, NetlinkError, Route, RoutingRule
from netpolicy.dataplane.table import HITS, SLOTS, VERDICTS, Builder, Table, TooManyBoxes, room_for

ENOENT, ESRCH, EEXIST, ENODEV = 2, 3, 17, 19

# What a deletion may answer when somebody else (or the vanished device) was first.
GONE = (ENOENT, ESRCH, ENODEV)


EMPTY = packed.digest(())


class Uncertain(NftError):
    """A step failed, and the rule set changed all the same: what is loaded has to be read before anything is undone."""


class ApplyError(Exception):
    """The kernel was not changed to the plan; the text says at which step and why, and what is in force."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between a policy and the kernel."""

    policy: Policy
    table: Table
    nft: staging.Difference
    routing: routing.RoutingChange
    conflicts: tuple[conflicts.Conflict, ...]

    @property
    def changes(self) -> tuple[str, ...]:
        """Every change as one line, in the words of nft and ip. Empty: nothing to do."""
        return self.nft.changes + self.routing.changes

    @property
    def is_empty(self) -> bool:
        """Whether the kernel already does what the policy says."""
        return self.nft.is_empty and self.routing.is_empty

    @property
    def digest(self) -> str:
        """Names this plan: the same differences to the same table have the same digest."""
        # The names of long lists stand for what they hold.
        text = "\n".join(self.changes) + script.full_text(self.table, script.MOST_AT_BOOT)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Our table as it is now: its structure, and what its sets hold."""

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


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there now."""

    table: Loaded
    routes: tuple[Route, ...]
    rules: tuple[RoutingRule, ...]
    addresses: tuple[Address, ...]


class Kernel:
    """Our nft table, routes and rules in this network namespace."""

    def __init__(self, netlink: Netlink, nft: Nft | None = None) -> None:
        self._netlink = netlink
        self._nft = nft or Nft()
        self._link: NftLink | None = None
        self._one_at_a_time = asyncio.Lock()  # the link answers one question at a time
        self._builder = Builder()
        self._rehearsed: tuple[bytes, Listing] | None = None  # digest of a structure, and how nft lists it
        self._known: tuple[int, Loaded] | None = None  # as of this generation of the kernel's rule set
        self._digests: dict[str, bytes] = {}  # of sets of intervals, by the name that stands for their content
        self._planned: tuple[Policy, Loaded, Table, staging.Difference] | None = None  # the last comparison
        self._commits = 0  # transactions of the apply under way
        self._replaced = False  # whether it has put elements in the place of others
        self._loads = 0  # texts that nft loaded
        self.rehearsal = ""  # how the last text was rehearsed: "namespace" or "beside"

    async def observe(self) -> Observed:
        """Reads what is loaded; our table only where the rule set changed since then. Raises NftError, NetlinkError."""
        async with self._one_at_a_time:
            table = await self._observe_table()
        return Observed(table, self._netlink.routes(), self._netlink.rules(), self._netlink.addresses())

    async def plan(self, policy: Policy) -> Plan:
        """What an apply would change. Changes nothing. Raises NftError (the text would not load), NetlinkError."""
        seen = await self.observe()
        loaded = seen.table
        found = conflicts.find(policy, seen.routes, seen.rules, loaded.structure)
        # In a worker, like all that takes long with many rules: the loop goes on answering.
        table, difference = await self._compare(policy, loaded)
        wanted = routing.desired(policy, seen.routes, seen.addresses)
        change = routing.change(wanted, routing.ours(seen.routes, seen.rules))
        return Plan(policy, table, difference, change, tuple(found))

    async def apply(self, plan: Plan) -> None:
        """Carries the plan out; a new plan then says whether it held. Raises ApplyError: the old state is in force."""
        if plan.conflicts:
            raise ApplyError(f"{plan.conflicts[0].message}: {plan.conflicts[0].hint}")
        undo = self._add_routing(plan.routing)
        try:
            async with self._one_at_a_time:
                await self._change_table(plan)
        except Uncertain as error:
            raise ApplyError(f"{error}; what is in force now is read before anything else is done") from error
        except NftError as error:
            self._undo(undo, plan.routing)
            raise ApplyError(f"nft refused, the previous rules stay in force: {error}") from error
        self._delete_routing(plan.routing)

    def include_text(self, plan: Plan) -> str:
        """The table in force as a text that a firewall restart can load: it changes nothing when loaded again."""
        return script.full_text(plan.table, script.MOST_AT_BOOT)

    async def counters(self) -> dict[str, tuple[int, int]]:
        """Packets and bytes of first packets, by rule. Empty without our table. Raises NftError."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._read_counters)

    # -- reading ---------------------------------------------------------------------------

    async def _observe_table(self) -> Loaded:
        generation = await asyncio.to_thread(self._open_link().generation)
        if self._known is not None and self._known[0] == generation:
            return self._known[1]
        loaded = await self._read_table()
        # Changed while it was read: then it is read again next time.
        if await asyncio.to_thread(self._open_link().generation) == generation:
            self._known = (generation, loaded)
        return loaded

    async def _read_table(self) -> Loaded:
        structure = await self._nft.list_table()
        if structure is None or not structure.is_ours:
            return Loaded(structure, {}, {})
        return await asyncio.to_thread(self._read_sets, structure)

    def _read_sets(self, structure: Listing) -> Loaded:
        link = self._open_link()
        contents: dict[str, packed.Contents] = {}
        digests: dict[str, bytes] = {}
        for name in sorted(structure.sets):
            if "interval" in structure.sets[name]:
                digests[name] = link.folded(name, packed.digest)
            else:
                contents[name] = packed.contents(link.elements(name))
        return Loaded(structure, contents, digests)

    def _read_counters(self) -> dict[str, tuple[int, int]]:
        link = self._open_link()
        found: dict[str, tuple[int, int]] = {}
        for name in sorted(link.sets()):
            if name.startswith(HITS):
                for element in link.elements(name):
                    if element.comment:
                        # Of two slots, where a death left one behind, the older one has counted less.
                        known = found.get(element.comment, (0, 0))
                        found[element.comment] = max(known, element.counter or (0, 0))
        return found

    def _open_link(self) -> NftLink:
        if self._link is None:
            self._link = NftLink(TABLE)
        return self._link

    # -- planning --------------------------------------------------------------------------

    async def _compare(self, policy: Policy, loaded: Loaded) -> tuple[Table, staging.Difference]:
        last = self._planned
        if last is not None and last[1] is loaded and last[0] == policy:
            return last[2], last[3]
        try:
            table, difference = await self._compare_anew(policy, loaded)
        except TooManyBoxes as error:
            raise NftError(str(error)) from None
        self._planned = (policy, loaded, table, difference)
        return table, difference

    async def _compare_anew(self, policy: Policy, loaded: Loaded) -> tuple[Table, staging.Difference]:
        if loaded.written is not None and self._builder.made_from(policy, loaded.written):
            table = loaded.written  # as after an apply: what was written is what is wanted
            return table, await self._difference(table, loaded)
        given = await asyncio.to_thread(self._assign, policy, loaded)
        slot, room = loaded.slot, loaded.room
        if len(policy.ranked) > room:
            slot, room = (_other(slot) if room else slot), room_for(len(policy.ranked))
        table = await asyncio.to_thread(self._builder.build, policy, given, slot, room)
        difference = await self._difference(table, loaded)
        if _needs_other_slot(difference, table, loaded, slot):
            table = await asyncio.to_thread(self._builder.build, policy, given, _other(slot), room)
            difference = await self._difference(table, loaded)
        return table, difference

    def _assign(self, policy: Policy, loaded: Loaded) -> Mapping[str, int]:
        written = loaded.written
        if written is not None and written.ranked == policy.ranked:
            return written.labels
        return labels.assign(policy.ranked, loaded.labels())

    async def _difference(self, table: Table, loaded: Loaded) -> staging.Difference:
        wanted = await self._rehearse(table)
        if loaded.structure is None:
            return staging.Difference(missing_sets=tuple(wanted.sets), missing_chains=tuple(wanted.chains))
        found = listing.difference(wanted, loaded.structure)
        if found.rebuild:
            return found
        # As after a boot: the firewall's include declares long lists and leaves them to us.
        empty = tuple([one.name for one in table.sets if one.is_list and loaded.digests.get(one.name) == EMPTY])
        elements = await asyncio.to_thread(self._element_changes, table, loaded, (*found.missing_sets, *empty))
        if "restore" in elements and elements["restore"].replace:
            return staging.Difference(rebuild=True)  # a class means something else: after another mark mask only
        return replace(found, elements=elements, empty_lists=empty)

    def _element_changes(self, table: Table, loaded: Loaded, missing: Iterable[str]) -> dict[str, ElementChange]:
        if loaded.written is table:
            return {}
        absent = set(missing)
        before = {one.name: one for one in loaded.written.sets} if loaded.written is not None else {}
        found = {}
        for one in table.sets:
            if one.name in absent or before.get(one.name) is one or (one.interval and one.name in before):
                continue
            if not one.interval:
                change = packed.change_since(before.get(one.name), one) or packed.change(one, loaded.held(one.name))
            elif loaded.digests.get(one.name) == self._digest(one):
                continue
            else:  # somebody else's hand: the name says what should be in it
                change = packed.repair(one, self._open_link().elements(one.name))
            if change.count:
                found[one.name] = change
        return found

    def _digest(self, one: KernelSet) -> bytes:
        """Made once per content: the name stands for it."""
        if one.name not in self._digests:
            self._digests[one.name] = packed.digest(packed.pack(one))
        return self._digests[one.name]

    async def _rehearse(self, table: Table) -> Listing:
        """How nft lists the table once it is loaded: learned by loading its structure where it does no harm."""
        text = placeholders.structure(table)
        digest = hashlib.sha256(text.encode()).digest()
        if self._rehearsed is None or self._rehearsed[0] != digest:
            self._rehearsed = (digest, await self._rehearse_text(table, text))
        names = {stand_in: name for name, stand_in in placeholders.placeholders(table).items()}
        return self._rehearsed[1].renamed(names)

    async def _rehearse_text(self, table: Table, text: str) -> Listing:
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

    async def remove(self) -> bool:
        """Removes every object of ours and nothing else; False when there was none. Raises ApplyError."""
        refused: Exception | None = None
        had_table = False
        try:
            self._known = None
            table = await self._nft.list_table()
            had_table = table is not None and table.is_ours
            if had_table:
                await self._nft.load(script.removal_text())
        except (NftError, listing.UnreadableListing) as error:
            refused = error  # marks that lead nowhere do no harm: the rules and routes go all the same
        try:
            loaded = routing.ours(self._netlink.routes(), self._netlink.rules())
            self._delete_routing(routing.change(routing.Routing(), loaded))
        except NetlinkError as error:
            raise ApplyError(f"cannot remove our kernel state: {refused or error}") from error
        if refused is not None:
            raise ApplyError(f"cannot remove our kernel state: {refused}") from refused
        return had_table or loaded != routing.Routing()

    # -- changing --------------------------------------------------------------------------

    async def _change_table(self, plan: Plan) -> None:
        if plan.nft.is_empty:
            return
        known, self._known = self._known, None
        if plan.nft.rebuild:
            # In one transaction, so that a kill switch holds meanwhile; large lists then cost memory once.
            self._commits, before = 0, await asyncio.to_thread(self._open_link().generation)
            try:
                await self._nft.load(script.rebuild_text(plan.table, script.MOST_AT_BOOT))
            except NftError as error:
                if await self._has_changed_since(before):
                    raise Uncertain(f"nft failed in the middle of a change: {error}") from error
                raise
            for one in plan.table.sets:
                if not script.holds_text(one, script.MOST_AT_BOOT):
                    await asyncio.to_thread(self._fill, one, {})
            return
        generation = await asyncio.to_thread(self._open_link().generation)
        self._commits, loads, self._replaced = 0, self._loads, False
        try:
            await self._stage(plan)
            await self._swap(plan)
        except NftError as error:
            # nft may die after the kernel did what it said. What is asked by then must not be taken away:
            # the next plan finds out, and clears what nobody asks.
            if await self._has_changed_since(generation):
                raise Uncertain(f"nft failed in the middle of a change: {error}") from error
            await self._restore(plan)
            await self._unstage(plan)
            raise
        # The new rules are in force: what could not be cleared away is in the next plan.
        with contextlib.suppress(NftError):
            await self._clear(plan.nft)
            if known is not None and known[0] == generation:
                await self._read_back(plan, known[1], generation, loads)

    async def _read_back(self, plan: Plan, before: Loaded, generation: int, loads: int) -> None:
        """The structure as nft lists it now; elements are known where nobody else changed anything meanwhile."""
        now = await asyncio.to_thread(self._open_link().generation)
        if (now - generation) & 0xFFFFFFFF != self._commits:
            return
        trusted = await asyncio.to_thread(self._as_written, plan, before)
        if loads != self._loads or plan.nft.stale_sets:  # these go by a batch
            trusted = replace(trusted, structure=await self._nft.list_table())
        self._known = (now, trusted)

    def _as_written(self, plan: Plan, before: Loaded) -> Loaded:
        """Sets of intervals are told by their names: what they hold was written with them."""
        names_ = {one.name for one in plan.table.sets}
        self._digests = {name: made for name, made in self._digests.items() if name in names_}
        return Loaded(before.structure, {}, {}, plan.table)

    async def _stage(self, plan: Plan) -> None:
        await self._load(staging.stage_text(plan.table, plan.nft))
        # A rule that gets another label goes on counting from where it is; what it counts until the
        # swap, some milliseconds, is lost.
        counters: dict[str, tuple[int, int]] = {}
        if any(name.startswith(HITS) for name in (*plan.nft.missing_sets, *plan.nft.elements)):
            counters = await asyncio.to_thread(self._read_counters)
        for one in plan.table.sets:
            if one.name in plan.nft.missing_sets or one.name in plan.nft.empty_lists:
                await asyncio.to_thread(self._fill, one, counters)
        await self._commit(staging.additions(plan.nft, counters))
        await self._load(staging.hook_text(plan.table, plan.nft))

    async def _swap(self, plan: Plan) -> None:
        self._replaced = await self._commit(staging.replacements(plan.nft))
        await self._load(staging.swap_text(plan.table, plan.nft))

    async def _restore(self, plan: Plan) -> None:
        if self._replaced:
            with contextlib.suppress(NftError):
                await self._commit(staging.restorations(plan.nft))

    async def _has_changed_since(self, generation: int) -> bool:
        """Whether there were other transactions than those that we know of."""
        try:
            now = await asyncio.to_thread(self._open_link().generation)
        except NftError:
            return True
        return (now - generation) & 0xFFFFFFFF != self._commits

    async def _unstage(self, plan: Plan) -> None:
        """Takes back what was staged, all of it or a part: what is not there yet cannot be taken back."""
        difference = plan.nft
        if SCHEMA in difference.missing_chains:  # the table itself is new
            with contextlib.suppress(NftError):
                await self._load(script.removal_text())
            return
        for name, change in difference.elements.items():
            if change.add:
                with contextlib.suppress(NftError):
                    await self._commit([DeleteElements(name, change.add)])
        with contextlib.suppress(NftError):
            await self._load(staging.unstage_text(plan.table, difference))
        with contextlib.suppress(NftError):
            await self._commit([DeleteSet(name) for name in difference.missing_sets])
        with contextlib.suppress(NftError):
            await self._load(staging.unstage_chains_text(plan.table, difference))

    async def _clear(self, difference: staging.Difference) -> None:
        """What is not asked any more goes: labels and classes that nobody says, then maps, then chains."""
        await self._commit(staging.removals(difference))
        await self._load(staging.empty_text(difference))
        await self._commit([DeleteSet(name) for name in difference.stale_sets])
        await self._load(staging.clear_text(difference))

    async def _load(self, text: str) -> None:
        if text:
            await self._nft.load(text)
            self._commits += 1
            self._loads += 1

    def _fill(self, one: KernelSet, counters: Mapping[str, tuple[int, int]]) -> None:
        for _ in self._open_link().load_steps(one.name, packed.pack(one, counters)):
            self._commits += 1

    async def _commit(self, changes: list[Change]) -> bool:
        """Whether there was anything to do."""
        if changes:
            await asyncio.to_thread(self._open_link().commit, changes)
            self._commits += 1
        return bool(changes)

    def _add_routing(self, change: routing.RoutingChange) -> list[Route | RoutingRule]:
        """Adds what is missing; returns what an undo has to take back."""
        done: list[Route | RoutingRule] = []
        leaving = {route.key for route in change.delete_routes}
        try:
            for route in change.add_routes:
                if route.key in leaving:
                    # It takes the place of one that leaves, in one step: its table is never without.
                    self._netlink.replace_route(route)
                else:
                    self._netlink.add_route(route)
                done.append(route)
            for rule in change.add_rules:
                self._netlink.add_rule(rule)
                done.append(rule)
        except NetlinkError as error:
            self._undo(done, change)
            raise ApplyError(f"the kernel refused, the previous rules stay in force: {error}") from error
        return done

    def _undo(self, done: list[Route | RoutingRule], change: routing.RoutingChange) -> None:
        """What took the place of a route gives it back; the rest goes."""
        before = {route.key: route for route in change.delete_routes}
        for item in reversed(done):
            previous = before.get(item.key) if isinstance(item, Route) else None
            if previous is None:
                self._delete(item)
            else:
                self._put_back(previous)

    def _put_back(self, route: Route) -> None:
        # Its device may be gone: then nothing can be put back, and the next turn plans anew.
        with contextlib.suppress(NetlinkError):
            self._netlink.replace_route(route)

    def _delete_routing(self, change: routing.RoutingChange) -> None:
        for rule in change.delete_rules:
            self._delete(rule)
        for route in change.delete_routes:
            self._delete(route)

    def _delete(self, item: Route | RoutingRule) -> None:
        try:
            if isinstance(item, Route):
                self._netlink.delete_route(item)
            else:
                self._netlink.delete_rule(item)
        except NetlinkError as error:
            if error.errno not in GONE:
                raise ApplyError(f"cannot remove what is no longer needed: {error}") from error


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
