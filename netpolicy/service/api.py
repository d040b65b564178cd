"""The use cases, each once: what every door calls.

Plain arguments in, plain documents out; refusals are `Refused` with words for a person.
Never speaks a protocol and never blocks: what needs the kernel is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from netpolicy.config.spelling import FORMATS, UCI
from netpolicy.core.evaluate import NOTHING_KNOWN, World
from netpolicy.core.facts import Facts
from netpolicy.core.model import Ruleset
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.kernel import Counted
from netpolicy.dataplane.listing import UnreadableListing
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.watch import FlowWatch
from netpolicy.service import documents, dry_run, explain, flow_text
from netpolicy.service.connections import Connections
from netpolicy.service.devices import by_device, facts_by_device
from netpolicy.service.engine import Engine
from netpolicy.service.generations import Store
from netpolicy.service.inspection import Inspection
from netpolicy.service.left_out import left_out
from netpolicy.service.list_refresh import ListRefresh
from netpolicy.service.loading import IMPORTING
from netpolicy.service.local_time import local_time
from netpolicy.service.outbound_set import CannotSet, set_outbound
from netpolicy.service.sampler import Sampler

LINT_LIMIT = 1 << 20  # bytes of a text that a door hands in

MOST_DAYS = 3650

MOST_LEFT_OUT = 200  # rules that a reload names: a bus message has room for no more than 1 MiB

# A counter listing is at most this old: many readers cost one nft run.
COUNTERS_SECONDS = 0.5

# Events tell no byte counts: who looks at connections has the table read again, at most this
# often, and more seldom the longer the table is (a thousand flows cost a router about 0.2 s).
FLOWS_SECONDS = 3.0
FLOWS_PER_SECOND = 1000


class Refused(Exception):
    """The request cannot be served; the text says why and what to do."""


class NotThere(Refused):
    """What is asked about does not exist; the text says so."""


class Service:
    """Everything that can be asked of a running netpolicyd."""

    def __init__(
        self,
        engine: Engine,
        connections: Connections,
        flows: FlowWatch,
        try_later: Callable[[], None] = lambda: None,
        sampler: Sampler | None = None,
        pending: Callable[[], dict[str, Any] | None] = lambda: None,
        inspection: Inspection | None = None,
        lists: ListRefresh | None = None,
    ) -> None:
        """`try_later` has a failed reload tried again; without a sampler nobody knows of last hits.

        `pending` tells of the change that waits for a confirmation; without an inspector names are unknown.
        """
        self._pending = pending
        self._inspection = inspection
        self._lists = lists
        self._sampler = sampler
        self._try_later = try_later
        self._engine = engine
        self._connections = connections
        self._flows = flows
        self._counters: Mapping[str, tuple[int, int]] = {}
        self._counted_at = float("-inf")
        self._read_at = float("-inf")
        self._examination: asyncio.Task[dict[str, Any]] | None = None

    def status(self) -> dict[str, Any]:
        """The whole picture in one look."""
        told = {
            **self._inspected(),
            "flows": len(self._flows.table),
            "disagreements": self._connections.disagreements,
        }
        confirmed = Store(self._engine.places.store).current() or None
        found = documents.status(self._engine, told, self._quality)
        lists = self._lists.summary() if self._lists is not None else None
        return {**found, "pending": self._pending(), "confirmed": confirmed, "lists": lists}

    def _inspected(self) -> dict[str, Any]:
        """What sees connections."""
        tier, reason = self._flows.tier, self._flows.reason
        if self._inspection is None:
            return {"tier": tier, "reason": reason}
        return self._inspection.status(tier, reason)

    def _quality(self, outbound: str) -> dict[str, Any] | None:
        """How connections by an outbound go."""
        return self._inspection.quality(outbound) if self._inspection is not None else None

    async def rules(
        self, limit: int = documents.RULE_LIMIT, offset: int = 0, unused_days: int = documents.UNUSED_DAYS
    ) -> dict[str, Any]:
        """A page of the rules with their counters and last hits; unused are those without a hit for so many days."""
        if not 0 < unused_days <= MOST_DAYS:
            raise Refused(f"unused_days: {unused_days} is not between 1 and {MOST_DAYS}")
        counters = await self._fresh_counters()
        usage = self._sampler.usage if self._sampler is not None else None
        held = await self._held() if self._engine.ways else {}
        return documents.rules(self._engine, counters, limit, offset, usage, unused_days, held)

    def lists(self) -> dict[str, Any]:
        """Every list: where it is from, how much is in it, how old that is, what was wrong last."""
        return self._lists.document() if self._lists is not None else {"lists": []}

    def refresh_lists(self, name: str = "") -> dict[str, Any]:
        """Fetches lists again, all of them or the one, and does not wait for that. Raises NotThere."""
        begun = self._lists.fetch_now(name) if self._lists is not None else []
        if name and not begun:
            raise NotThere(f"there is no list {name[:64]!r} with a url (netpolicy lists shows all)")
        return {"lists": begun}

    def outbounds(self) -> dict[str, Any]:
        """Every outbound with its health."""
        return documents.outbounds(self._engine, self._quality)

    async def outbound_set(
        self, name: str, word: str, weight: int | None = None, members: list[Any] | None = None
    ) -> dict[str, Any]:
        """A line is taken out or its probes do not count, members get other shares or another order, until a restart.

        Raises Refused, NotThere.
        """
        outbound = self._engine.ruleset.outbound(name)
        if outbound is None:
            raise NotThere(f"there is no outbound {name[:64]!r} (netpolicy outbounds lists them)")
        try:
            return await set_outbound(self._engine, outbound, word, weight, members)
        except CannotSet as problem:
            raise Refused(str(problem)) from None

    def connections(self, limit: int = 100, offset: int = 0, text: str = "") -> dict[str, Any]:
        """A page of live connections, newest first. Byte counts are some seconds old."""
        self._refresh_flows()
        return self._connections.document(limit, offset, text)

    async def explain(self, text: str) -> dict[str, Any]:
        """Why one open connection is where it is. Raises Refused, NotThere."""
        try:
            wanted = flow_text.parse(text)
        except ValueProblem as problem:
            raise Refused(problem.text + (f" ({problem.hint})" if problem.hint else "")) from None
        self._refresh_flows()
        flow, count = explain.find(self._flows.table, wanted, self._connections.shade)
        if flow is None:
            raise NotThere(f"there is no open connection {text!r} (netpolicy connections lists them)")
        counters = await self._fresh_counters()
        found = self._connections.explained(flow)
        at = dry_run.local_moment(local_time())
        compiled = self._engine.compiled
        world = NOTHING_KNOWN if compiled is None else compiled.world
        decision = self._decided(found.facts, self._engine.state, world, at)
        return explain.document(self._engine, found, count, decision, counters, self._connections.shade)

    def _refresh_flows(self) -> None:
        if self._inspection is not None:
            self._inspection.drain()
        now = asyncio.get_running_loop().time()
        if now - self._read_at > max(FLOWS_SECONDS, len(self._flows.table) / FLOWS_PER_SECOND):
            self._read_at = now
            self._flows.refresh()

    def logs(self, since: int = 0, limit: int = 100, level: str = "debug") -> dict[str, Any]:
        """The newest log entries after number `since`."""
        return documents.logs(self._engine, since, limit, level)

    def decide(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Which rule a connection with these facts hits. Raises Refused for facts that cannot be read."""
        try:
            facts, state = dry_run.question(given, self._engine.state)
            at = dry_run.moment(given, dry_run.local_moment(local_time()))
        except ValueProblem as problem:
            raise Refused(problem.text + (f" ({problem.hint})" if problem.hint else "")) from None
        ruleset, compiled = self._engine.ruleset, self._engine.compiled
        try:
            world = dry_run.supposed(given, ruleset, NOTHING_KNOWN if compiled is None else compiled.world)
        except ValueProblem as problem:
            raise Refused(f"{problem.text} ({problem.hint})") from None
        return self._decided(facts, state, world, at)

    def _decided(self, facts: Facts, state: str, world: World, at: dry_run.Moment) -> dict[str, Any]:
        """The `decide` document, with devices for the names that netifd gives them."""
        ruleset, compiled = self._engine.ruleset, self._engine.compiled
        if compiled is None:
            return dry_run.document(ruleset, facts, state, world, at)
        names = dict(compiled.policy.device_names)
        rules = by_device(ruleset.rules, names)
        meant = Ruleset(rules, ruleset.outbounds, ruleset.settings, ruleset.schedules)
        return dry_run.document(meant, facts_by_device(facts, names), state, world, at)

    async def reload(self) -> dict[str, Any]:
        """Reads the configuration again and makes the kernel follow."""
        error = await self._engine.reload()
        if error and not self._engine.config_error:  # a refused file waits for its owner
            self._try_later()
        answer = {"ok": not error, "error": error or None}
        skipped = [] if error else left_out(self._engine.loaded)
        if not skipped:
            return answer
        return {**answer, "left_out": len(skipped), "skipped": [one.as_dict() for one in skipped[:MOST_LEFT_OUT]]}

    def lint(self, text: str, format: str = UCI) -> dict[str, Any]:
        """The diagnostics of a configuration text. Raises Refused when it is too long or the format is unknown."""
        with IMPORTING:
            from netpolicy.config.linter import lint_text  # not in memory until somebody asks

        _check_text(text, format)
        diagnostics = lint_text(text, "<text>", format)
        return {
            "ok": not any(found.severity == "error" for found in diagnostics),
            "diagnostics": [found.as_dict() for found in diagnostics],
        }

    def convert(self, text: str, source: str, target: str) -> dict[str, Any]:
        """A configuration text in another spelling, with what was wrong or lost. Raises Refused."""
        with IMPORTING:
            from netpolicy.config.convert import convert_text  # not in memory until somebody asks

        for format in (source, target):
            _check_text(text, format)
        converted = convert_text(text, "<text>", source, target)
        return {
            "ok": converted.text is not None,
            "text": converted.text,
            "diagnostics": [found.as_dict() for found in converted.diagnostics],
        }

    async def doctor(self) -> dict[str, Any]:
        """What is wrong with this box and what to do. Raises Refused where the examination does not come to its end."""
        from netpolicy.dataplane.rehearsal_child import ChildFailed
        from netpolicy.service.doctor import examine_beside  # not in memory until somebody asks

        # Whoever asks meanwhile gets the same answer: many readers must not cost many processes.
        if self._examination is None or self._examination.done():
            seen = self._inspected() if self._inspection is not None else None
            self._examination = asyncio.get_running_loop().create_task(examine_beside(self._engine, seen))
        try:
            return await asyncio.shield(self._examination)
        except ChildFailed as failure:
            raise Refused(f"the examination was not finished: {failure}") from None

    async def _held(self) -> Mapping[str, Counted]:
        """What came to the limits of speed."""
        try:
            return await self._engine.kernel.limit_counters()
        except (NftError, NetlinkError) as error:
            self._engine.log.add("warning", "flow", f"the counters of the throttles cannot be read: {error}")
            return {}

    async def _fresh_counters(self) -> Mapping[str, tuple[int, int]]:
        now = asyncio.get_running_loop().time()
        if now - self._counted_at > COUNTERS_SECONDS:
            self._counted_at = now  # first: readers that come meanwhile take the old ones
            try:
                self._counters = await self._engine.kernel.counters()
            except (NftError, UnreadableListing) as error:
                self._engine.log.add("warning", "flow", f"the rule counters cannot be read: {error}")
            else:
                if self._sampler is not None:
                    await self._sampler.take(self._counters)
        return self._counters


def _check_text(text: str, format: str) -> None:
    if format not in FORMATS:
        raise Refused(f"{format[:32]!r} is not a format: one of {', '.join(FORMATS)}")
    if len(text) > LINT_LIMIT:
        raise Refused(f"the text is longer than {LINT_LIMIT} bytes: use the netpolicy tool on the file")
