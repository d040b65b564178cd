"""Lines whose routes the kernel does not take: one of them must not keep all others from being followed.

What is refused once may be a network that was changing; twice in a row, the line does without that family until it
is tried again. Never guesses why: the kernel's words are told. Data: refusals of the kernel, states of lines.
"""

from __future__ import annotations

from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.lines import LineState

TWICE = 2
FIRST_SECONDS, MOST_SECONDS = 30.0, 600.0


class Refusal:
    """A family of a line: the way that was refused, how often in a row, the words, and until when it is left alone."""

    __slots__ = ("hop", "reason", "seconds", "times", "until")

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.times = 0
        self.reason = ""
        self.seconds = FIRST_SECONDS
        self.until = 0.0


class RefusedRoutes:
    """Those of one router."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Refusal] = {}

    def note(self, state: LineState, family: int, reason: str, now: float) -> bool:
        """A route of the line was refused. Whether it does without that family from now on."""
        hop = next((one for one in state.hops if one.family == family), None)
        if hop is None:
            return False
        known = self._known.get((state.name, family))
        if known is None or known.hop != hop:
            known = self._known[state.name, family] = Refusal(hop)
        known.times += 1
        known.reason = reason
        if known.times < TWICE:
            return False
        known.until = now + known.seconds
        known.seconds = min(known.seconds * 2, MOST_SECONDS)
        return True

    def all_taken(self, now: float) -> None:
        """A turn came to its end: what it tried is no refusal any more."""
        for key in [key for key, known in self._known.items() if known.until <= now]:
            del self._known[key]

    def again_in(self, now: float) -> float | None:
        """Seconds until the next of them is tried again; None without one."""
        return min([one.until - now for one in self._known.values() if one.until > now], default=None)

    def without(self, state: LineState, now: float) -> LineState:
        """The line as it can be used: without what was refused, down where nothing is left."""
        known = [one for one in map(self._known.get, ((state.name, 4), (state.name, 6))) if one is not None]
        refused = {one.hop.family: one for one in known if one.hop in state.hops and now < one.until}
        if not refused or not state.up:
            return state
        left = tuple([hop for hop in state.hops if hop.family not in refused])
        why = next(iter(refused.values())).reason
        reason = f"the kernel does not take its route: {why}"
        return LineState(state.name, state.type, bool(left), reason, state.device, left)
