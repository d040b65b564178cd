"""When one line is asked next: as often as it is worth it, sooner when something is wrong, not with all others at once.

Sends nothing and reads no clock: time is an argument. From what passes the line (line_traffic.py), what clients say
(line_evidence.py), its health, and its own part of the spread (core/spread.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netpolicy.core.health import FAILOVER, NORMAL
from netpolicy.core.line_health import LineHealth
from netpolicy.core.spread import sooner
from netpolicy.outbounds.line_evidence import Doubt, Evidence
from netpolicy.outbounds.line_score import Scores
from netpolicy.outbounds.line_traffic import STALL_SECONDS, Passing

# From the death of a line in use to the end of the third round without an answer, at most: a second until the next
# round begins, twice the time until an answer is late and a pause, and the time of the third: 2.7 s. Mostly what comes
# in, or a client, tells within half a second that something is wrong, and where nothing comes in it is given up sooner.
BUSY_SECONDS = 1.0  # between rounds while the line is in use
SUSPECT_SECONDS = 0.15  # … while something is wrong, after an answer is late
ANSWER_SECONDS = 1.0  # how long a round waits for its answers
LATE_SECONDS, LATE_TIMES = 0.2, 3.0  # an answer that takes longer, or so many times as long as usual, is late

LOOK_SECONDS = 0.25  # between looks at what passes a line in use: that asks nobody
DOUBT_SECONDS = 0.5  # between questions that what passes gives cause for; longer after each that found nothing
CLIENT_LATE_SECONDS = 0.3  # a client's connection that waits for longer, or for thrice the line's time, may be lost
BUSY_TIMES = 5  # a line that clients have answers by is asked five times more seldom

IDLE_TIMES = 10  # a line that nobody uses is asked ten times more seldom
FAILED_SECONDS = 1.0  # one that failed
LONG_FAILED_SECONDS, LONG_SECONDS = 5.0, 120.0  # … for so long

# Timers are no sharper: what is due within that is due, and no pause is shorter.
SHARP_SECONDS = 0.002

# The first questions of all lines, after a start or when they come up, are spread over this: what nobody notices.
FIRST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Habits:
    """How one line is probed: `interval` seconds between rounds while it is in use, `quorum` targets must answer."""

    interval: float = BUSY_SECONDS
    quorum: int = 1
    slow_ms: float = float("inf")  # round trips of clients that take so much longer than usual speak against it
    lossy: float = float("inf")  # … and a greater share of what they send or receive that is lost


class Pace:
    """One line's. `spread` gives its part of the spread (0 to 1) by the number of the round."""

    def __init__(
        self, habits: Habits, health: LineHealth, passing: Passing, scores: Scores, evidence: Evidence | None,
        spread: Callable[[int], float], now: float,
    ) -> None:  # fmt: skip
        self._habits = habits
        self._health = health
        self._passing = passing
        self._scores = scores
        self._evidence = evidence
        self._spread = spread
        self._turn = 0
        self._part = spread(0)
        self._first = now + FIRST_SECONDS * self._part
        self._doubt_after = DOUBT_SECONDS
        self._failed_since = now
        self.asked = float("-inf")
        self.suspects = False  # something is wrong with what was asked last

    def asks(self, now: float) -> None:
        """A round begins."""
        self.asked = now
        self._turn += 1
        self._part = self._spread(self._turn)

    def is_due(self, now: float) -> bool:
        """Whether a round is to begin; looks at what passes."""
        self._passing.look(now)
        if self._health.state != FAILOVER:
            self._failed_since = float("inf")
            if self.suspects or self._has_doubts(now, now - self.asked):
                return True
        elif self._failed_since == float("inf"):
            self._failed_since = now
        return self._left(now) <= SHARP_SECONDS

    def pause(self, now: float) -> float:
        """Seconds until `is_due` is to be asked again: at the next look, or when a round is due.

        All lines look in the same instants: a router wakes once for all of them.
        """
        has_failed = self._health.state == FAILOVER
        if self.suspects and not has_failed:
            return SUSPECT_SECONDS
        step = LOOK_SECONDS if self._passing.is_used and not has_failed else BUSY_SECONDS
        return max(min(step - now % step, self._left(now)), SHARP_SECONDS)

    def late(self) -> float:
        """Seconds after which an answer is late."""
        return min(max(LATE_SECONDS, self._usual() * LATE_TIMES), ANSWER_SECONDS)

    def has_failed_long(self, now: float) -> bool:
        """Whether the line is down for so long that it is asked more seldom."""
        return self._health.state == FAILOVER and now - self._failed_since > LONG_SECONDS

    def clients_say(self, now: float) -> Doubt | None:
        """Who waits in vain."""
        late = max(CLIENT_LATE_SECONDS, self._usual() * LATE_TIMES)
        return self._evidence.doubt(now, late) if self._evidence is not None else None

    # -- inside ----------------------------------------------------------------------------

    def _left(self, now: float) -> float:
        """Seconds until the next round of a line of which nothing else is known; never more than the interval says."""
        if self._turn == 0:
            return self._first - now
        return self.asked + sooner(self._between(now), self._part) - now

    def _between(self, now: float) -> float:
        if self._health.state == FAILOVER:
            return max(LONG_FAILED_SECONDS if self.has_failed_long(now) else FAILED_SECONDS, self._habits.interval)
        times = 1.0 if self._passing.is_used or self._health.state != NORMAL else IDLE_TIMES
        if self._goes_well(now):
            times = max(times, BUSY_TIMES)
        return self._habits.interval * times

    def _has_doubts(self, now: float, since: float) -> bool:
        """Whether what passes gives cause to ask now. Who cries wolf is heard more and more seldom."""
        if self._passing.has_stalled and since >= DOUBT_SECONDS:
            self._passing.has_stalled = False
            return True
        if self._evidence is None:
            return False
        if self.clients_say(now) is None:
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

    def _usual(self) -> float:
        """Seconds that an answer takes."""
        return (self._scores.latency_ms or 0) / 1000
