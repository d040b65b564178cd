"""Makes the kernel equal to a Policy: observe, plan, apply, read back, remove.

The one place that orders changes: what is needed is added before the swap, what is no
longer needed removed after it. Never touches what is not ours. Design: docs/dataplane.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from netpolicy.dataplane import bundle, conflicts, listing, routing, script, shaping
from netpolicy.dataplane.loaded import Loaded, Reader
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import Netlink
from netpolicy.dataplane.nft import Nft, NftError
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import AddElements
from netpolicy.dataplane.plan import Plan, Planner
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.route_steps import NotRemoved, RouteSteps
from netpolicy.dataplane.shaping import Step
from netpolicy.dataplane.state import PROTOCOL, Address, NetlinkError, Route, RoutingRule
from netpolicy.dataplane.table import Table
from netpolicy.dataplane.traffic_control import TrafficControl
from netpolicy.dataplane.transition import Transition, Uncertain

__all__ = ["ApplyError", "Counted", "Kernel", "Observed", "Overtaken", "Plan"]


class ApplyError(Exception):
    """The kernel was not changed to the plan; the text says at which step and why, and what is in force.

    `refused`: the route that the kernel does not take, where it is that.
    """

    refused: Route | None = None


class Overtaken(ApplyError):
    """Nothing was changed: a queue that the plan counts on cannot be had. The next plan does without."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one direction of a limit: what came, in packets and bytes, and how many packets of it were dropped."""

    packets: int
    bytes: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there now."""

    table: Loaded
    routes: tuple[Route, ...]
    rules: tuple[RoutingRule, ...]
    addresses: tuple[Address, ...]
    queues: shaping.Observed


class Kernel:
    """Our nft table, routes, rules and queues in this network namespace."""

    def __init__(self, netlink: Netlink, nft: Nft | None = None, traffic: TrafficControl | None = None) -> None:
        self._netlink = netlink
        self._traffic = traffic or TrafficControl()
        self._nft = nft or Nft()
        self._link: NftLink | None = None
        self._one_at_a_time = asyncio.Lock()  # the link answers one question at a time
        self._reader = Reader(self._nft, self._open_link)
        self._planner = Planner(self._nft, self._open_link, self._one_at_a_time)

    @property
    def rehearsal(self) -> str:
        """How the last text was rehearsed: "namespace", "beside", or "" for not yet."""
        return self._planner.rehearsal

    async def observe(self) -> Observed:
        """Reads what is loaded; our table only where the rule set changed since then. Raises NftError, NetlinkError."""
        async with self._one_at_a_time:
            table = await self._reader.read()
        routes, rules, addresses = self._netlink.routes(), self._netlink.rules(), self._netlink.addresses()
        return Observed(table, routes, rules, addresses, self._traffic.observe())

    async def plan(self, policy: Policy) -> Plan:
        """What an apply would change. Changes nothing. Raises NftError (the text would not load), NetlinkError."""
        seen = await self.observe()
        found = conflicts.find(policy, seen.routes, seen.rules, seen.table.structure)
        shaped, ways = shaping.place(policy, seen.queues, seen.addresses)
        if shaped:
            policy = replace(policy, shaped=shaped)
        table, difference = await self._planner.compare(policy, seen.table)
        wanted = routing.desired(policy, seen.routes, seen.addresses)
        change = routing.change(wanted, routing.ours(seen.routes, seen.rules))
        queues = shaping.change(shaped, seen.queues)
        return Plan(policy, table, difference, change, tuple(found), wanted, queues, ways)

    async def apply(self, plan: Plan) -> None:
        """Carries the plan out; a new plan then says whether it held.

        Raises ApplyError: the old state is in force; Overtaken: it is, and a new plan would be another.
        """
        if plan.conflicts:
            raise ApplyError(f"{plan.conflicts[0].message}: {plan.conflicts[0].hint}")
        steps = RouteSteps(self._netlink, plan.routing)
        try:
            steps.add()
            self._put_queues(plan.shaping.before, steps)
            try:
                await self._change_table(plan)
            except Uncertain as error:
                raise ApplyError(f"{error}; what is in force now is read before anything else is done") from error
            except NftError as error:
                steps.undo()
                self._take_queues(plan.shaping.before)
                raise ApplyError(f"nft refused, the previous rules stay in force: {error}") from error
            for step in plan.shaping.after:
                self._traffic.take(step)
            steps.delete()
        except NetlinkError as error:
            failed = ApplyError(f"the kernel refused, the previous rules stay in force: {error}")
            failed.refused = steps.refused
            raise failed from error
        except NotRemoved as error:
            raise ApplyError(str(error)) from error

    def rests_for(self) -> float:
        """Seconds until a device whose queue somebody took away may have ours again, as last observed; 0 for none."""
        return self._traffic.rests_for()

    def include_text(self, plan: Plan) -> str:
        """The table in force as a text that a firewall restart can load: it changes nothing when loaded again."""
        return script.full_text(plan.table, script.MOST_AT_BOOT)

    async def of_others(self) -> dict[str, object]:
        """What stays while we change ours, by name: nft tables and ip rules. Raises NftError, NetlinkError."""
        found: dict[str, object] = {
            f"table {name}": text for name, text in (await self._nft.tables_of_others()).items()
        }
        rules = [rule for rule in self._netlink.rules() if rule.protocol != PROTOCOL]
        found["ip rules"] = tuple(sorted(str(rule) for rule in rules))
        return found

    async def counters(self) -> dict[str, tuple[int, int]]:
        """Packets and bytes of first packets, by rule. Empty without our table. Raises NftError."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._reader.counters)

    async def limit_counters(self) -> dict[str, Counted]:
        """What came to each limit and what was dropped, by "profile up". Raises NftError, NetlinkError."""
        async with self._one_at_a_time:
            found = await asyncio.to_thread(self._reader.limits)
        if not found:
            return {}
        drops = shaping.drops(self._traffic.observe())
        return {
            name: Counted(packets, size, drops.get(key & 0xFFFF, 0) + found.get(name + " dropped", (0, 0, 0))[1])
            for name, (key, packets, size) in found.items()
            if not name.endswith(" dropped")
        }

    def queues(self) -> shaping.Observed:
        """What stands on the devices. Raises NetlinkError."""
        return self._traffic.observe()

    async def learned(self, table: Table) -> dict[str, list[Element]]:
        """What those sets of the table hold that others fill, with the time that is left; none where nft refuses."""
        names = [one.name for one in table.sets if one.timeout and not one.dynamic]
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._read_learned, names) if names else {}

    async def learn(self, known: Mapping[str, list[Element]]) -> None:
        """Sets that are there and hold nothing are filled with that; what nft refuses is learned again."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._fill_learned, known)

    def _read_learned(self, names: list[str]) -> dict[str, list[Element]]:
        with contextlib.suppress(NftError):
            link = self._open_link()
            there = link.sets()
            return {name: found for name in names if name in there and (found := link.elements(name))}
        return {}

    def _fill_learned(self, known: Mapping[str, list[Element]]) -> None:
        with contextlib.suppress(NftError):
            link = self._open_link()
            there = link.sets()
            for name, elements in known.items():
                if name in there and not link.elements(name):
                    link.commit([AddElements(name, elements)])

    def remember_counters(self, counters: Mapping[str, tuple[int, int]]) -> None:
        """Rules that come back from now on go on counting from here (packets, bytes by rule); {}: from nothing."""
        self._reader.earlier = counters

    def take_older_counts(self) -> dict[str, int]:
        """What rules had counted before this process, in packets, as the first plan found it; told once."""
        return self._reader.take_older_counts()

    async def remove(self) -> bool:
        """Removes every object of ours and nothing else; False when there was none. Raises ApplyError."""
        refused: Exception | None = None
        had_table = False
        try:
            had_table = await self._remove_table()
        except (NftError, listing.UnreadableListing) as error:
            refused = error  # marks that lead nowhere do no harm: the rules and routes go all the same
        try:
            loaded = routing.ours(self._netlink.routes(), self._netlink.rules())
            RouteSteps(self._netlink, routing.change(routing.Routing(), loaded)).delete()
            queues = shaping.change((), self._traffic.observe()).after
            for step in queues:
                self._traffic.take(step)
        except NetlinkError as error:
            raise ApplyError(f"cannot remove our kernel state: {refused or error}") from error
        except NotRemoved as error:
            raise ApplyError(str(error)) from error
        if refused is not None:
            raise ApplyError(f"cannot remove our kernel state: {refused}") from refused
        return had_table or loaded != routing.Routing() or bool(queues)

    async def open_gate(self) -> None:
        """What a process that died while it made our table anew left closed is open. Raises NftError."""
        await self._nft.load(f"add table {bundle.GATE}\ndelete table {bundle.GATE}\n")

    async def _change_table(self, plan: Plan) -> None:
        # A map that is made in the transaction that asks it finds nothing for some packets: what may not pass by
        # chance waits meanwhile. In place nothing of the kind happens: maps are filled before anybody asks them.
        is_closed = plan.nft.rebuild and plan.policy.closes
        if is_closed:
            await self._nft.load(bundle.gate_text(plan.policy, plan.table))
        try:
            async with self._one_at_a_time:
                await Transition(self._nft, self._open_link, self._reader, plan.table, plan.nft).run()
        finally:
            if is_closed:
                await self.open_gate()
        self._planner.keep(plan.table)

    def _put_queues(self, steps: tuple[Step, ...], routes: RouteSteps) -> None:
        try:
            for step in steps:
                self._traffic.take(step)
        except NetlinkError as error:
            self._take_queues(steps)
            routes.undo()
            raise Overtaken(f"a queue was refused, the previous rules stay in force: {error}") from error

    def _take_queues(self, steps: tuple[Step, ...]) -> None:
        """Takes back roots that were added, with all below them. Nothing asks for a class that was added alone."""
        for step in steps:
            if step.verb == "add" and step.what == "root":
                with contextlib.suppress(NetlinkError):
                    self._traffic.take(Step("delete", "root", step.device, step.index))

    async def _remove_table(self) -> bool:
        """Whether there was one of ours."""
        self._reader.forget()
        table = await self._reader.structure()
        if table is None or not table.is_ours:
            return False
        await self._nft.load(script.removal_text())
        return True

    def _open_link(self) -> NftLink:
        if self._link is None:
            self._link = NftLink(TABLE)
        return self._link
