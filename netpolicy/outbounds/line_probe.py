"""Asks one line's targets again and again, as often as it is worth it, and hands on what each round came to.

Judges nothing: core/line_health.py does. Never calls a question lost that could not be sent, or whose answer came while
the machine slept. Senders: outbounds/check.py; when: outbounds/line_pace.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

from netpolicy.core.health import FAILOVER
from netpolicy.core.line_health import LineHealth, Round
from netpolicy.dataplane import sleeps
from netpolicy.outbounds.check import send
from netpolicy.outbounds.check_line import FAILED, PASSED, TIMEOUT, WRONG, Answer, Line, timed
from netpolicy.outbounds.check_target import DNS, HTTP, HTTPS, PING, TCP, Target
from netpolicy.outbounds.line_evidence import Evidence
from netpolicy.outbounds.line_others import Others
from netpolicy.outbounds.line_pace import ANSWER_SECONDS, Habits, Pace
from netpolicy.outbounds.line_score import Scores, is_page
from netpolicy.outbounds.line_traffic import Asked, Passing, Traffic

Send = Callable[[Line, Target], Awaitable[Answer]]

SILENT_SECONDS = 0.7  # how long a round waits where nothing at all comes in by a line that answers ten times as soon

# Of a web page the whole answer is fetched: not each second.
WEB_SECONDS = 10.0

# What one question of ours sends at most: repeated, to several addresses, after its name was looked up.
OWN_PACKETS = {PING: 5, DNS: 10, TCP: 25, HTTP: 60, HTTPS: 60}
# Bytes after the answers were late that tell a line that lives from the chat of its neighbours, and from what was under
# way, or is sent again, when the way out died.
ALIVE_BYTES = 16_384
QUIET_BYTES = 512  # as good as nothing


class Prober:
    """One line that is probed. `told` is called with every round that says something of the line."""

    def __init__(
        self, line: Line, habits: Habits, told: Callable[[Round], None], health: LineHealth,
        asking: Send = send, traffic: Traffic | None = None, evidence: Evidence | None = None,
        slept: Callable[[], float] = sleeps.slept, spread: Callable[[int], float] = lambda turn: 0.0,
        asked: Asked | None = None,
    ) -> None:  # fmt: skip
        """`health` is what `told` feeds: a line that is not NORMAL is asked at every interval, used or not.

        `spread`: the line's part of the spread, by the number of the round. `asked`: that of all lines.
        """
        self._slept = slept
        self._sleeps = sleeps.Sleeps(slept)
        self._line = line
        self._habits = habits
        self._told = told
        self._health = health
        self._send = asking
        self._evidence = evidence
        self._others = Others(line, evidence)
        loop = asyncio.get_running_loop()
        self._passing = Passing(traffic or Traffic(line.device), loop.time(), line.device, asked)
        self.scores = Scores(line.targets)
        self.last: tuple[tuple[str, Answer], ...] = ()  # the answers of the last round
        self._pace = Pace(habits, health, self._passing, self.scores, evidence, spread, loop.time())
        self._hurry = asyncio.Event()
        self._rounds: set[asyncio.Task[None]] = set()
        self._asked_web = float("-inf")
        self._is_closing = False
        self._task = loop.create_task(self._run())

    @property
    def latency_ms(self) -> float | None:
        """The mean of the answers of late."""
        return self.scores.latency_ms

    @property
    def jitter_ms(self) -> float | None:
        """By how much one answer differs from the one before, on average."""
        return self.scores.jitter_ms

    @property
    def loss(self) -> float | None:
        """The share of the questions of late that was lost."""
        return self.scores.loss

    def hurry(self) -> None:
        """Somebody saw something: the next round begins now."""
        self._hurry.set()

    async def close(self) -> None:
        """Asks no more."""
        self._is_closing = True
        tasks = [self._task, *self._rounds]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- when ------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop, pace = asyncio.get_running_loop(), self._pace
        # Until Python 3.12 `wait_for` may swallow a cancellation, so the task is also told to end.
        while not self._is_closing:
            self._look_for_sleep()
            if pace.is_due(loop.time()) or self._hurry.is_set():
                self._hurry.clear()
                one = loop.create_task(self._round())
                self._rounds.add(one)
                one.add_done_callback(self._rounds.discard)
                await asyncio.wait([one], timeout=pace.late())
                # Nothing came back yet: the next question does not wait for the end of this one.
                pace.suspects = pace.suspects or not one.done()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pace.pause(loop.time()))

    def _look_for_sleep(self) -> None:
        """What anybody waited for when the machine fell asleep says nothing; how the line is now does."""
        if self._sleeps.since():
            self._pace.suspects = False
            self._hurry.set()
            if self._evidence is not None:
                self._evidence.away()

    # -- what ------------------------------------------------------------------------------

    async def _round(self) -> None:
        loop = asyncio.get_running_loop()
        began, slept = loop.time(), self._slept()
        self._pace.asks(began)
        asked, is_alive = await self._ask(self._targets(began), began)
        if self._slept() - slept >= sleeps.SHORTEST_SECONDS:
            self._look_for_sleep()
            return  # nobody was awake to hear an answer
        self.last = tuple((one.words, answer) for one, answer in asked)
        known = [(one, answer) for one, answer in asked if answer.state in (PASSED, FAILED)]
        if not known:
            self._pace.suspects = False
            return  # nothing could be asked: that says nothing of the line
        if self._health.is_dead and any(answer.state == PASSED for _, answer in known):
            self.scores.forget_losses()  # what was lost while it was dead is told
        self.scores.note(known)
        passed = [(one, answer) for one, answer in known if answer.state == PASSED]
        enough = len(passed) >= min(self._habits.quorum, len(known))
        self._pace.suspects = not enough
        silent = ", ".join(one.words for one, answer in known if answer.state == FAILED)
        seen, is_strong = self._heard(loop.time(), enough)
        # Who delivers another page (a login) takes the connections to strangers too: those say nothing then.
        is_alive = is_alive and not any(one.wanted and answer.reason == WRONG for one, answer in known)
        self._told(
            Round(
                enough, self.latency_ms, self.loss, silent, len(passed), len(known), is_alive and not enough,
                seen, is_strong, self._others.reached or "", _families(known),
            )
        )  # fmt: skip

    def _heard(self, now: float, is_answered: bool) -> tuple[str, bool]:
        """What clients' connections say against the line, and whether several do; what they suffer if it answers."""
        doubt = self._pace.clients_say(now)
        if doubt is not None:
            return doubt.words, doubt.is_strong
        if self._evidence is None or not is_answered:
            return "", False
        words = self._evidence.suffered(now, self._habits.slow_ms, self._habits.lossy, self._health.is_doubted)
        return words, bool(words)

    async def _ask(self, targets: list[Target], began: float) -> tuple[list[tuple[Target, Answer]], bool]:
        """The answers, and whether the line lives all the same where too few came.

        Too few: then the pages are asked too, for where pings are lost pages may not be, and servers of clients.
        """
        asking = {self._question(one): one for one in targets}
        others: dict[asyncio.Task[Answer], Target] = {}
        is_few, was_suspect = False, self._pace.suspects
        received = self._passing.received
        try:
            done, _ = await asyncio.wait(asking, timeout=self._pace.late())
            needed = min(self._habits.quorum, len(targets))
            if _passed(done) < needed:
                is_few = True
                left = [one for one in self._line.targets if one not in targets]
                if left:
                    self._asked_web = began
                    asking |= {self._question(one): one for one in left}
                others = {self._question(one): one for one in self._strangers(began, was_suspect)}
            self._passing.look(asyncio.get_running_loop().time())
            before = self._passing.received
            is_silent = await self._is_silent([*asking], began, received)
            if others and not is_silent and _passed(asking) < needed:
                await asyncio.wait(others, timeout=max(began + ANSWER_SECONDS - asyncio.get_running_loop().time(), 0))
            self._passing.look(asyncio.get_running_loop().time())
        finally:
            for one in (*asking, *others):
                one.cancel()
            await asyncio.gather(*asking, *others, return_exceptions=True)
        self._others.told([(target, _result(one)) for one, target in others.items()])
        is_alive = is_few and self._is_alive(self._passing.received - before)
        return [(target, _result(one)) for one, target in asking.items()], is_alive

    async def _is_silent(self, asking: list[asyncio.Task[Answer]], began: float, received: int) -> bool:
        """Waits for them; True where nothing whatever comes in, before all the time is over."""
        loop = asyncio.get_running_loop()
        left = set(asking)
        if self._passing.is_used and (self.latency_ms or ANSWER_SECONDS * 1000) <= SILENT_SECONDS * 100:
            _, left = await asyncio.wait(asking, timeout=max(began + SILENT_SECONDS - loop.time(), 0))
            self._passing.look(loop.time())
            if left and self._passing.received - received <= QUIET_BYTES:
                return True
        if left:
            await asyncio.wait(left)
        return False

    def _strangers(self, now: float, was_suspect: bool) -> list[Target]:
        """At once where the round before was not answered either: then it is no alarm of a late answer alone."""
        is_failed = self._health.state == FAILOVER
        return self._others.due(now, was_suspect and not is_failed, is_failed, self._pace.has_failed_long(now))

    def _is_alive(self, received: int) -> bool:
        """Whether something else answers; where there is nothing else to ask, whether much comes in."""
        reached = self._others.reached
        return received >= ALIVE_BYTES if reached is None else bool(reached)

    def _question(self, target: Target) -> asyncio.Task[Answer]:
        self._passing.asks(OWN_PACKETS[target.kind])
        return asyncio.get_running_loop().create_task(timed(self._send(self._line, target), ANSWER_SECONDS))

    def _targets(self, now: float) -> list[Target]:
        """Those to be asked now: pages more seldom, unless there is nothing else."""
        cheap = [one for one in self._line.targets if not is_page(one)]
        if cheap and now - self._asked_web < WEB_SECONDS:
            return cheap
        self._asked_web = now
        return list(self._line.targets)


def _result(task: asyncio.Task[Answer]) -> Answer:
    """What it came to; who is not waited for any longer did not answer."""
    if not task.done() or task.cancelled():
        return Answer(FAILED, TIMEOUT, "no answer")
    return task.result()


def _passed(tasks: Iterable[asyncio.Task[Answer]]) -> int:
    return sum(_result(one).state == PASSED for one in tasks)


def _families(known: list[tuple[Target, Answer]]) -> dict[int, bool]:
    """Of those in which an address was asked, whether one answered. A name says nothing: it may be either."""
    found: dict[int, bool] = {}
    for one, answer in known:
        if one.is_address:
            family = 6 if ":" in one.host else 4
            found[family] = found.get(family, False) or answer.state == PASSED
    return found
