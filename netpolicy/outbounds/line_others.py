"""Whether a line whose targets do not answer lives all the same: servers that answered clients by it are asked.

Sends nothing by itself, and asks strangers seldom: two at a time, at the ports that clients used. What it finds can be
forged by no client: the question is bound to the line's device. From outbounds/line_evidence.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolicy.outbounds.check_line import PASSED, REFUSED, UNKNOWN, Answer, Line
from netpolicy.outbounds.check_target import TCP, Target
from netpolicy.outbounds.line_evidence import Evidence

MOST = 2
# After an alarm that was none, and while a line has failed; and when it has for long.
SECONDS, LONG_SECONDS = 10.0, 60.0


class Others:
    """Those of one line. `reached`: who answered last, "" for nobody, None where there was nobody to ask."""

    def __init__(self, line: Line, evidence: Evidence | None) -> None:
        self._line = line
        self._evidence = evidence
        self._asked = float("-inf")
        self.reached: str | None = None

    def due(self, now: float, is_at_once: bool, is_failed: bool = False, is_long: bool = False) -> list[Target]:
        """Who is to be asked now. `is_at_once`: however lately some were.

        Where nobody is to be, what was found last holds of a line that `is_failed`; of another it was of another alarm.
        """
        if self._evidence is None:
            return []
        if not is_at_once and now - self._asked < (LONG_SECONDS if is_long else SECONDS):
            self.reached = self.reached if is_failed else self.reached and ""
            return []
        self._asked = now
        families = self._line.families
        ends = [end for end in self._evidence.ends(2 * MOST) if (6 if ":" in end[0] else 4) in families][:MOST]
        if not ends:
            self.reached = None
        return [Target(f"{address} port {port}", TCP, address, port) for address, port in ends]

    def told(self, answers: Iterable[tuple[Target, Answer]]) -> None:
        """What became of those; a refusal is an answer too."""
        known = [(target, answer) for target, answer in answers if answer.state != UNKNOWN]
        if known:
            answering = [one.words for one, answer in known if answer.state == PASSED or answer.reason == REFUSED]
            self.reached = answering[0] if answering else ""
