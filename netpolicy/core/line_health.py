"""The health of one line over time: what its probes and the kernel say becomes a state, and the state its reasons.

Never reads a clock or a network, never forgets why: time and rounds of probes are arguments, every transition has
words. The states are those of core/health.py; with `COMPATIBLE` the steps are the predecessor's. Runs on MicroPython.
"""

from netpolicy.core.health import DEGRADED, FAILOVER, NORMAL, RECOVERY, Thresholds

GOOD, SLOW, LOST = 0, 1, 2  # what a round of probes came to

# A penalty for each time that a line failed; it fades by half in so many seconds (RFC 2439 has the idea).
PENALTY_HALF_SECONDS = 300.0
PENALTY_MOST = 6.0


class Limits:
    """When a line counts as bad, and for how long it must be good again.

    `thresholds`: beyond which an answer is slow. `bad_of`, `window`: so many bad ones of the last so many rounds make a
    DEGRADED line FAILOVER. `good_after`: so many good ones in a row lead out of DEGRADED and FAILOVER. `settle`:
    seconds that RECOVERY takes after DEGRADED; `hold`: after FAILOVER, doubled for each failure that is not faded,
    `hold_most` at most.
    """

    __slots__ = ("bad_of", "good_after", "hold", "hold_most", "settle", "thresholds", "window")

    def __init__(
        self,
        thresholds: "Thresholds | None" = None,
        bad_of: int = 3,
        window: int = 5,
        good_after: int = 3,
        settle: float = 5.0,
        hold: float = 10.0,
        hold_most: float = 300.0,
    ) -> None:
        self.thresholds = thresholds or Thresholds()
        self.bad_of = bad_of
        self.window = window
        self.good_after = good_after
        self.settle = settle
        self.hold = hold
        self.hold_most = hold_most


# One sample is one step, as the predecessor had it.
COMPATIBLE = Limits(bad_of=2, window=2, good_after=1, settle=0.0, hold=0.0)


class Round:
    """One round of probes of a line.

    `answered` of `asked` targets did, which is enough when `enough`; `latency_ms` is the middle one of the answers,
    `loss` the share of the packets of late that were lost (0-1). `words` name the targets that did not answer.
    `alive`: nothing answered, but something else did (`reached`), or the line brought in much; then it is not dead.
    `seen`: what clients' connections say against the line, in words; `is_strong`: several of them, and none for it.
    `families`: of those in which an address was asked, whether one answered.
    """

    __slots__ = (
        "alive", "answered", "asked", "enough", "families", "is_strong", "latency_ms", "loss", "reached", "seen",
        "words",
    )  # fmt: skip

    def __init__(
        self,
        enough: bool,
        latency_ms: "float | None" = None,
        loss: "float | None" = None,
        words: str = "",
        answered: int = 0,
        asked: int = 1,
        alive: bool = False,
        seen: str = "",
        is_strong: bool = False,
        reached: str = "",
        families: "dict[int, bool] | None" = None,
    ) -> None:
        self.enough = enough
        self.latency_ms = latency_ms
        self.loss = loss
        self.words = words
        self.answered = answered
        self.asked = asked
        self.alive = alive
        self.seen = seen
        self.is_strong = is_strong
        self.reached = reached
        self.families = families or {}


class Transition:
    """From one state to another: why, and when."""

    __slots__ = ("after", "because", "before", "when")

    def __init__(self, before: str, after: str, because: str, when: float) -> None:
        self.before = before
        self.after = after
        self.because = because
        self.when = when


