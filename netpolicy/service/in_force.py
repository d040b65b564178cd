"""What is in force: the rules that the kernel follows, their index and files, and how others come in their place.

Never decides what should be: a plan says it. Files first, then the kernel, then the connections that are open; what is
known here is what reading back showed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from netpolicy.dataplane.kernel import ApplyError, Kernel, Overtaken, Plan
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Policy
from netpolicy.observe.ring import Ring
from netpolicy.service.affected import ended_limits, moved_classes
from netpolicy.service.compile import Compiled
from netpolicy.service.drift import Drift
from netpolicy.service.indexes import Indexes
from netpolicy.service.line_news import Publish
from netpolicy.service.numbering import Numbering
from netpolicy.service.records import Records
from netpolicy.service.release import Release
from netpolicy.service.review import Review

# After a change of rules a connection may still have been decided by those of before.
OVERLAP_SECONDS = 5.0

# How often one turn applies what reading back shows to be missing before it says so.
ATTEMPTS = 3

PlanAgain = Callable[[], Awaitable[tuple[Plan, Compiled]]]


@dataclass(slots=True)
class InForce:
    """Of one engine. Turns change it, one after the other."""

    kernel: Kernel
    records: Records
    numbering: Numbering
    release: Release
    review: Review
    drift: Drift
    log: Ring
    publish: Publish
    in_sync: bool = False
    revision: int = 0  # how often the kernel was changed since the start
    error: str = ""
    was_away: bool = False  # our table, whoever took it away, since connections were last looked at
    pending: tuple[str, ...] = ()  # what observe mode leaves undone
    enforced: Compiled | None = None  # as the kernel has it
    enforced_before: Compiled | None = None  # what that replaced: connections that began meanwhile followed it
    indexes: Indexes = field(default_factory=Indexes)
    indexed: Callable[[], object] | None = None  # is told that the rules are indexed
    _indexing: asyncio.Task[None] | None = None

    async def follow(self, plan: Plan, compiled: Compiled, cause: str, plan_again: PlanAgain) -> None:
        """Changes what differs until reading back shows nothing left to do; open connections follow.

        The network may change meanwhile: `plan_again` says what there is to do then. Raises the errors of the system.
        """
        was_changed = not plan.is_empty
        for _ in range(ATTEMPTS):
            if plan.is_empty:
                break
            with contextlib.suppress(Overtaken):
                await self._apply(plan, cause)
            plan, compiled = await plan_again()
        if not plan.is_empty:
            raise ApplyError(f"applied, but read back otherwise: {plan.changes[0]}")
        self.drift.followed(plan)
        if not self.records.is_true:
            # Another daemon's, a deleted one, or none yet: a firewall restart must load what is in force.
            await asyncio.to_thread(self._remember, plan)
        was_unseen = await self._forget_unseen(plan.policy)
        await self._carry_over(compiled, was_changed)
        if was_unseen:
            # Others may have put the table back before us: then such connections are decided, as old ones.
            self.review.note(None, compiled)
            await self.review.room()
        self.in_sync = True
        self.pending = ()

    async def withdraw(self, marks: Marks) -> None:
        """What an earlier enforce left would go on steering: that is removed. Raises the errors of the system."""
        self.review.drop()
        had_any = await self.kernel.remove()
        self.drift.lost()
        self.records.withdraw()
        self.enforced = self.enforced_before = None
        self.indexes.forget()
        self.revision = 0
        if had_any:
            await self.release.clear(marks)
            self.log.add("info", "apply", "what netpolicy had in the kernel was removed")

    async def end(self, marks: Marks) -> None:
        """Nothing of ours stays in the kernel and beside it, for good. Raises ApplyError, OSError."""
        self.review.drop()
        await self.kernel.remove()
        self.records.withdraw()
        await self.release.clear(marks)
        self.records.forget_classes()
        self.in_sync, self.revision, self.error, self.pending = False, 0, "", ()
        self.log.add("info", "apply", "all kernel state of netpolicy was removed")

    def failed(self, text: str) -> bool:
        """A turn did not come to its end. Whether that is news."""
        is_news = text != self.error
        if is_news:
            self.log.add("error", "apply", text)
        self.in_sync = False
        self.error = text
        return is_news

    def succeeded(self) -> bool:
        """A turn came to its end. Whether that is news."""
        if not self.error:
            return False
        self.error = ""
        self.log.add("info", "apply", "the kernel follows the rules again")
        return True

    # -- the index -------------------------------------------------------------------------

    @property
    def is_indexing(self) -> bool:
        """Whether the index of the rules in force is being made; `indexed` is called once it is there."""
        return self._indexing is not None and not self._indexing.done()

    async def until_indexed(self) -> None:
        """Waits until the index of the rules in force is there."""
        if self._indexing is not None:
            await asyncio.wait([self._indexing])

    # -- one change ------------------------------------------------------------------------

    async def _apply(self, plan: Plan, cause: str) -> None:
        """Files first: a full disk must stop us before the kernel changes, not after."""
        before = self.records.go_back()
        await asyncio.to_thread(self._remember, plan)
        try:
            await self.kernel.apply(plan)
        except ApplyError:
            self.records.restore(before)
            raise
        self.was_away = self.was_away or plan.nft.is_absent
        self.revision += 1
        self.log.add("info", "apply", f"{cause}: {len(plan.changes)} changes, revision {self.revision}")
        self.publish("netpolicy.apply", {"revision": self.revision, "changes": len(plan.changes)})

    async def _forget_unseen(self, policy: Policy) -> bool:
        """Somebody took the table away: what began without it passed what is closed unseen. Whether it was so."""
        was_away, self.was_away = self.was_away, False
        if not was_away or self.enforced is None or not policy.closes:
            return False
        await self.release.undecided(policy.marks)
        return True

    def _remember(self, plan: Plan) -> None:
        """In a worker: a text of ten thousand rules takes longer than the loop may be held, and so may the flash."""
        self.records.remember(self.kernel.include_text(plan), self.numbering.known)

    async def _carry_over(self, after: Compiled, was_changed: bool) -> None:
        """What the change means for connections that are open."""
        before, marks = self.enforced, after.policy.marks
        if before is not None:
            self.release.note(moved_classes(before.policy, after.policy))
            await self.release.hand_on(ended_limits(before.policy, after.policy), marks)
        await self.release.settle(marks)
        if self._note(after) and (was_changed or before is not None):
            self.review.note(before, after)
            await self.review.room()

    def _note(self, after: Compiled) -> bool:
        """Whether these rules are others than those before."""
        if self.enforced is not None and self.enforced.policy == after.policy:
            return False
        self.enforced_before, self.enforced = self.enforced, after
        loop = asyncio.get_running_loop()
        loop.call_later(OVERLAP_SECONDS, self._forget_before, self.enforced_before)
        self._indexing = loop.create_task(self.indexes.prepare(after.enforced))
        self._indexing.add_done_callback(lambda _: self.indexed() if self.indexed is not None else None)
        return True

    def _forget_before(self, earlier: Compiled | None) -> None:
        if self.enforced_before is earlier:
            self.enforced_before = None
