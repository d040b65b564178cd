"""The loop of the house: configuration, network and kernel in; a kernel that does what the rules say out.

Owns, itself or by its parts (policy_plan.py, in_force.py), all state that outlives a call. Never answers a door in its
protocol and never waits inside a read: what doors ask is kept ready. Every change of anything is one `reconcile`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from netpolicy.config.loaded import Loaded
from netpolicy.core.calendar import active
from netpolicy.core.health import NORMAL
from netpolicy.core.line_health import Transition
from netpolicy.core.model import Ruleset, Settings
from netpolicy.dataplane import wireguard
from netpolicy.dataplane.kernel import ApplyError, Kernel, Plan
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink import Netlink
from netpolicy.dataplane.shaping import Way
from netpolicy.dataplane.state import NetlinkError
from netpolicy.observe.ring import Ring
from netpolicy.outbounds.lines import LineState, LogicalInterface, View, line_states
from netpolicy.service import reading
from netpolicy.service.candidate import Files
from netpolicy.service.classes import TooManyOutbounds
from netpolicy.service.compile import Compiled
from netpolicy.service.drift import HEAL, Drift, Found
from netpolicy.service.dry_run import local_moment
from netpolicy.service.facts import Surroundings
from netpolicy.service.failures import SYSTEM_ERRORS, fault_in_words, in_words
from netpolicy.service.in_force import InForce
from netpolicy.service.left_out import refusal
from netpolicy.service.line_news import LineNews, Publish
from netpolicy.service.line_watch import LineWatch
from netpolicy.service.loading import Loader
from netpolicy.service.local_time import local_time
from netpolicy.service.numbering import Numbering
from netpolicy.service.policy_plan import Planner, Preview, Situation
from netpolicy.service.records import Records
from netpolicy.service.release import FlowDoor, Release
from netpolicy.service.reuse import with_known_rules
from netpolicy.service.review import Review
from netpolicy.service.warnings import Warning_

AskNetifd = Callable[[], Awaitable[Mapping[str, LogicalInterface]]]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the service reads and writes."""

    config: str = "/etc/config/netpolicy"
    state: str = "/var/run/netpolicy"
    store: str = "/etc/netpolicy"


