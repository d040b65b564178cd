"""Goes over the open connections after a change of rules, beside everything else: a line that dies waits for no review.

Forgets exactly those that the change concerns (affected.py), so that the kernel decides them anew. Stands still while
a turn changes the kernel; a change that comes meanwhile is taken in where the review stands, and no policy is let go
before the whole table was held against it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from netpolicy.core.facts import Facts
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.entry import Entry
from netpolicy.flows.model import Flow
from netpolicy.observe.ring import Ring
from netpolicy.service.affected import Affected, can_affect
from netpolicy.service.compile import Compiled
from netpolicy.service.indexes import Indexes
from netpolicy.service.look import Look
from netpolicy.service.release import FlowDoor

# One turn of the loop: reads are answered in between.
SLICE_SECONDS = 0.004

# The table is read again while it still holds what should be gone: a packet that was under way when
# the rules changed may have been decided by the old ones. Once is usual; what comes for ever is no accident.
PASSES = 4

# Policies, and different rule sets among them (an index takes a kilobyte for a rule), that one table is held
# against. Who changes rules faster than we read waits, with what is in force already.
MOST_POLICIES = 16
MOST_RULE_SETS = 3


class Review:
    """One engine's. `door` None: there is no conntrack to ask.

    `surroundings` tells how to make facts of a flow now, `forgotten` hears of each flow that goes, `fault` of a bug.
    """

    def __init__(
        self,
        door: FlowDoor | None,
        log: Ring,
        surroundings: Callable[[], Callable[[Flow], Facts]],
        forgotten: Callable[[Flow], None],
        fault: Callable[[BaseException], object],
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._door = door
        self._log = log
        self._surroundings = surroundings
        self._forgotten = forgotten
        self._fault = fault
        self._stopwatch = stopwatch
        self._indexes: Indexes | None = None
        self._indexed: Callable[[], Awaitable[None]] | None = None
        # First the policy that the whole table was held against, then all that came since.
        self._policies: list[Compiled | None] = []
        self._changes = 0  # how often the policies changed
        self._look: tuple[int, Look] | None = None  # made after so many changes
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._until = 0.0

    def share(self, indexes: Indexes, indexed: Callable[[], Awaitable[None]]) -> None:
        """Uses these indexes; `indexed` returns when those of the rules in force are made."""
        self._indexes, self._indexed = indexes, indexed

    # -- what turns say --------------------------------------------------------------------

    def note(self, before: Compiled | None, after: Compiled) -> None:
        """These rules are in force now, in the place of others (None: it is not known which)."""
        if self._door is None:
            return
        if self._policies and _marks(self._policies[-1]) != _marks(after):
            del self._policies[1:]  # what carried a class in the bits of before is forgotten already
        self._policies = [*(self._policies or [before]), after]
        self._changes += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stand_still(self) -> None:
        """The kernel is about to change: nothing is judged or deleted until `go_on`."""
        self._may_go.clear()

    def go_on(self) -> None:
        """The kernel does what the policy says that was noted last."""
        self._may_go.set()

    def drop(self) -> None:
        """Nothing of ours is in force any more, and no connection has to follow anything."""
        self._policies = []
        self._changes += 1
        self._tell()

    async def reviewed(self, policy: Compiled | None) -> None:
        """Waits until every connection was held against this policy."""
        while any(one is policy for one in self._policies[1:]):
            await self._progress.wait()

    async def room(self) -> None:
        """For a turn that stands still: waits until one more change can be taken in, nearly always not at all."""
        while self._is_full():
            self._may_go.set()
            await self._progress.wait()
        self._may_go.clear()

    def _is_full(self) -> bool:
        rule_sets = {id(one.enforced) for one in self._policies if one is not None}
        return len(self._policies) >= MOST_POLICIES or len(rule_sets) > MOST_RULE_SETS

    # -- the task --------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._review()
        except NetlinkError as error:
            self._log.add("warning", "flow", f"open connections keep the way they have: {error}")
        except Exception as fault:  # noqa: BLE001 - the border of a task: a bug must be told
            self._fault(fault)
        finally:
            self._policies, self._look, self._task = [], None, None
            self._tell()

    async def _review(self) -> None:
        passes = gone = 0
        while len(self._policies) > 1:
            latest = self._policies[-1]
            found = await self._pass()
            gone, passes = gone + found, passes + 1
            if found and passes < PASSES:
                continue
            if gone:
                self._log.add("info", "flow", f"{gone} open connections are decided again by the new rules")
            passes = gone = 0
            self._let_go_before(latest)

    def _let_go_before(self, latest: Compiled | None) -> None:
        """The whole table was held against this policy."""
        for place, one in enumerate(self._policies):
            if one is latest and place:
                self._policies = self._policies[place:]
                self._changes += 1
        self._tell()

    def _tell(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _pass(self) -> int:
        """Holds the table against the policies once; how many entries went."""
        assert self._door is not None
        gone = 0
        look = await self._next_slice()
        if look is None:
            return 0
        for batch in self._door.entries():
            look = await self._next_slice()  # reading takes a slice of its own
            if look is None:
                return gone
            gone += await self._hold_against(batch, look)
        return gone

    async def _hold_against(self, batch: list[Entry], look: Look) -> int:
        gone = 0
        due: list[Flow] = []
        for entry in batch:
            if self._stopwatch() > self._until:
                gone += self._delete(due)
                due = []
                now = await self._next_slice()
                if now is None:
                    return gone
                look = now
            flow = look.concerned(entry)
            if flow is not None:
                due.append(flow)
        return gone + self._delete(due)

    def _delete(self, due: list[Flow]) -> int:
        assert self._door is not None
        done = self._door.delete(due) if due else []
        for flow in done:
            self._forgotten(flow)
        return len(done)

    async def _next_slice(self) -> Look | None:
        """Lets others do something. Then what to look with, by all that is in force by now; None: no more."""
        while True:
            await asyncio.sleep(0)
            await self._may_go.wait()
            if len(self._policies) < 2:
                return None
            if self._look is not None and self._look[0] == self._changes:
                self._until = self._stopwatch() + SLICE_SECONDS
                return self._look[1]
            await self._prepare()

    async def _prepare(self) -> None:
        """Makes what to look with; in vain where the policies change meanwhile."""
        changes, policies = self._changes, tuple(self._policies)
        if self._indexed is not None:
            await self._indexed()
        self._look = None
        affected = await asyncio.to_thread(_affected, policies, self._indexes)
        if affected is None:
            if changes == self._changes:
                self._policies = []
            return
        until = self._stopwatch() + SLICE_SECONDS
        for _ in affected.steps():
            if self._stopwatch() > until:
                await asyncio.sleep(0)
                await self._may_go.wait()
                until = self._stopwatch() + SLICE_SECONDS
            if changes != self._changes:
                return
        if changes == self._changes:
            self._look = (changes, Look(affected, self._surroundings()))


def _affected(policies: tuple[Compiled | None, ...], indexes: Indexes | None) -> Affected | None:
    """In a worker: O(rules). None where there can be no such connections, as after most changes."""
    first, last = policies[0], policies[-1]
    assert last is not None
    if len(policies) == 2 and not can_affect(first.policy if first is not None else None, last.policy):
        return None
    return Affected(*policies, indexes=indexes)


def _marks(compiled: Compiled | None) -> object:
    return compiled.policy.marks if compiled is not None else None