class LineHealth:
    """One line. `is_dead`: nothing comes back; `is_trusted`: it has not failed, or is through its hold-down since."""

    __slots__ = (
        "_begun", "_good", "_limits", "_penalised", "_penalty", "_seen", "because", "is_dead", "is_doubted",
        "is_trusted", "since", "state",
    )  # fmt: skip

    def __init__(self, limits: Limits, now: float, state: str = NORMAL) -> None:
        self._limits = limits
        self.state = state
        self.since = now
        self.because = "nothing was seen yet"
        self.is_dead = False
        self.is_doubted = False  # DEGRADED by what clients' connections say, and by nothing else
        self.is_trusted = state in (NORMAL, DEGRADED)
        self._seen: list[int] = [SLOW] if state == DEGRADED else []
        self._good = 0
        self._begun = False
        self._penalty = 0.0
        self._penalised = now

    @property
    def is_suspect(self) -> bool:
        """Whether the next round should come soon: what was seen last does not fit the state."""
        if not self._seen:
            return False
        return self._seen[-1] != GOOD if self.state in (NORMAL, DEGRADED) else self._seen[-1] == GOOD

    def penalty(self, now: float) -> float:
        """How often it failed of late, faded."""
        return float(self._penalty * 0.5 ** (max(now - self._penalised, 0.0) / PENALTY_HALF_SECONDS))

    def hold_seconds(self, now: float) -> float:
        """How long RECOVERY lasts if it began to be good now."""
        if self.is_trusted:
            return self._limits.settle
        return min(self._limits.hold * 2 ** max(self.penalty(now) - 1, 0.0), self._limits.hold_most)

    # -- what happens ----------------------------------------------------------------------

    def limited(self, limits: Limits) -> None:
        """From now on these limits; what was seen stays."""
        self._limits = limits

    def probed(self, one: Round, now: float) -> "Transition | None":
        """A round of probes is over. A round that could not be sent must not come here: it says nothing."""
        kind = self._kind(one)
        self._begun = True
        self._seen = (self._seen + [kind])[-self._limits.window :]
        if kind == GOOD and one.is_strong and self.state != FAILOVER:
            self._good = 0
            return self.doubted(one.seen, now)
        self._good = self._good + 1 if kind == GOOD else 0
        if kind == GOOD:
            return self._went_well(one, now)
        return self._went_badly(one, now)

    def lost(self, because: str, now: float) -> "Transition | None":
        """The kernel says that the line has no way out: no carrier, no address, no gateway."""
        self._seen = []
        self._good = 0
        is_new = not self.is_dead
        self.is_dead = True
        if self.state == FAILOVER:
            if is_new:
                self.because = because
            return None
        if not self._begun:
            # At a start: it is not up yet, which is no failure that would hold it down.
            self._begun = True
            return self._go(FAILOVER, because, now)
        return self._fail(because, now)

    def found(self, because: str, now: float) -> "Transition | None":
        """The kernel says that there is a way out, at first or again. It is used at once where there is no better."""
        if not self._begun:
            self._begun, self.because = True, because
        if self.state != FAILOVER:
            return None
        self.is_dead = False
        return self._go(RECOVERY, because, now)

    def doubted(self, because: str, now: float) -> "Transition | None":
        """Clients' connections speak against the line, and nothing else does: that degrades it, and no more."""
        if self.state not in (NORMAL, RECOVERY) or not self.is_trusted:
            return None
        self._begun = True
        made = self._go(DEGRADED, because, now)
        self.is_doubted = True
        return made

    def cleared(self, because: str, now: float) -> "Transition | None":
        """They speak for it again; of a line that is probed its probes say so."""
        return self._go(RECOVERY, because, now) if self.is_doubted else None

    def passed(self, now: float) -> "Transition | None":
        """Time passed: a line that nobody probes is through its hold-down."""
        if self.state != RECOVERY or now - self.since < self.hold_seconds(self.since):
            return None
        return self._recover("good for {:.0f} s".format(now - self.since), now)

    # -- what follows ----------------------------------------------------------------------

    def _kind(self, one: Round) -> int:
        if not one.enough:
            return SLOW if one.alive else LOST
        return SLOW if self._limits.thresholds.is_bad(one.latency_ms, one.loss) else GOOD

    def _went_well(self, one: Round, now: float) -> "Transition | None":
        if self.state == DEGRADED and self._good >= self._limits.good_after:
            return self._go(RECOVERY, _good_words(self._good), now)
        if self.state == FAILOVER and self._good >= self._limits.good_after:
            self.is_dead = False
            return self._go(RECOVERY, _good_words(self._good), now)
        if self.state == RECOVERY:
            return self.passed(now)
        return None

    def _went_badly(self, one: Round, now: float) -> "Transition | None":
        bad = sum([kind != GOOD for kind in self._seen])
        lost = sum([kind == LOST for kind in self._seen])
        # Several clients that get no answer count as one round more that was lost; never as all of them.
        more = 1 if one.is_strong and lost >= 2 else 0
        is_dead = lost + more >= self._limits.bad_of
        because = self._bad_words(one, bad, lost)
        if one.seen:
            because = "{}; {}".format(one.seen, because)
        if self.state == FAILOVER:
            if is_dead and not self.is_dead:
                self.is_dead, self.because = True, because
            elif self.is_dead and lost == 0 and len(self._seen) == self._limits.window:
                # It answers again, if slowly: as a line that became slow without dying, it carries as the last.
                self.is_dead, self.because = False, because
            return None
        if self.state == DEGRADED and bad + more >= self._limits.bad_of:
            self.is_dead = is_dead
            return self._fail(because, now)
        if self.state == DEGRADED:
            self.is_doubted = False  # its probes say it too
            return None
        return self._go(DEGRADED, because, now)

    def _fail(self, because: str, now: float) -> Transition:
        self._penalty = min(self.penalty(now) + 1.0, PENALTY_MOST)
        self._penalised = now
        self.is_trusted = False
        return self._go(FAILOVER, because, now)

    def _recover(self, because: str, now: float) -> Transition:
        self.is_trusted = True
        self._seen = []  # what was lost before is made good: one more alone is no failure
        return self._go(NORMAL, because, now)

    def _go(self, state: str, because: str, now: float) -> Transition:
        made = Transition(self.state, state, because, now)
        self.state, self.because, self.since = state, because, now
        self.is_doubted = False
        return made

    def _bad_words(self, one: Round, bad: int, lost: int) -> str:
        if self._seen[-1] == LOST or lost >= self._limits.bad_of:
            of = "{} of {} rounds of probes lost".format(lost, len(self._seen))
            return of + (" ({})".format(one.words) if one.words else "")
        limits = self._limits.thresholds
        if one.alive and not one.enough:
            but = one.reached + " answers" if one.reached else "much else comes in"
            return "no probe is answered ({}), though {}".format(one.words, but)
        if one.latency_ms is not None and one.latency_ms > limits.latency_ms:
            what = "latency {:.0f} ms, more than {:g}".format(one.latency_ms, limits.latency_ms)
        else:
            what = "loss {:.0f} %, more than {:g}".format((one.loss or 0) * 100, limits.error_rate * 100)
        return "{} ({} of {} rounds)".format(what, bad, len(self._seen))


def _good_words(count: int) -> str:
    return "{} good round{} of probes in a row".format(count, "s" if count > 1 else "")