@dataclass(slots=True)
class Engine:
    """One router's policy. Built by the daemon, asked by the doors."""

    places: Places
    kernel: Kernel
    netlink: Netlink
    log: Ring
    publish: Publish
    mode: str = ""  # "enforce" or "observe" from the command line wins over the file
    ask_netifd: AskNetifd | None = None
    clock: Callable[[], time.struct_time] = local_time
    flows: FlowDoor | None = None
    ruleset: Ruleset = field(default_factory=Ruleset)
    loaded: Loaded | None = None
    config_error: str = ""
    frozen: str = ""  # why the configuration is not read again now
    taken: int = 0  # how often a configuration was taken over
    state: str = NORMAL
    states: tuple[LineState, ...] = ()
    view: View = field(default_factory=lambda: View({}, (), ()))
    compiled: Compiled | None = None  # as planned last
    warnings: list[Warning_] = field(default_factory=list)
    ways: tuple[Way, ...] = ()  # how each limit of speed is held back, and where
    loader: Loader = field(default_factory=Loader)
    drift: Drift = field(default_factory=Drift)
    adopt: Callable[[Files, str], Awaitable[None]] | None = None  # is told the files that are in force without a guard
    learned: Callable[[tuple[int, int] | None], frozenset[str] | None] | None = None  # the sets that hold an address
    turned: Callable[[], object] | None = None  # is told that the network was looked at, or the rules indexed
    worried: Callable[[str], object] | None = None  # is told that the health of a line asks for a turn, and why
    hear: Callable[[], object] | None = None  # takes in what the kernel has told of the network by now
    carries: Callable[[LineState, str], object] | None = None  # is told that a line begins or ends to carry, by which
    _told: dict[str, LineState] = field(default_factory=dict)  # the lines as they were at the last turn
    list_warnings: Callable[[], list[Warning_]] = list  # what is wrong with lists that are fetched
    followed: tuple[Compiled | None, dict[str, int]] = (None, {})  # what files that are being adopted came to
    _unadopted: Files | None = None
    _again: asyncio.TimerHandle | None = None  # when a route that was refused is tried again
    _reusable: Ruleset | None = None  # what was in force when others were taken: what they left is not made anew
    _stopped: bool = False
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    one_reader: asyncio.Lock = field(default_factory=asyncio.Lock)  # held by who reads a configuration to take it
    _one_adoption: asyncio.Lock = field(default_factory=asyncio.Lock)
    _planner: Planner = field(init=False)
    _numbering: Numbering = field(init=False)
    _review: Review = field(init=False)
    _news: LineNews = field(init=False)
    release: Release = field(init=False)  # the open connections, for whoever hears of new ones
    in_force: InForce = field(init=False)
    lines: LineWatch = field(init=False)

    def __post_init__(self) -> None:
        self.lines = LineWatch(self._worry, self._tell_transition)
        self._planner = Planner(self.kernel, self.netlink)
        self._news = LineNews(self.log, self.publish)
        self.release = Release(self.flows, self.log)
        forgotten = self.release.forgotten
        self._review = Review(self.flows, self.log, lambda: self.surroundings().facts, forgotten, self.note_fault)
        records = Records(self.places.state)
        self._numbering = Numbering(records, self.release)
        self.in_force = InForce(
            self.kernel, records, self._numbering, self.release, self._review, self.drift, self.log, self.publish,
            indexed=self._tell_turned,
        )  # fmt: skip
        self._review.share(self.in_force.indexes, self.in_force.until_indexed)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.ruleset.settings

    @property
    def effective_mode(self) -> str:
        """ "enforce" or "observe"."""
        return self.mode or self.settings.mode

    @property
    def numbers(self) -> dict[str, int]:
        """The class of each outbound, and of each pair of one with a limit."""
        return self._numbering.numbers

    @property
    def has_unadopted(self) -> bool:
        """Whether what was taken over last is not kept yet."""
        return self._unadopted is not None

    @property
    def enforced(self) -> Compiled | None:
        """The rules as the kernel has them."""
        return self.in_force.enforced

    def open_schedules(self) -> tuple[str, ...]:
        """The names of the schedules whose window is open now, by the router's clock and time zone."""
        return self._active(self.ruleset)

    def _active(self, ruleset: Ruleset) -> tuple[str, ...]:
        return active(ruleset.schedules, *local_moment(self.clock())) if ruleset.schedules else ()

    @property
    def has_schedules(self) -> bool:
        """Whether what is in force depends on the clock."""
        return bool(self.ruleset.schedules)

    async def between_turns(self) -> tuple[Compiled | None, dict[str, int]]:
        """What the kernel has, and the class of each outbound, while no turn is changing either."""
        async with self._one_at_a_time:
            return self.enforced, dict(self.numbers)

    # -- configuration ---------------------------------------------------------------------

    async def read_config(self) -> str:
        """Reads the file and takes it over, unless it is bad. Returns the error or ""."""
        # One after the other, so that the file read last is the one taken last.
        async with self.one_reader:
            while not self.frozen:
                taken = self.taken
                try:
                    known = self.loaded.paths if self.loaded is not None else ()
                    found = await reading.read(self.loader, self.places.config, self.ruleset, known=known)
                except reading.Unsettled as error:
                    return str(error)
                # A change may have begun meanwhile: what it leads back to must not be replaced under it. One that
                # has ended, too, may have written what was just read, or written over it.
                if not self.frozen and taken == self.taken:
                    return self.take_files(found)
            return self.frozen

    def take_files(self, found: reading.Reading) -> str:
        """As `take`; once the kernel follows, the files are handed to `adopt`. Returns the error or ""."""
        error = self.take(found.loaded)
        if not error:
            self._unadopted = found.files
        return error

    def take(self, fresh: Loaded) -> str:
        """Takes a configuration over, unless it is bad: then the one in force stays. Returns the error or ""."""
        for diagnostic in fresh.diagnostics:
            level = "warning" if diagnostic.severity == "error" else "info"
            self.log.add(level, "config", diagnostic.text().splitlines()[0])
        # Without its broken block rule the new file would let pass what the running one stops.
        if fresh.fatal or (fresh.blocked_skip and self.loaded is not None):
            self.config_error = refusal(fresh)
            self.log.add("error", "config", f"the configuration is not taken over: {self.config_error}")
            self.publish("netpolicy.config", {"ok": False, "error": self.config_error})
            return self.config_error
        self.config_error = ""
        self.taken += 1
        self.loaded = fresh
        self._reusable = self._reusable or self.ruleset
        self.ruleset = fresh.ruleset
        self.log.add("info", "config", f"{len(fresh.ruleset.rules)} rules from {self.places.config}")
        self.publish("netpolicy.config", {"ok": True, "error": None, "rules": len(fresh.ruleset.rules)})
        return ""

    async def reload(self) -> str:
        """Reads the configuration again and makes the kernel and open connections follow. Returns the error or ""."""
        error = await self.read_config() or await self.reconcile("reload")
        await self._review.reviewed(self.enforced)
        return error

    # -- the loop --------------------------------------------------------------------------

    async def reconcile(self, cause: str) -> str:
        """One turn: look, decide, plan, change what differs. Returns the error or "".

        Open connections that the change concerns are reviewed afterwards, beside the turns that follow.
        """
        async with self._one_at_a_time:
            if self._stopped:
                return "netpolicy is stopping"
            self._review.stand_still()
            # Files that are taken while this turn is under way are those of the next one: what this one put in force
            # would be kept beside them, for the next boot.
            files = self._unadopted
            try:
                ways = 2 * len(self.ruleset.outbounds)
                while not await self._turned(cause, ways > 0):
                    ways -= 1  # a line does without what the kernel refused
                if self.in_force.succeeded():
                    self._tell_state()
            except TooManyOutbounds as error:
                self._failed(str(error))
            except SYSTEM_ERRORS as error:
                self.drift.lost()
                self._failed(in_words(error))
            finally:
                self._probe_lines()
                self._review.go_on()
                self._tell_turned()
            if self.in_force.error:
                return self.in_force.error
            followed = self.enforced, dict(self.numbers)
        if files is not None:
            await self._hand_to_adopt(files, cause, followed)  # flash is slow: no line waits for it
        return ""

    async def settle(self, cause: str) -> str:
        """What was taken over last is in force, and `adopt` has kept it. Returns the error or ""."""
        error = await self.reconcile(cause) if self._unadopted is not None else ""
        async with self._one_adoption:
            return error

    async def _hand_to_adopt(self, files: Files, cause: str, followed: tuple[Compiled | None, dict[str, int]]) -> None:
        async with self._one_adoption:
            if self._unadopted is not files:
                return  # somebody else did it, or there are newer ones that are not in force yet
            self._unadopted, self.followed = None, followed
            if self.adopt is not None:
                await self.adopt(files, cause)
            self.followed = (None, {})  # the rules of before are megabytes

    async def plan(self) -> Plan | None:
        """What a reconcile would change now; None while switched off. Raises the errors of the data plane."""
        return (await self.preview(self.ruleset)).plan

    async def preview(self, ruleset: Ruleset) -> Preview:
        """What it would mean to follow these rules now; nothing of ours changes. Raises as `plan`, TooManyOutbounds."""
        async with self._one_at_a_time:
            await self._look()
            states = self.states if ruleset is self.ruleset else self._suppose(ruleset)
            if not ruleset.settings.enabled:
                return Preview(ruleset, states)
            situation = self._situation(ruleset, self.lines.engine_state(ruleset.settings, states), states)
            numbers = self._numbering.allocation(ruleset).numbers
            return Preview(ruleset, states, *await self._planner.plan(situation, numbers, self.compiled))

    async def stop(self) -> None:
        """Removes everything of ours from the kernel, for good. Raises ApplyError, OSError."""
        async with self._one_at_a_time:
            self._stopped = True
            await self.in_force.end(Marks(self.settings.fwmark_mask))

    async def hand_over(self) -> None:
        """Ends without a change: the next daemon takes over what is in force."""
        await self._review.reviewed(self.enforced)
        async with self._one_at_a_time:
            self._stopped = True
            self.log.add("info", "apply", "what is in force stays for the next daemon")

    async def _reuse_rules(self) -> None:
        """Rules that say what they said go on being the same. In a worker: of ten thousand it takes some time."""
        while self._reusable is not None:
            fresh = self.ruleset
            known = await asyncio.to_thread(with_known_rules, fresh, self._reusable)
            if self.ruleset is fresh:  # no other one was taken meanwhile
                self.ruleset, self._reusable = known, None
                if self.loaded is not None:
                    self.loaded.ruleset = known

    async def _turned(self, cause: str, has_ways: bool) -> bool:
        """A turn; False where it failed for a line that the next one does without."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._turn(cause)
        except ApplyError as error:
            route = error.refused
            number = route.table - self.settings.table_base if route is not None else 0
            names = [name for name, known in self.numbers.items() if known == number]
            state = next((one for one in self.states if one.name in names), None)
            if not has_ways or route is None or state is None:
                raise
            if not self.lines.refused.note(state, route.family, str(error.__cause__), loop.time()):
                raise
            return False
        self.lines.refused.all_taken(began)
        if self._again is not None:
            self._again.cancel()
        wait = self.lines.refused.again_in(began)
        self._again = None if wait is None else loop.call_later(wait + 0.1, self._worry, "a route is tried again")
        return True

    async def _turn(self, cause: str) -> None:
        await self._reuse_rules()
        await self._look()
        before, self._told = self._told, {state.name: state for state in self.states}
        self._tell_lines(before)
        if self.loaded is None:
            # No configuration was ever read: what a former daemon left in force is better than nothing.
            self.in_force.in_sync = False
            return
        if not self.settings.enabled:
            await self._stand_down()
            return
        if self.effective_mode == "observe":
            await self.in_force.withdraw(Marks(self.settings.fwmark_mask))
        allocation = self._numbering.allocation(self.ruleset)
        plan, compiled = await self._plan(allocation.numbers)
        if plan.conflicts:
            raise ApplyError(f"nothing is enforced: {plan.conflicts[0].message}")
        if self.effective_mode == "observe":
            self.in_force.in_sync = plan.is_empty
            self.in_force.pending = plan.changes
            return
        drift = self._judge_drift(plan)
        if drift is not None and drift.treatment != HEAL:
            self.in_force.in_sync = False
            return
        await self._numbering.take(allocation, Marks(self.settings.fwmark_mask))
        await self.in_force.follow(plan, compiled, cause, lambda: self._plan(self.numbers))

    def _judge_drift(self, plan: Plan) -> Found | None:
        if self.hear is not None and not plan.is_empty:
            self.hear()  # the kernel tells of a device before it takes its routes
        before, was_there = self.drift.count, self.drift.is_there
        found = self.drift.judge(plan, self.settings.drift, asyncio.get_running_loop().time())
        if found is not None and (self.drift.count > before or not was_there):
            self._news.drift(found)
        return found

    async def _plan(self, numbers: Mapping[str, int]) -> tuple[Plan, Compiled]:
        situation = self._situation(self.ruleset, self.state, self.states)
        self.drift.look()
        plan, self.compiled = planned = await self._planner.plan(situation, numbers, self.compiled)
        self.ways, self.warnings = plan.ways, self._planner.warnings(situation, plan)
        return planned

    def _situation(self, ruleset: Ruleset, state: str, states: tuple[LineState, ...]) -> Situation:
        active_now = self._active(ruleset)
        return Situation(ruleset, state, states, self.view, active_now, self.lines.uses(ruleset, states))

    def surroundings(self) -> Surroundings:
        """What the facts of a connection are told from, as it is now."""
        try:
            neighbours = self.netlink.neighbours()
        except NetlinkError:
            neighbours = ()  # rules for MAC addresses cannot be judged then
        return Surroundings(self.view, neighbours, self.learned)

    def _probe_lines(self) -> None:
        """With the marks and gateways that this turn came to."""
        if self.settings.enabled and self.loaded is not None:
            self.lines.follow(self.ruleset, self.numbers if self.enforced is not None else {})
        else:
            self.lines.rest()

    async def _look(self) -> None:
        logical = self.view.logical
        if self.ask_netifd is not None:
            logical = await self.ask_netifd()
        links = {link.name: link for link in self.netlink.links()}
        ports = wireguard.listen_ports([link.name for link in links.values() if link.kind == wireguard.KIND])
        self.view = View(links, self.netlink.addresses(), self.netlink.routes(), logical, ports)
        self.states = self.lines.look(self.ruleset, line_states(self.ruleset.outbounds, self.view))

    def has_lost_a_line(self) -> bool:
        """Whether a device by which packets are sent is down now; told before the turn that draws the conclusion."""
        devices = {state.device for state in self.states if state.up and state.device}
        try:
            links = {link.name: link for link in self.netlink.links()} if devices else {}
        except NetlinkError:
            return False
        return any(name not in links or not (links[name].up and links[name].carrier) for name in devices)

    def _suppose(self, ruleset: Ruleset) -> tuple[LineState, ...]:
        """The lines of rules that are not in force, with what is known of lines that are."""
        return tuple([self.lines.usable(state) for state in line_states(ruleset.outbounds, self.view)])

    def _tell_lines(self, before: Mapping[str, LineState]) -> None:
        for state in self.states:
            self._tell_line(before.get(state.name), state)
        self._follow_primary()

    def _follow_primary(self) -> None:
        """The engine's state is that of its primary outbound."""
        now = self.lines.engine_state(self.settings, self.states)
        if now != self.state:
            self._news.state(self.state, now)
            self.state = now
            self._tell_state()

    def _tell_state(self) -> None:
        told = {"state": self.state, "in_sync": self.in_force.in_sync, "error": self.in_force.error or None}
        self.publish("netpolicy.state", told)

    def _tell_line(self, before: LineState | None, now: LineState) -> None:
        if before is not None and before.up == now.up:
            return
        self.in_force.in_sync = False  # until the kernel was held against it
        if not now.up:
            self._numbering.lost(now.name)
        if before is not None or not now.up:
            self._news.line(now)
        if self.carries is not None:
            # One that ends to has perhaps no device any more.
            self.carries(now, now.device if now.up or before is None else before.device)

    def _tell_transition(self, name: str, made: Transition) -> None:
        self._news.transition(name, made, any(state.up for state in self.states if state.name == name))

    def _tell_turned(self) -> None:
        if self.turned is not None:
            self.turned()

    def _worry(self, because: str) -> None:
        if self.worried is not None:
            self.worried(because)

    async def _stand_down(self) -> None:
        """Switched off: nothing of ours stays in the kernel."""
        self.compiled = None
        self.warnings, self.ways = [], ()
        await self.in_force.withdraw(Marks(self.settings.fwmark_mask))
        self.in_force.in_sync = True
        self.in_force.pending = ()

    def note_fault(self, fault: BaseException) -> str:
        """Tells of a bug of ours, with its place in the source. Returns the text."""
        self._failed(fault_in_words(fault))
        return self.in_force.error

    def _failed(self, text: str) -> None:
        if self.in_force.failed(text):
            self._tell_state()
