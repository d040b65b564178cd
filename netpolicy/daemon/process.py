"""The process netpolicyd: builds the rooms, connects their events, ends cleanly.

Holds no decisions: a signal, a netlink message or a bus call becomes a cause or a service
call. Removes what is ours from the kernel when it is told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from netpolicy import __version__
from netpolicy.bus import object as bus_object
from netpolicy.bus.broker import Broker, BrokerError
from netpolicy.bus.client import UbusClient
from netpolicy.bus.status import UbusError
from netpolicy.config.kept_list import FOLDER
from netpolicy.daemon.interfaces import Interfaces
from netpolicy.daemon.lean import give_back
from netpolicy.daemon.state_lock import Held, StateLock
from netpolicy.dataplane import program
from netpolicy.dataplane.chains import LOG_GROUP
from netpolicy.dataplane.guard import Guard, GuardPlaces
from netpolicy.dataplane.kernel import ApplyError, Kernel
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_watch import Change, Watch
from netpolicy.dataplane.nft import Nft, NftError
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.marks import Conntrack
from netpolicy.flows.model import FlowEvent
from netpolicy.flows.nflog import PacketLog
from netpolicy.flows.watch import FlowWatch
from netpolicy.observe.durable import make_folder
from netpolicy.observe.journal import Journal
from netpolicy.observe.ring import Entry, Ring
from netpolicy.outbounds.lines import LineState
from netpolicy.service import reading, recovery
from netpolicy.service.api import Service
from netpolicy.service.change_tools import Tools
from netpolicy.service.changes import Changes
from netpolicy.service.connections import Connections
from netpolicy.service.decisions import DecisionLog
from netpolicy.service.engine import Engine, Places
from netpolicy.service.eyes import Closed, Eyes
from netpolicy.service.generations import Store
from netpolicy.service.guarded import Guarded
from netpolicy.service.inspection import Inspection
from netpolicy.service.keeper import Keeper
from netpolicy.service.line_hooks import LineHooks
from netpolicy.service.list_refresh import ListRefresh
from netpolicy.service.loading import Loader
from netpolicy.service.naming import Naming
from netpolicy.service.passive import Passive
from netpolicy.service.sampler import Sampler
from netpolicy.service.usage import Usage

# The program that leads back when this one cannot; in a checkout it stands in files/.
GUARD = "/usr/lib/netpolicy/guard"
GUARD_IN_CHECKOUT = os.path.join(os.path.dirname(__file__), "..", "..", "files", "usr", "lib", "netpolicy", "guard")

# In the state folder; there at the end of the process: a successor takes over what is in force.
HAND_OVER = "handover"

# Many small objects live long here (rules); the default threshold would walk them again and again.
GARBAGE_THRESHOLD = 20_000

# After a change of many rules; by then the rest of what it sets off is done.
REST_SECONDS = 2.0

# Where OpenWrt installs ubusd. Where it is installed it is the broker, also while it restarts.
UBUSD = ("ubusd", "/sbin/ubusd", "/usr/sbin/ubusd")
NETIFD = ("netifd", "/sbin/netifd")


class CannotStart(Exception):
    """The daemon cannot run; the text says why and what to do."""


class Daemon:
    """One netpolicyd."""

    def __init__(self, places: Places, socket: str, mode: str = "", log_level: str = "info") -> None:
        self._places = places
        self._guard = GUARD if os.path.exists(GUARD) else os.path.abspath(GUARD_IN_CHECKOUT)
        self._journal = Journal(places.store, self._journal_damaged)
        self._lock = StateLock(places.state)
        self._log = Ring(time.time, _write, log_level)
        self._bus = UbusClient(socket, on_state=self._bus_state, on_error=self._bus_error)
        self._broker: Broker | None = None
        self._interfaces = Interfaces(self._bus, self._look)
        self._was_connected = False
        self._sends: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._mode = mode
        self._loader = Loader(kept=os.path.join(places.state, FOLDER))
        self._resting: asyncio.TimerHandle | None = None
        self._keeper: Keeper | None = None
        self._reads_again = False

    async def run(self) -> None:
        """Runs until a signal. Raises CannotStart."""
        loop = asyncio.get_running_loop()
        # First of all: a signal that nobody takes would end us at once, in the middle of what a start puts right.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        await self._lock_state()
        try:
            gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)
            if not self._ended.is_set():  # else it may be meant for us, who were told to end while the lock was held
                self._is_handed_over()  # one that was meant for a former process says nothing now
            with contextlib.suppress(OSError):  # who writes there first says why it cannot
                make_folder(self._places.store, 0o700)
            guard = Guard(GuardPlaces(self._places.config, self._places.store, self._places.state, self._guard))
            left = await recovery.recover(guard, Store(self._places.store), self._log)
            first = await self._read_first(left.instead)
            engine = self._build(first.loaded.ruleset.settings.netlink, guard)
            with contextlib.suppress(NftError):  # the first turn says why nft cannot be asked
                await engine.kernel.open_gate()
            await recovery.note(left, guard, self._journal, Store(self._places.store), self._log)
            await self._open_bus()
            engine.take_files(first)
            del first  # a megabyte, for as long as this runs
            loop.set_exception_handler(self._fault)
            if self._broker is None and any(map(program.find, NETIFD)):
                await self._interfaces.meet(self._ended)
            self._attach(loop)
            self._log.add("info", "state", f"netpolicyd {__version__} is running")
            await self._ended.wait()
            await self._end(loop, engine)
        finally:
            await self._bus.close()
            if self._broker is not None:
                await self._broker.close()
            self._lock.give()

    # -- building --------------------------------------------------------------------------

    async def _read_first(self, instead: Mapping[str, bytes]) -> reading.Reading:
        try:
            return await reading.read(self._loader, self._places.config, instead=instead or None)
        except reading.Unsettled as error:
            raise CannotStart(str(error)) from None

    def _build(self, netlink: str, guard: Guard) -> Engine:
        try:
            link = open_netlink(netlink)
            self._watch = Watch()
        except NetlinkError as error:
            raise CannotStart(f"{error}: netpolicyd needs root or CAP_NET_ADMIN") from None
        self._engine = engine = Engine(
            self._places,
            Kernel(link, Nft()),
            link,
            self._log,
            self._publish,
            self._mode,
            self._interfaces.ask,
            flows=Conntrack(),
            loader=self._loader,
        )
        self._keeper = keeper = Keeper(engine)
        keeper.woke = self._woke
        if self._reads_again:
            keeper.reload()
        self._flows = FlowWatch(say=lambda level, text: self._log.add(level, "flow", text))
        self._connections = Connections(engine, self._flows.table)
        self._inspection = Inspection(engine, self._connections.outbound_of)
        self._connections.inspection = self._inspection
        self._passive = Passive(engine)
        self._inspection.tell_round_trip, self._inspection.tell_course = self._passive.timed, self._passive.went_on
        self._inspection.tell_losses = self._passive.lost
        self._hooks = LineHooks(self._log, self._places.state)
        engine.worried = keeper.hurry
        engine.carries = self._note_line
        self._names = Naming(engine, self._inspection.names, self._connections.decide_again)
        self._inspection.tell_name, self._inspection.tell_sets = self._names.told, self._names.document
        engine.learned = self._names.sets_of
        engine.turned = lambda: asyncio.get_running_loop().call_soon(self._turned)
        self._sampler = Sampler(engine, Usage(self._places.state))
        store = Store(self._places.store)
        tools = Tools(engine, guard, store, self._journal, Closed(_witness), names=self._names)
        self._guarded = Guarded(tools)
        engine.adopt = self._guarded.adopt
        self._changes = Changes(engine, self._guarded, store, self._journal)
        self._lists = ListRefresh(engine, keeper.look)
        engine.list_warnings = self._lists.warnings
        self._service = Service(
            engine, self._connections, self._flows, keeper.look_later, self._sampler, self._changes.pending,
            self._inspection, self._lists,
        )  # fmt: skip
        self._decisions = DecisionLog(engine, lambda: self._inspection.shade)
        return engine

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._watch.fileno(), self._network_changed)
        self._engine.hear = self._network_changed
        self._flows.attach(loop, self._flows_changed)
        self._packets = self._open_packet_log(loop)
        self._keeper.start()
        self._interfaces.keep()
        self._lists.start()
        self._guarded.watch_health()
        self._sampler.start()

    def _open_packet_log(self, loop: asyncio.AbstractEventLoop) -> PacketLog | None:
        try:
            packets = PacketLog(LOG_GROUP)
        except NetlinkError as error:
            self._log.add("warning", "flow", f"rules with `log` are not heard: {error}")
            return None
        loop.add_reader(packets.fileno(), self._packets_logged)
        return packets

    async def _open_bus(self) -> None:
        if not _has_ubusd() and not await _answers(self._bus.path):
            self._broker = Broker(self._bus.path)
            try:
                await self._broker.start()
            except BrokerError as error:
                raise CannotStart(str(error)) from None
        self._bus.start()
        await self._bus.add_object(bus_object.NAME, bus_object.methods(self._service, self._changes))
        if self._broker is None:
            await self._interfaces.open()

    def _look(self, cause: str) -> None:
        self._keeper.look(cause)

    def _hung_up(self) -> None:
        """The configuration may have changed, also since it was read at the start."""
        if self._keeper is None:
            self._reads_again = True
        else:
            self._keeper.reload()

    # -- events ----------------------------------------------------------------------------

    def _network_changed(self) -> None:
        changes = self._watch.read()
        if any(change.kind in ("link", "address", "overrun") for change in changes):
            self._engine.drift.network_changed()
        if any(change.kind == "table" for change in changes):
            self._engine.in_force.was_away = True
        is_whole = not any(change.kind == "overrun" for change in changes)
        self._names.noticed(self._watch.take_learned(), is_whole=is_whole)
        self._inspection.network_changed(changes)
        causes = [change.text for change in changes if _matters(change)]
        if any(change.kind == "link" for change in changes) and self._engine.has_lost_a_line():
            self._keeper.hurry(causes[0])
        elif causes:
            self._keeper.look(causes[0])

    def _turned(self) -> None:
        """The engine looked at the network, perhaps with other settings: the inspector follows."""
        if not self._ended.is_set():
            if self._engine.loaded is not None:
                self._hooks.tell(outbound.name for outbound in self._engine.ruleset.outbounds)
            self._inspection.turned()
            self._passive.turned()
            self._lists.configured()
            self._names.turned()

    def _woke(self, seconds: float) -> None:
        """The machine was suspended; lines that are probed notice it by themselves."""
        self._log.add("info", "state", f"the machine slept for {seconds:.0f} s")
        self._keeper.look("the machine slept")
        self._lists.woke(seconds)
        self._names.woke(seconds)

    def _note_line(self, state: LineState, device: str) -> None:
        """The router's own scripts hear of a line that begins to carry, or ends to."""
        outbound = self._engine.ruleset.outbound(state.name)
        if outbound is not None and outbound.type in ("interface", "table"):
            health = self._engine.lines.document(state.name) or {}
            says = health.get("state", "")
            self._hooks.note(state.name, outbound.interface, device, state.up, says, state.reason)

    def _flows_changed(self, events: list[FlowEvent]) -> None:
        now = time.monotonic()
        for event in events:
            if event.flow is not None and event.kind == "new":
                self._connections.note_new(event.flow, now)
            elif event.flow is not None and event.kind == "destroy":
                self._connections.note_gone(event.flow)
            elif event.kind == "resync":
                self._connections.forget_ended()
        self._passive.heard(events)
        self._inspection.heard(events, self._flows.table)

    def _packets_logged(self) -> None:
        if self._packets is not None:
            for packet in self._packets.read(time.monotonic()):
                self._decisions.note(packet)

    def _publish(self, name: str, data: Mapping[str, object]) -> None:
        if name in ("netpolicy.apply", "netpolicy.config"):
            self._rest_later()
        if not self._bus.connected:
            return
        task = asyncio.get_running_loop().create_task(self._send(name, data))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    def _rest_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._resting is not None:
            self._resting.cancel()
        self._resting = loop.call_later(REST_SECONDS, loop.run_in_executor, None, give_back)

    async def _send(self, name: str, data: Mapping[str, object]) -> None:
        try:
            await self._bus.send_event(name, dict(data))
        except UbusError as error:
            self._log.add("debug", "bus", f"event {name} was not sent: {error}")

    def _bus_state(self, connected: bool) -> None:
        if self._ended.is_set():
            return
        self._log.add("info", "bus", "registered on the bus" if connected else "the bus went away, reconnecting")
        if connected and self._was_connected:
            self._keeper.look("the bus is back")
        self._was_connected = True

    def _journal_damaged(self, text: str) -> None:
        self._log.add("warning", "apply", text)

    def _bus_error(self, text: str) -> None:
        self._log.add("error", "bus", text)

    def _fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback failed: one line, not a traceback, and the loop goes on."""
        fault = context.get("exception")
        if fault is not None:
            self._engine.note_fault(fault)
        else:
            self._log.add("error", "state", str(context.get("message")))

    # -- ending ----------------------------------------------------------------------------

    async def _end(self, loop: asyncio.AbstractEventLoop, engine: Engine) -> None:
        is_handed_over = self._is_handed_over()
        loop.remove_reader(self._watch.fileno())
        self._loader.close()
        if self._resting is not None:
            self._resting.cancel()
        await self._lists.close()
        await self._guarded.close()
        await self._interfaces.close()
        await self._keeper.close()
        await self._sampler.close()
        await engine.lines.close()
        await self._hooks.close(is_over=not is_handed_over)
        self._inspection.close()
        await self._names.close()
        self._flows.close()
        if self._packets is not None:
            loop.remove_reader(self._packets.fileno())
            self._packets.close()
        try:
            await self._names.close_name_server(is_over=not is_handed_over)
            if is_handed_over:
                await engine.hand_over()
            else:
                await engine.stop()
        except (ApplyError, OSError) as error:
            if engine.in_force.revision:
                raise CannotStart(f"stopped, but {error}") from None
            # Nothing was ever put there: what cannot be looked at need not be removed.
            self._log.add("warning", "apply", str(error))
        finally:
            self._watch.close()

    def _is_handed_over(self) -> bool:
        """Whether a restart is meant: the init script says so in a file, because every end is the same signal."""
        try:
            os.unlink(os.path.join(self._places.state, HAND_OVER))
        except OSError:
            return False
        return True

    async def _lock_state(self) -> None:
        try:
            await self._lock.take()
        except Held as error:
            raise CannotStart(f"another netpolicyd is running (it holds {error})") from None
        except OSError as error:
            raise CannotStart(f"cannot use {self._lock.path}: {error.strerror}") from None


def _matters(change: Change) -> bool:
    """Changes of other people's nft tables and qdiscs are no concern of rules; ours, and of the network, are."""
    return change.kind not in ("nft", "tc") or change.own


def _witness() -> Eyes:
    """Half a megabyte that only guarded changes need."""
    from netpolicy.service.witness import Witness

    return Witness()


def _has_ubusd() -> bool:
    return any(map(program.find, UBUSD))


async def _answers(path: str) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


def _write(entry: Entry) -> None:
    # procd logs the two streams at different levels.
    stream = sys.stderr if entry.level in ("warning", "error") else sys.stdout
    with contextlib.suppress(OSError):
        print(f"{entry.level} {entry.kind}: {entry.message}", file=stream, flush=True)
