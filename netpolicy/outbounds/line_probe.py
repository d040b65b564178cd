"""Asks one line's targets again and again, as often as it is worth it, and hands on what each round came to.

Judges nothing: core/line_health.py does. Never asks much of a line that nobody uses, and never calls a question lost
that could not be sent, or whose answer came while the machine slept. Senders: outbounds/check.py; what clients'
connections say: outbounds/line_evidence.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from netpolicy.core.health import FAILOVER, NORMAL
from netpolicy.core.line_health import LineHealth, Round
from netpolicy.dataplane import sleeps
from netpolicy.outbounds.check import send
from netpolicy.outbounds.check_line import FAILED, PASSED, TIMEOUT, WRONG, Answer, Line, timed
from netpolicy.outbounds.check_target import DNS, HTTP, HTTPS, PING, TCP, Target
from netpolicy.outbounds.line_delay import delay_words
from netpolicy.outbounds.line_evidence import Doubt, Evidence
from netpolicy.outbounds.line_others import Others
from netpolicy.outbounds.line_score import Scores, is_page
from netpolicy.outbounds.line_traffic import STALL_SECONDS, Passing, Traffic

Send = Callable[[Line, Target], Awaitable[Answer]]

# From the death of a line in use to the end of the third round without an answer, at most: a second until the next
# round begins, twice the time until an answer is late and a pause, and the time of the third: 2.7 s. Mostly what comes
# in, or a client, tells within half a second that something is wrong, and where nothing comes in it is given up sooner.
BUSY_SECONDS = 1.0  # between rounds while the line is in use
SUSPECT_SECONDS = 0.15  # … while something is wrong, after an answer is late
ANSWER_SECONDS = 1.0  # how long a round waits for its answers
SILENT_SECONDS = 0.7  # … where nothing at all comes in by a line that answers ten times as soon as that
LATE_SECONDS, LATE_TIMES = 0.2, 3.0  # an answer that takes longer, or so many times as long as usual, is late

LOOK_SECONDS = 0.25  # between looks at what passes a line in use: that asks nobody
DOUBT_SECONDS = 0.5  # between questions that what passes gives cause for; longer after each that found nothing
CLIENT_LATE_SECONDS = 0.3  # a client's connection that waits for longer, or for thrice the line's time, may be lost
BUSY_TIMES = 5  # a line that clients have answers by is asked five times more seldom

IDLE_TIMES = 10  # a line that nobody uses is asked ten times more seldom
FAILED_SECONDS = 1.0  # one that failed
LONG_FAILED_SECONDS, LONG_SECONDS = 5.0, 120.0  # … for so long

# Of a web page the whole answer is fetched: not each second.
WEB_SECONDS = 10.0

# What one question of ours sends at most: repeated, to several addresses, after its name was looked up.
OWN_PACKETS = {PING: 5, DNS: 10, TCP: 25, HTTP: 60, HTTPS: 60}
# Bytes after the answers were late that tell a line that lives from the chat of its neighbours, and from what was under
# way, or is sent again, when the way out died.
ALIVE_BYTES = 16_384
QUIET_BYTES = 512  # as good as nothing


@dataclass(frozen=True, slots=True)
class Habits:
    """How one line is probed: `interval` seconds between rounds while it is in use, `quorum` targets must answer."""

    interval: float = BUSY_SECONDS
    quorum: int = 1
    slow_ms: float = float("inf")  # round trips of clients that take so much longer than usual speak against it


class Prober:
    """One line that is probed. `told` is called with every round that says something of the line."""

    def __init__(
        self, line: Line, habits: Habits, told: Callable[[Round], None], health: LineHealth,
        asking: Send = send, traffic: Traffic | None = None, evidence: Evidence | None = None,
        slept: Callable[[], float] = sleeps.slept,
    ) -> None:  # fmt: skip
        """`health` is what `told` feeds: a line that is not NORMAL is asked at every interval, used or not."""
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
        self._passing = Passing(traffic or Traffic(line.device), loop.time())
        self.scores = Scores(line.targets)
        self.last: tuple[tuple[str, Answer], ...] = ()  # the answers of the last round
        self._suspects = False
        self._doubt_after = DOUBT_SECONDS
        self._hurry = asyncio.Event()
        self._rounds: set[asyncio.Task[None]] = set()
        self._asked_web = self._asked = float("-inf")
        self._failed_since = loop.time()
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
        seconds = self._habits.interval
        if self._health.state != FAILOVER:
            seconds = min(seconds, BUSY_SECONDS)
            if self._suspects:
                seconds = SUSPECT_SECONDS
            elif self._passing.is_used:
                seconds = LOOK_SECONDS
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    def _is_due(self, now: float) -> bool:
        self._passing.look(now)
        self._look_for_sleep()
        since = now - self._asked
        if self._health.state == FAILOVER:
            if self._failed_since == float("inf"):
                self._failed_since = now
            seconds = LONG_FAILED_SECONDS if self._has_failed_long(now) else FAILED_SECONDS
            return since >= seconds * 0.9 or self._hurry.is_set()
        self._failed_since = float("inf")
        if self._suspects or self._hurry.is_set() or self._has_doubts(now, since):
            return True
        times = 1.0 if self._passing.is_used or self._health.state != NORMAL else IDLE_TIMES
        if self._goes_well(now):
            times = max(times, BUSY_TIMES)
        return since >= self._habits.interval * times - LOOK_SECONDS / 2

    def _look_for_sleep(self) -> None:
        """What anybody waited for when the machine fell asleep says nothing; how the line is now does."""
        if self._sleeps.since():
            self._suspects = False
            self._hurry.set()
            if self._evidence is not None:
                self._evidence.away()

    def _has_failed_long(self, now: float) -> bool:
        return self._health.state == FAILOVER and now - self._failed_since > LONG_SECONDS

    def _has_doubts(self, now: float, since: float) -> bool:
        """Whether what passes gives cause to ask now. Who cries wolf is heard more and more seldom."""
        if self._passing.has_stalled and since >= DOUBT_SECONDS:
            self._passing.has_stalled = False
            return True
        if self._evidence is None:
            return False
        if self._clients_say(now) is None:
            self._doubt_after = DOUBT_SECONDS
            return False
        if since < self._doubt_after:
            return False
        self._doubt_after = min(self._doubt_after * 2, max(self._habits.interval, DOUBT_SECONDS))
        return True

    def _goes_well(self, now: float) -> bool:
        """Whether several addresses answered clients just now, and the device had something come in."""
        is_fed = self._health.state == NORMAL and now - self._passing.last_in <= STALL_SECONDS
        return is_fed and self._evidence is not None and self._evidence.is_busy(now)

    def _clients_say(self, now: float) -> Doubt | None:
        late = max(CLIENT_LATE_SECONDS, (self.latency_ms or 0) / 1000 * LATE_TIMES)
        return self._evidence.doubt(now, late) if self._evidence is not None else None

    def _late(self) -> float:
        return min(max(LATE_SECONDS, (self.latency_ms or 0) / 1000 * LATE_TIMES), ANSWER_SECONDS)

    # -- what ------------------------------------------------------------------------------

    async def _round(self) -> None:
        loop = asyncio.get_running_loop()
        self._asked, slept = loop.time(), self._slept()
        asked, is_alive = await self._ask(self._targets(self._asked))
        if self._slept() - slept >= sleeps.SHORTEST_SECONDS:
            self._look_for_sleep()
            return  # nobody was awake to hear an answer
        self.last = tuple((one.words, answer) for one, answer in asked)
        known = [(one, answer) for one, answer in asked if answer.state in (PASSED, FAILED)]
        if not known:
            self._suspects = False
            return  # nothing could be asked: that says nothing of the line
        if self._health.is_dead and any(answer.state == PASSED for _, answer in known):
            self.scores.forget_losses()  # what was lost while it was dead is told
        self.scores.note(known)
        passed = [(one, answer) for one, answer in known if answer.state == PASSED]
        enough = len(passed) >= min(self._habits.quorum, len(known))
        self._suspects = not enough
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
        """What clients' connections say against the line, and whether several do; delay only of one that answers."""
        doubt = self._clients_say(now)
        if doubt is not None:
            return doubt.words, doubt.is_strong
        excess = self._evidence.delays.excess(now) if self._evidence is not None and is_answered else None
        if excess is None or excess <= self._habits.slow_ms:
            return "", False
        return delay_words(excess), True

    async def _ask(self, targets: list[Target]) -> tuple[list[tuple[Target, Answer]], bool]:
        """The answers, and whether the line lives all the same where too few came.

        Too few: then the pages are asked too, for where pings are lost pages may not be, and servers of clients.
        """
        asking = {self._question(one): one for one in targets}
        others: dict[asyncio.Task[Answer], Target] = {}
        is_few, was_suspect, began = False, self._suspects, self._asked
        received = self._passing.received
        try:
            done, _ = await asyncio.wait(asking, timeout=self._late())
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
        return self._others.due(now, was_suspect and not is_failed, is_failed, self._has_failed_long(now))

    def _is_alive(self, received: int) -> bool:
        """Whether something else answers; where there is nothing else to ask, whether much comes in."""
        reached = self._others.reached
        return received >= ALIVE_BYTES if reached is None else bool(reached)

    def _question(self, target: Target) -> asyncio.Task[Answer]:
        self._passing.own += OWN_PACKETS[target.kind]
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
