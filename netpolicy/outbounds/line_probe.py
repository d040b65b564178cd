"""Asks one line's targets again and again, as often as it is worth it, and hands on what each round came to.

Judges nothing: core/line_health.py does. Never asks much of a line that nobody uses, and never calls a question that
could not be sent a lost one. Senders: outbounds/check.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from netpolicy.core.health import FAILOVER, NORMAL
from netpolicy.core.line_health import LineHealth, Round
from netpolicy.outbounds.check import send
from netpolicy.outbounds.check_line import FAILED, PASSED, Answer, Line, timed
from netpolicy.outbounds.check_target import DNS, HTTP, HTTPS, PING, TCP, Target
from netpolicy.outbounds.line_traffic import Traffic

Send = Callable[[Line, Target], Awaitable[Answer]]

# From the death of a line in use to the end of the third round without an answer, at most: a second until the next
# round begins, twice the time until an answer is late and a pause, and the time of the third: 2.7 s.
BUSY_SECONDS = 1.0  # between rounds while the line is in use
SUSPECT_SECONDS = 0.15  # … while something is wrong, after an answer is late
ANSWER_SECONDS = 1.0  # how long a round waits for its answers
LATE_SECONDS, LATE_TIMES = 0.2, 3.0  # an answer that takes longer, or so many times as long as usual, is late

IDLE_TIMES = 10  # a line that nobody uses is asked ten times more seldom
FAILED_SECONDS = 1.0  # one that failed
LONG_FAILED_SECONDS, LONG_SECONDS = 5.0, 120.0  # … for so long

# Of a web page the whole answer is fetched: not each second.
WEB_SECONDS = 10.0

# Packets within a second beside our own, from which on a line is in use: routers and modems chat a little.
USED_PACKETS = 3
# What one question of ours sends at most: repeated, to several addresses, after its name was looked up.
OWN_PACKETS = {PING: 5, DNS: 10, TCP: 25, HTTP: 60, HTTPS: 60}
USED_SECONDS = 10.0  # … and counts as such: connections over a dead line send less and less
# Bytes in a second that tell a line that lives from the chat of its neighbours.
ALIVE_BYTES = 16_384

REMEMBERED = 60  # questions to one target, for the share that was lost: a blip of two or three moves nothing
LATENCY_PART = 0.25  # of a new answer in the mean


@dataclass(frozen=True, slots=True)
class Habits:
    """How one line is probed: `interval` seconds between rounds while it is in use, `quorum` targets must answer."""

    interval: float = BUSY_SECONDS
    quorum: int = 1


class Score:
    """What the last questions to one target came to."""

    __slots__ = ("_lost",)

    def __init__(self) -> None:
        self._lost: deque[bool] = deque(maxlen=REMEMBERED)

    def note(self, is_lost: bool) -> None:
        """One more."""
        self._lost.append(is_lost)

    @property
    def has_answered(self) -> bool:
        """Whether one of them was answered."""
        return not all(self._lost)

    @property
    def loss(self) -> float:
        """The share that was lost; of fewer questions as if those not asked yet had been answered."""
        return sum(self._lost) / REMEMBERED


class Prober:
    """One line that is probed. `told` is called with every round that says something of the line."""

    def __init__(
        self, line: Line, habits: Habits, told: Callable[[Round], None], health: LineHealth,
        asking: Send = send, traffic: Traffic | None = None,
    ) -> None:  # fmt: skip
        """`health` is what `told` feeds: a line that is not NORMAL is asked at every interval, used or not."""
        self._line = line
        self._habits = habits
        self._told = told
        self._health = health
        self._send = asking
        self._traffic = traffic or Traffic(line.device)
        self._scores = {target.words: Score() for target in line.targets}
        self.latency_ms: float | None = None
        self.loss: float | None = None
        self.last: tuple[tuple[str, Answer], ...] = ()  # the answers of the last round
        self._suspects = False
        self._hurry = asyncio.Event()
        self._rounds: set[asyncio.Task[None]] = set()
        self._own_packets = 0
        self._received = 0
        self._used = float("-inf")
        loop = asyncio.get_running_loop()
        self._asked_web = self._asked = float("-inf")
        self._failed_since = loop.time()
        self._task = loop.create_task(self._run())

    def hurry(self) -> None:
        """Somebody saw something: the next round begins now."""
        self._hurry.set()

    async def close(self) -> None:
        """Asks no more."""
        tasks = [self._task, *self._rounds]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- when ------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._is_due(loop.time()):
                self._hurry.clear()
                one = loop.create_task(self._round())
                self._rounds.add(one)
                one.add_done_callback(self._rounds.discard)
                await asyncio.wait([one], timeout=self._late())
                # Nothing came back yet: the next question does not wait for the end of this one.
                self._suspects = self._suspects or not one.done()
            await self._pause()

    async def _pause(self) -> None:
        seconds = SUSPECT_SECONDS if self._suspects and self._health.state != FAILOVER else self._habits.interval
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    def _is_due(self, now: float) -> bool:
        sent, self._received = self._traffic.since()
        if sent - self._own_packets >= USED_PACKETS:
            self._used = now
        self._own_packets = 0
        since = now - self._asked
        if self._health.state == FAILOVER:
            if self._failed_since == float("inf"):
                self._failed_since = now
            long = now - self._failed_since > LONG_SECONDS
            return since >= (LONG_FAILED_SECONDS if long else FAILED_SECONDS) * 0.9 or self._hurry.is_set()
        self._failed_since = float("inf")
        is_used = now - self._used < USED_SECONDS or self._health.state != NORMAL
        return is_used or self._suspects or self._hurry.is_set() or since >= self._habits.interval * IDLE_TIMES

    def _late(self) -> float:
        return min(max(LATE_SECONDS, (self.latency_ms or 0) / 1000 * LATE_TIMES), ANSWER_SECONDS)

    # -- what ------------------------------------------------------------------------------

    async def _round(self) -> None:
        now = self._asked = asyncio.get_running_loop().time()
        asked = await self._ask(self._targets(now))
        self.last = tuple((one.words, answer) for one, answer in asked)
        known = [(one, answer) for one, answer in asked if answer.state in (PASSED, FAILED)]
        if not known:
            self._suspects = False
            return  # nothing could be asked: that says nothing of the line
        if self._health.is_dead and any(answer.state == PASSED for _, answer in known):
            self._scores = {words: Score() for words in self._scores}  # what was lost while it was dead is told
        for one, answer in known:
            self._scores[one.words].note(answer.state == FAILED)
        passed = [(one, answer) for one, answer in known if answer.state == PASSED]
        self._measure(passed)
        enough = len(passed) >= min(self._habits.quorum, len(known))
        self._suspects = not enough
        silent = ", ".join(one.words for one, answer in known if answer.state == FAILED)
        received = self._received + self._traffic.since()[1] if not enough else 0
        self._told(Round(enough, self.latency_ms, self.loss, silent, len(passed), len(known), received >= ALIVE_BYTES))

    async def _ask(self, targets: list[Target]) -> list[tuple[Target, Answer]]:
        """Those, and the pages too as soon as too few of the others answer: where pings are lost, pages may not be."""
        left = [one for one in self._line.targets if one not in targets]
        asking = {self._question(one): one for one in targets}
        try:
            if left:
                done, _ = await asyncio.wait(asking, timeout=self._late())
                if len([one for one in done if one.result().state == PASSED]) < min(self._habits.quorum, len(targets)):
                    self._asked_web = self._asked
                    asking |= {self._question(one): one for one in left}
            await asyncio.gather(*asking)
        finally:
            for one in asking:
                one.cancel()
        return [(target, one.result()) for one, target in asking.items()]

    def _question(self, target: Target) -> asyncio.Task[Answer]:
        self._own_packets += OWN_PACKETS[target.kind]
        return asyncio.get_running_loop().create_task(timed(self._send(self._line, target), ANSWER_SECONDS))

    def _targets(self, now: float) -> list[Target]:
        """Those to be asked now: pages more seldom, unless there is nothing else."""
        cheap = [one for one in self._line.targets if not _is_page(one)]
        if cheap and now - self._asked_web < WEB_SECONDS:
            return cheap
        self._asked_web = now
        return list(self._line.targets)

    def _measure(self, passed: list[tuple[Target, Answer]]) -> None:
        # A page's time is its server's too.
        times = [answer.milliseconds for one, answer in passed if not _is_page(one)]
        times = sorted(times or [answer.milliseconds for _, answer in passed])
        if times:
            new = times[len(times) // 2]
            self.latency_ms = (
                new if self.latency_ms is None else self.latency_ms + (new - self.latency_ms) * LATENCY_PART
            )
        # One target that is dead is no loss of the line's, and a page comes whole however often it was sent.
        answering = [one for one in self._line.targets if self._scores[one.words].has_answered]
        counted = [one for one in answering if not _is_page(one)] or answering or self._line.targets
        self.loss = min((self._scores[one.words].loss for one in counted), default=None)


def _is_page(target: Target) -> bool:
    return target.kind in (HTTP, HTTPS)
