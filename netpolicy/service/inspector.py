"""The inspector in the daemon: which devices are watched, by which tier, and what comes of it.

Never decides about a connection, never touches a packet; a tier that fails is replaced by the next while everything
else goes on. Follows the network by the events that the engine hears; reads by itself only what tells no events.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice

from netpolicy.core.model import Settings
from netpolicy.dataplane.netlink import Netlink
from netpolicy.dataplane.state import MAIN_TABLE, NetlinkError
from netpolicy.flows import inside as insides
from netpolicy.flows import watched
from netpolicy.flows.model import FlowEvent
from netpolicy.flows.seen import Measured
from netpolicy.flows.table import FlowTable
from netpolicy.service import inspector_options, offload
from netpolicy.service.inspector_feed import Feed
from netpolicy.service.inspector_options import OFF
from netpolicy.service.inspector_tiers import Open, Tiers

# A line that comes up sends a dozen messages, and what is watched must not be late for the first connection.
SETTLE_SECONDS = 0.05
# A network that never comes to rest must not keep a small router busy with nothing else.
PAUSE_SECONDS = 0.3
# The kernel wakes us for what is urgent or much; the rest waits this long, or longer while nothing happens.
BUSY_SECONDS, IDLE_SECONDS = 0.2, 1.0
SWEEP_SECONDS = 3.0
# Whether our programs are still where they were put: that a tcx link was detached by hand is told by no event.
HOLD_SECONDS = 10.0
# Whether a better tier works by now; and what is forgotten.
CHECK_SECONDS = 30.0
# The newest connections of a whole reading that are looked at; a microsecond or two each.
MOST_MET = 2000


class Inspector:
    """Owns the tiers, their timers and what they told. One loop."""

    def __init__(
        self,
        netlink: Netlink,
        outside: Callable[[], frozenset[str]],
        outbound: Callable[[int], str],
        say: Callable[[str, str], None],
        openers: Mapping[str, Open] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`outside`: devices of outbounds; `outbound`: where a mark leads; `say`: a level and a line for the log."""
        self._netlink = netlink
        self._outside = outside
        self._say = say
        self._clock = clock
        self.options = inspector_options.read(Settings(inspector=OFF))
        self._sees_offload = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[str, asyncio.Handle] = {}
        self._readers: dict[str, int] = {}
        self._sweeps: dict[str, Iterator[int]] = {}
        self._busy_until = 0.0
        self._looked = float("-inf")
        self.feed = Feed(outbound)
        self.devices: tuple[watched.Watched, ...] = ()
        self.tiers = Tiers(self.feed.payload, self._measured, say, openers, clock)

    def start(self, loop: asyncio.AbstractEventLoop, settings: Settings) -> None:
        """Begin."""
        self._loop = loop
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """These settings hold from now on. O(1) where they are those of before."""
        options = inspector_options.read(settings)
        if options != self.options:
            self.options = options
            self._forget_readers()
            self.tiers.configure(options)
        self.look_later()

    def look_later(self) -> None:
        """The network may have changed, or what is watched."""
        if self._loop is not None and "look" not in self._timers:
            pause = self._looked + PAUSE_SECONDS - self._clock()
            self._after(max(SETTLE_SECONDS, pause), "look", self.look)

    def look(self) -> None:
        """See that the right devices are watched, each by the best tier."""
        self._cancel("look")
        self._looked = self._clock()
        try:
            links, addresses = self._netlink.links(), self._netlink.addresses()
            routes = [one for one in self._netlink.routes(MAIN_TABLE)]
        except NetlinkError as error:
            self._say("warning", f"the devices cannot be read: {error}")
            self._after(SWEEP_SECONDS, "look", self.look)
            return
        outside = self._outside()
        inside = insides.subnets(addresses, routes, outside)
        leading_out = outside | {name for one in routes if one.destination == "default" for name in one.devices}
        is_offloading = self._sees_offload or offload.is_on()
        self.devices = watched.choose(links, inside, leading_out, is_offloading)
        self.feed.by_ports = is_offloading
        self.feed.live_in(inside)
        is_off = self.options.setting == OFF
        self._forget_readers()
        self.tiers.follow([] if is_off else [one.name for one in self.devices if one.wanted])
        self._listen()

    # -- what conntrack says ---------------------------------------------------------------

    def heard(self, events: Iterable[FlowEvent], table: FlowTable) -> None:
        """Events of the connection table."""
        if self.options.setting == OFF:
            return
        for event in events:
            if event.flow is None:
                if event.kind == "resync":
                    self._table_was_read(table)
            elif event.kind == "new":
                self.feed.began(event.flow, self._clock())
            elif event.kind == "destroy":
                self.feed.ended(event.flow, self._clock())

    def _table_was_read(self, table: FlowTable) -> None:
        """Without events this is how connections are met; and an offloaded one shows where packets pass."""
        if not self._sees_offload and any(flow.is_offloaded for flow in table):
            self._sees_offload = True  # for good: it would change with each quiet minute
            self.look_later()
        for flow in islice(table, MOST_MET):
            if self.feed.is_new(flow):
                self.feed.began(flow, self._clock())

    def drain(self) -> None:
        """Take what waits in the kernel, for whoever is about to look."""
        for name in list(self.tiers.open):
            self._drain(name)

    def counters(self) -> dict[str, int]:
        """What was taken, and what was lost on the way."""
        try:
            tiers = self.tiers.counters()
        except Exception:  # noqa: BLE001 - the border of a tier: the next reading of it meets the same, and it falls
            tiers = {}
        return {**self.feed.counters, **tiers, "addresses": len(self.feed.learned), "seen": len(self.feed.seen)}

    def close(self) -> None:
        """Nothing of ours is left in the kernel. May be repeated."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._forget_readers()
        self.tiers.close()
        self._loop = None

    # -- the loop --------------------------------------------------------------------------

    def _listen(self) -> None:
        """Readers and timers for the tiers that are open; none costs nothing."""
        assert self._loop is not None
        for name, tier in self.tiers.open.items():
            self._readers[name] = tier.fileno()
            self._loop.add_reader(tier.fileno(), partial(self._drain, name))
        timers = {"read": (BUSY_SECONDS, self._read), "sweep": (SWEEP_SECONDS, self._sweep),
                  "hold": (HOLD_SECONDS, self._hold), "check": (CHECK_SECONDS, self._check)}  # fmt: skip
        # Where no tier works, one may later; then there is nothing to read.
        needed = {"read", "sweep", "hold", "check"} if self.tiers.open else {"hold", "check"}
        if not (self.options.tiers and self.tiers.devices):
            needed = set()
        for name, (seconds, call) in timers.items():
            if name not in needed:
                self._cancel(name)
            elif name not in self._timers:
                self._after(seconds, name, call)

    def _forget_readers(self) -> None:
        for descriptor in self._readers.values():
            if self._loop is not None:
                self._loop.remove_reader(descriptor)
        self._readers.clear()
        self._sweeps.clear()

    def _drain(self, name: str) -> None:
        tier = self.tiers.open.get(name)
        if tier is None:
            return
        try:
            count = tier.drain()
        except Exception as error:  # noqa: BLE001 - the border of a tier: whatever it meets, the next one serves
            self._fall(name, error)
            return
        if count:
            self._busy_until = self._clock() + IDLE_SECONDS

    def _fall(self, name: str, error: BaseException) -> None:
        self._say("warning", f"the inspector by {name} failed: {error or type(error).__name__}")
        self._forget_readers()
        self.tiers.failed(name, error)
        if self._loop is not None:
            self._listen()

    def _read(self) -> None:
        self._timers.pop("read", None)
        self.drain()
        if self.tiers.open and "read" not in self._timers:
            self._after(BUSY_SECONDS if self._clock() < self._busy_until else IDLE_SECONDS, "read", self._read)

    def _sweep(self) -> None:
        """A step for each tier, then the loop's turn; all of them every few seconds."""
        self._timers.pop("sweep", None)
        for name, tier in list(self.tiers.open.items()):
            sweep = self._sweeps.setdefault(name, tier.sweep())
            try:
                if next(sweep, None) is None:
                    self._sweeps.pop(name, None)
            except Exception as error:  # noqa: BLE001 - as above
                self._sweeps.pop(name, None)
                self._fall(name, error)
        if self._sweeps:
            self._after(0.0, "sweep", self._sweep)
            return
        self.feed.expire(self._clock())
        if self.tiers.open:
            self._after(SWEEP_SECONDS, "sweep", self._sweep)

    def _hold(self) -> None:
        self._timers.pop("hold", None)
        try:
            is_alive = self.tiers.are_alive()
        except Exception:  # noqa: BLE001 - as above; `look` meets it again and says it
            is_alive = False
        if not is_alive or self.tiers.are_waiting:
            self.look_later()
        self._after(HOLD_SECONDS, "hold", self._hold)

    def _check(self) -> None:
        self._timers.pop("check", None)
        self.feed.learned.expire(self._clock())
        if any(one.reason for one in self.tiers.devices.values()):
            self.look_later()
        self._after(CHECK_SECONDS, "check", self._check)

    def _after(self, seconds: float, name: str, call: Callable[[], None]) -> None:
        assert self._loop is not None
        self._cancel(name)
        self._timers[name] = self._loop.call_later(seconds, call) if seconds else self._loop.call_soon(call)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _measured(self, told: Measured) -> None:
        self.feed.measured(told, self._clock())
