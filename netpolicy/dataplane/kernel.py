"""Makes the kernel equal to a Policy: observe, plan, apply, read back, remove.

The one place that orders changes: what is needed is added before the swap, what is no
longer needed removed after it. Never touches what is not ours. Design: docs/dataplane.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass

from netpolicy.dataplane import conflicts, listing, routing, script, staging
from netpolicy.dataplane.listing import Listing
from netpolicy.dataplane.names import next_generation
from netpolicy.dataplane.netlink import Netlink
from netpolicy.dataplane.nft import Nft, NftError, NoRehearsal
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.state import Address, NetlinkError, Route, RoutingRule
from netpolicy.dataplane.table import Table, build

ENOENT, ESRCH, EEXIST, ENODEV = 2, 3, 17, 19

# What a deletion may answer when somebody else (or the vanished device) was first.
GONE = (ENOENT, ESRCH, ENODEV)


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
    generation: int  # the one that a restaged chain will get

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
        text = "\n".join(self.changes) + script.full_text(self.table, {})
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there now."""

    table: Listing | None
    routes: tuple[Route, ...]
    rules: tuple[RoutingRule, ...]
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a policy means to nft. Rules are compared by identity: the same rule set is prepared once."""

    policy: Policy
    table: Table
    digest: bytes  # of its text
    listing: Listing


def _written(policy: Policy) -> tuple[Table, str, bytes]:
    """The table of a policy, its text, and the digest of that."""
    table = build(policy)
    text = script.full_text(table, script.all_at(table, 1))
    return table, text, hashlib.sha256(text.encode()).digest()


class Kernel:
    """Our nft table, routes and rules in this network namespace."""

    def __init__(self, netlink: Netlink, nft: Nft | None = None) -> None:
        self._netlink = netlink
        self._nft = nft or Nft()
        self._prepared: Prepared | None = None
        self.rehearsal = ""  # how the last text was rehearsed: "namespace" or "beside"

    async def observe(self) -> Observed:
        """Reads what is loaded. Raises NftError, NetlinkError."""
        table = await self._nft.list_table()
        return Observed(table, self._netlink.routes(), self._netlink.rules(), self._netlink.addresses())

    async def plan(self, policy: Policy) -> Plan:
        """What an apply would change. Changes nothing. Raises NftError (the text would not load), NetlinkError."""
        seen = await self.observe()
        found = conflicts.find(policy, seen.routes, seen.rules, seen.table)
        ready = await self._prepare(policy)
        highest = seen.table.highest_generation if seen.table else 0
        # In a worker, like all that takes long with many rules: the loop goes on answering.
        difference = await asyncio.to_thread(listing.difference, ready.listing, seen.table)
        wanted = routing.desired(policy, seen.routes, seen.addresses)
        change = routing.change(wanted, routing.ours(seen.routes, seen.rules))
        return Plan(policy, ready.table, difference, change, tuple(found), next_generation(highest))

    async def apply(self, plan: Plan) -> None:
        """Carries the plan out; a new plan then says whether it held. Raises ApplyError: the old state is in force."""
        if plan.conflicts:
            raise ApplyError(f"{plan.conflicts[0].message}: {plan.conflicts[0].hint}")
        undo = self._add_routing(plan.routing)
        try:
            await self._change_table(plan)
        except NftError as error:
            self._undo(undo, plan.routing)
            raise ApplyError(f"nft refused, the previous rules stay in force: {error}") from error
        self._delete_routing(plan.routing)

    def include_text(self, plan: Plan) -> str:
        """The table in force as a text that a firewall restart can load: it changes nothing when loaded again."""
        generations = script.all_at(plan.table, plan.generation)
        if not plan.nft.rebuild:
            generations = staging.after(plan.table, plan.nft, plan.generation)
        return script.full_text(plan.table, generations)

    async def counters(self) -> dict[str, tuple[int, int]]:
        """Packets and bytes of first packets, by counter name. Empty without our table."""
        return await self._nft.list_counters()

    async def remove(self) -> bool:
        """Removes every object of ours and nothing else; False when there was none. Raises ApplyError."""
        refused: Exception | None = None
        had_table = False
        try:
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

    async def _prepare(self, policy: Policy) -> Prepared:
        """The table of the policy and its listing; what was made for the same policy or text is used again."""
        last = self._prepared
        if last is not None and last.policy == policy:
            return last
        table, text, digest = await asyncio.to_thread(_written, policy)
        found = last.listing if last is not None and last.digest == digest else await self._rehearse(table, text)
        self._prepared = Prepared(policy, table, digest, found)
        return self._prepared

    async def _rehearse(self, table: Table, text: str) -> Listing:
        """How nft lists the table once it is loaded: learned by loading it where it does no harm."""
        try:
            found = await self._nft.rehearse(text)
            self.rehearsal = "namespace"
        except NoRehearsal:
            # The hooks are only checked, not loaded; with a deletion before it, so that a table of
            # another shape that is in force now does not count as a reason to refuse.
            await self._nft.check(script.rebuild_text(table, 1))
            plain = staging.unhooked(table)
            found = await self._nft.rehearse_beside(script.full_text(plain, script.all_at(plain, 1)))
            self.rehearsal = "beside"
        return found

    async def _change_table(self, plan: Plan) -> None:
        if plan.nft.rebuild:
            await self._nft.load(script.rebuild_text(plan.table, plan.generation))
            return
        if plan.nft.is_empty:
            return
        stage = staging.stage_text(plan.table, plan.nft, plan.generation)
        if stage:
            await self._nft.load(stage)
        try:
            await self._nft.load(staging.swap_text(plan.table, plan.nft, plan.generation))
        except NftError:
            if stage:
                await self._nft.load(staging.unstage_text(plan.table, plan.nft, plan.generation))
            raise

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
