"""What netifd says of its interfaces: asked before each turn, and told by it.

Never holds up a failover for a netifd that hangs, and never takes its silence for an answer: what it said last holds.
From `network.interface` on the bus: its notifications, its event, and `dump`, which outbounds/netifd.py reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from netpolicy.bus.client import UbusClient
from netpolicy.bus.status import UbusError
from netpolicy.outbounds import netifd
from netpolicy.outbounds.lines import LogicalInterface

# netifd answers in milliseconds. A turn that waited in vain goes by what it said last; its answer asks for another.
PATIENCE_SECONDS = 0.3
# While an answer is overdue. Half a minute after the question it is asked again.
IMPATIENCE_SECONDS = 0.02
ANSWER_SECONDS = 30.0

# Before the first turn: without netifd's word every outbound with its name would count as down, and
# what a former daemon has in force would be torn down. Longer than a boot with a slow netifd needs.
MEETING_SECONDS = 5.0
MEETING_PAUSE_SECONDS = 0.1

# With `option defaultroute 0` a lease can name another gateway, and netifd tells nobody: no event, no notification, no
# hotplug script, and the kernel has no such route (seen with netifd of July 2026).
POLL_SECONDS = 60.0


class Interfaces:
    """netifd's interfaces by name. `look(cause)` is called when they may be others than at the last turn."""

    def __init__(self, bus: UbusClient, look: Callable[[str], object]) -> None:
        self._bus = bus
        self._look = look
        self._known: Mapping[str, LogicalInterface] = {}
        self._is_open = False
        self._asked: asyncio.Task[None] | None = None
        self._is_overdue = False
        self._polls: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Hears netifd from now on. The event is sent for up and down alone, notifications for every change."""
        await self._bus.listen(netifd.OBJECT, self._said)
        await self._bus.subscribe(netifd.OBJECT, self._said)
        self._is_open = True

    async def meet(self, ended: asyncio.Event) -> None:
        """Waits for the bus and for what netifd says first."""
        loop = asyncio.get_running_loop()
        until = loop.time() + MEETING_SECONDS
        while not self._known and loop.time() < until and not ended.is_set():
            await self.ask()
            if not self._known:
                await asyncio.sleep(MEETING_PAUSE_SECONDS)

    def keep(self) -> None:
        """Asks now and then, too."""
        self._polls = asyncio.get_running_loop().create_task(self._poll())

    async def ask(self) -> Mapping[str, LogicalInterface]:
        """What it says now, or said last; nothing where it is not heard."""
        if self._asked is None and self._is_open and self._bus.connected:
            self._asked = asyncio.get_running_loop().create_task(self._dump())
        if self._asked is not None:
            patience = IMPATIENCE_SECONDS if self._is_overdue else PATIENCE_SECONDS
            done, _ = await asyncio.wait({self._asked}, timeout=patience)
            if not done:
                self._is_overdue = True
        return self._known

    async def close(self) -> None:
        """Asks nothing any more."""
        for task in (self._polls, self._asked):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _dump(self) -> None:
        before = self._known
        try:
            reply = await self._bus.call(netifd.OBJECT, "dump", {}, timeout=ANSWER_SECONDS)
            # One that just restarted knows no interface yet; it never has none for long.
            self._known = netifd.parse_dump(reply) or before
            was_overdue, self._is_overdue = self._is_overdue, False
            if was_overdue and self._known != before:
                self._look("netifd answers again")
        except UbusError:
            pass  # no netifd here, or it restarts
        finally:
            self._asked = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            before = self._known
            if await self.ask() != before:
                self._look("netifd says otherwise")

    def _said(self, *_: Any) -> None:
        self._look("netifd reports a change")
