"""What the answers to one line's probes come to: latency, how much that varies, and the share that was lost.

Never asks anybody and never judges a line. From: outbounds/line_probe.py, a round at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from netpolicy.outbounds.check_line import FAILED, PASSED, Answer
from netpolicy.outbounds.check_target import HTTP, HTTPS, Target

REMEMBERED = 60  # questions to one target, for the share that was lost: a blip of two or three moves nothing
PART = 0.25  # of a new answer in the mean


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


class Scores:
    """Those of all targets of a line. `jitter_ms`: by how much one answer differs from the one before, on average."""

    __slots__ = ("_scores", "_targets", "_took", "jitter_ms", "latency_ms", "loss")

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets = tuple(targets)
        self.latency_ms: float | None = None
        self.jitter_ms: float | None = None
        self.loss: float | None = None
        self._took: float | None = None  # the last round that was answered
        self.forget_losses()

    def forget_losses(self) -> None:
        """What was lost is told: from now on it counts no more."""
        self._scores = {target.words: Score() for target in self._targets}

    def note(self, known: list[tuple[Target, Answer]]) -> None:
        """One round: who answered, and who did not."""
        for one, answer in known:
            self._scores[one.words].note(answer.state == FAILED)
        passed = [(one, answer) for one, answer in known if answer.state == PASSED]
        # A page's time is its server's too.
        times = [answer.milliseconds for one, answer in passed if not is_page(one)]
        times = sorted(times or [answer.milliseconds for _, answer in passed])
        if times:
            self._took_so_long(times[len(times) // 2])
        # One target that is dead is no loss of the line's, and a page comes whole however often it was sent.
        answering = [one for one in self._targets if self._scores[one.words].has_answered]
        counted = [one for one in answering if not is_page(one)] or answering or self._targets
        self.loss = min((self._scores[one.words].loss for one in counted), default=None)

    def _took_so_long(self, new: float) -> None:
        if self._took is not None:
            self.jitter_ms = _mean(self.jitter_ms, abs(new - self._took))
        self.latency_ms, self._took = _mean(self.latency_ms, new), new


def is_page(target: Target) -> bool:
    """Whether the whole answer of a server is fetched."""
    return target.kind in (HTTP, HTTPS)


def _mean(before: float | None, new: float) -> float:
    return new if before is None else before + (new - before) * PART
