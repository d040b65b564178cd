"""Keeps the health of every line: what the kernel says of it, its probes and clients, and what follows for groups.

Never changes a route: it says which lines carry, in which order, and why; the engine's next turn does the rest. From
outbounds/lines.py, line_probe.py and line_evidence.py there, core/line_health.py.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from netpolicy.core.health import FAILOVER, NORMAL, RECOVERY, Thresholds
from netpolicy.core.line_health import Limits, LineHealth, Round, Transition
from netpolicy.core.model import GROUP, Outbound, Ruleset, Settings
from netpolicy.dataplane import sleeps
from netpolicy.dataplane.marks import Marks
from netpolicy.outbounds.group_order import Condition, Use, uses
from netpolicy.outbounds.lines import LineState
from netpolicy.service.by_hand import ByHand
from netpolicy.service.refused_routes import RefusedRoutes

if TYPE_CHECKING:
    from netpolicy.outbounds.line_evidence import Evidence
    from netpolicy.outbounds.line_probe import Prober
    from netpolicy.outbounds.line_traffic import Asked

NEVER = float("inf")
NEVER_YET = float("-inf")

# What clients say of a line that nobody probes is weighed so often, while there is something to weigh; a connection is
# in vain after its first packet was repeated.
WEIGH_SECONDS, CLIENT_LATE_SECONDS = 1.0, 1.5
CLEARING_REMOTES = 2  # addresses that have to answer what began later
SILENT_SECONDS = 300.0  # what clients suffered counts no longer: where they were led elsewhere nobody clears it

LINES = ("interface", "table")  # outbounds that lead out by themselves

# What a person says of a line at run time; it is not kept over a restart.
AUTO, UP, DOWN = "auto", "up", "down"
BY_HAND = (AUTO, UP, DOWN)


class Watched:
    """One line under watch."""

    __slots__ = (
        "by_hand", "clock", "evidence", "families", "family_limits", "health", "latency_ms", "limits", "lossy",
        "probed", "prober", "since", "slow_ms", "state", "suffered", "weighing",
    )  # fmt: skip

    def __init__(self, limits: Limits, key: tuple[object, ...], state: LineState, now: float) -> None:
        self.limits = key  # what its health was made with
        self.by_hand = AUTO
        self.since = int(time.time())  # for people: when its health became what it is
        self.health = LineHealth(limits, now)
        self.family_limits = Limits(hold=limits.hold, settle=limits.settle)  # only silence counts there
        self.families: dict[int, LineHealth] = {}  # those in which an address is asked
        self.state = state  # as the kernel has it
        self.prober: Prober | None = None
        self.latency_ms: float | None = None  # as the prober before measured it: until this one has an answer
        self.probed: object = None  # what its prober was made for
        self.clock: asyncio.TimerHandle | None = None
        self.evidence: Evidence | None = None  # what clients' connections say; None: nobody listens
        self.slow_ms = self.lossy = NEVER
        self.suffered = NEVER_YET  # when clients had answers last, but late or with loss; cleared since: never
        self.weighing: asyncio.TimerHandle | None = None


class LineWatch:
    """The lines of one router.

    `changed` is called with words when the health of a line may mean another way for packets; `told` with the
    outbound and every transition.
    """

    def __init__(
        self, changed: Callable[[str], None], told: Callable[[str, Transition], None],
        clock: Callable[[], float] | None = None, slept: Callable[[], float] = sleeps.slept,
        seed: int | None = None,
    ) -> None:  # fmt: skip
        """`seed`: of this router and start, so that not all that start together ask in the same instant."""
        self._changed = changed
        self._told = told
        self._sleeps = sleeps.Sleeps(slept)
        self._seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._lines: dict[str, Watched] = {}
        self._asked: Asked | None = None
        self._uses: dict[str, Use] = {}
        self._by_hand: dict[str, str] = {}  # of lines that are set, also while a change that goes back is without them
        self._ruleset = Ruleset()
        self._has_latency = False
        self.by_hand = ByHand()
        self.refused = RefusedRoutes()

    # -- what the kernel says --------------------------------------------------------------

    def look(self, ruleset: Ruleset, states: Iterable[LineState]) -> tuple[LineState, ...]:
        """The states as they are to be used, from those that the kernel shows. What is gone is forgotten."""
        now = self._clock()
        found = []
        if ruleset is not self._ruleset:
            self._ruleset = ruleset
            self._has_latency = any(one.type == GROUP and one.strategy == "latency" for one in ruleset.outbounds)
        for state in states:
            outbound = ruleset.outbound(state.name)
            if outbound is not None:
                if outbound.type in LINES:
                    self._follow_kernel(outbound, state, now)
                found.append(self.usable(state))
        for name in set(self._lines) - {state.name for state in found if state.type in LINES}:
            self._drop(name)
        return tuple(found)

    def usable(self, state: LineState) -> LineState:
        """As `effective`, and without what the kernel refused."""
        return self.refused.without(self.effective(state), self._clock())

    def effective(self, state: LineState) -> LineState:
        """The state of a line with what is known of its health: a dead line is down, whatever its device says."""
        line = self._lines.get(state.name)
        if line is None or not state.up or _may_carry(line):
            return state
        because = "taken out by hand" if line.by_hand == DOWN else line.health.because
        return LineState(state.name, state.type, False, because, state.device, state.hops)

    def set_by_hand(self, name: str, word: str) -> bool:
        """One of BY_HAND, until another one: `down` takes a line out, `up` has its probes not count. False: no line."""
        line = self._lines.get(name)
        if line is None:
            return False
        line.by_hand = word
        self._by_hand[name] = word
        if word == AUTO:
            del self._by_hand[name]
        return True

    def _follow_kernel(self, outbound: Outbound, state: LineState, now: float) -> None:
        key = (outbound.max_latency_ms, outbound.max_loss, outbound.hold)
        line = self._lines.get(outbound.name)
        if line is None:
            line = self._lines[outbound.name] = Watched(limits_of(outbound), key, state, now)
            line.by_hand = self._by_hand.get(outbound.name, AUTO)
            say = line.health.found if state.up else line.health.lost
            say(state.reason, now)
            return
        if line.limits != key:
            line.limits = key
            limits = limits_of(outbound)
            line.health.limited(limits)
            line.family_limits = Limits(hold=limits.hold, settle=limits.settle)
            for health in line.families.values():
                health.limited(line.family_limits)
            # A shorter hold-down may be over already.
            self._note(outbound.name, line, line.health.passed(now), carries(line), in_turn=True)
            self._wait(outbound.name, line)
        before, line.state = line.state, state
        if before.up == state.up and before.device == state.device:
            return
        carried = carries(line)
        say = line.health.found if state.up else line.health.lost
        made = say(state.reason, now)
        self._note(outbound.name, line, made, carried, in_turn=True)

    # -- what probes say -------------------------------------------------------------------

    def follow(self, ruleset: Ruleset, numbers: Mapping[str, int]) -> None:
        """After a turn: the lines that are there and have probes are probed, with the marks that are in force."""
        marks = Marks(ruleset.settings.fwmark_mask)
        for name, line in self._lines.items():
            outbound = ruleset.outbound(name)
            if outbound is not None:
                self._listen(outbound, line, bool(numbers.get(name)))
                self._probe(outbound, line, marks.bits(numbers[name]) if numbers.get(name) else 0)

    def _listen(self, outbound: Outbound, line: Watched, is_steered: bool) -> None:
        limits = (float(outbound.max_latency_ms) or NEVER, outbound.max_client_loss / 100 or NEVER)
        if limits != (line.slow_ms, line.lossy):
            line.slow_ms, line.lossy = limits
            # By the new ones it was not bad yet, so half of them is not what counts.
            self._clear(outbound.name, line, "its limits are others now")
        if not (outbound.passive and is_steered):
            line.evidence = None
            self._clear(outbound.name, line, "clients are not listened to any more")  # nobody could say otherwise
        elif not line.state.up:
            if line.evidence is not None:
                line.evidence.away()  # who answered by it is still known when it is back
        elif line.evidence is None:
            # Not in memory where nothing is steered.
            from netpolicy.outbounds.line_evidence import Evidence

            line.evidence = Evidence()

    def _clear(self, name: str, line: Watched, because: str) -> None:
        line.suffered = NEVER_YET
        if line.health.is_doubted:
            self._note(name, line, line.health.cleared(because, self._clock()), carries(line), in_turn=False)

    def _probe(self, outbound: Outbound, line: Watched, mark: int) -> None:
        wanted = None
        if outbound.probe and line.state.up:
            # Not in memory where nothing is probed.
            from netpolicy.outbounds.check import line_of

            made = line_of(outbound, line.state, mark)
            habits = (outbound.interval, outbound.quorum, line.slow_ms, line.lossy, line.evidence)
            wanted = (made, habits) if made.targets else None
        if wanted == line.probed:
            return
        # Its gateway may have changed, which is no reason to leave it until it is measured again.
        line.latency_ms = _latency(line)
        if line.prober is not None:
            _end(line.prober)
            line.prober = None
        line.probed, line.families = wanted, {}
        if wanted is not None:
            from netpolicy.core.spread import part
            from netpolicy.outbounds.line_pace import Habits
            from netpolicy.outbounds.line_probe import Prober
            from netpolicy.outbounds.line_traffic import Asked

            each = Habits(float(outbound.interval), outbound.quorum, line.slow_ms, line.lossy)
            told = partial(self._probed, outbound.name, line)
            spread = partial(part, self._seed, outbound.name)
            self._asked = self._asked or Asked()
            line.prober = Prober(
                wanted[0], each, told, line.health, evidence=line.evidence, spread=spread, asked=self._asked
            )  # fmt: skip

    def _probed(self, name: str, line: Watched, one: Round) -> None:
        if self._lines.get(name) is not line or not line.state.up:
            return
        carried = carries(line)
        made = line.health.probed(one, self._clock())
        self._note_families(name, line, one)
        self._note(name, line, made, carried, in_turn=False)

    def _note_families(self, name: str, line: Watched, one: Round) -> None:
        """A family that is silent while the other one answers is another matter than a line that is dead."""
        before, now = silent(line), self._clock()
        for family, answered in one.families.items():
            health = line.families.setdefault(family, LineHealth(line.family_limits, now))
            health.probed(Round(answered), now)
        for family in set(before) ^ set(silent(line)):
            says = "is silent" if family in silent(line) else "is well again"
            self._changed(f"outbound {name}: IPv{family} {says}")

    # -- what clients say ------------------------------------------------------------------

    def evidence(self, name: str) -> Evidence | None:
        """Where what clients' connections say of a line is put; None where nobody asks for it."""
        line = self._lines.get(name)
        return line.evidence if line is not None else None

    def weigh_later(self, name: str) -> None:
        """A client began something by the line. One that is probed asks by itself."""
        line = self._lines.get(name)
        if line is not None and line.weighing is None and line.prober is None and line.evidence is not None:
            line.weighing = asyncio.get_running_loop().call_later(WEIGH_SECONDS, self._weigh, name, line)

    def _weigh(self, name: str, line: Watched) -> None:
        line.weighing = None
        if self._sleeps.since():
            for one in self._lines.values():
                if one.evidence is not None:
                    one.evidence.away()  # who answered while the machine slept was not heard
        evidence, health, now = line.evidence, line.health, self._clock()
        if self._lines.get(name) is not line or evidence is None or line.prober is not None or not line.state.up:
            return
        carried = carries(line)
        doubt, made = evidence.doubt(now, CLIENT_LATE_SECONDS), None
        if doubt is not None and doubt.is_strong:
            made = health.doubted(doubt.words, now)
        elif words := evidence.suffered(now, line.slow_ms, line.lossy, health.is_doubted and _suffers(line)):
            made, line.suffered = health.doubted(words, now), now
        elif doubt is None and (words := _clearing(line, evidence, now)):
            made, line.suffered = health.cleared(words, now), NEVER_YET
        self._note(name, line, made, carried, in_turn=False)
        if len(evidence) or health.is_doubted:
            self.weigh_later(name)

    # -- what follows ----------------------------------------------------------------------

    def _note(self, name: str, line: Watched, made: Transition | None, carried: bool, in_turn: bool) -> None:
        carries_now = carries(line)
        if made is not None:
            line.since = int(time.time())
            self._told(name, made)
            self._wait(name, line)
        if in_turn:
            return
        is_other = made is not None or carried != carries_now
        if is_other or (self._has_latency and self._used(self._ruleset) != self._uses):
            self._changed(f"outbound {name}: {line.health.because}")

    def _wait(self, name: str, line: Watched) -> None:
        """Where no probe says anything, time alone leads out of RECOVERY."""
        if line.clock is not None:
            line.clock.cancel()
            line.clock = None
        if line.health.state == RECOVERY:
            over = line.health.since + line.health.hold_seconds(line.health.since)
            left = max(over - self._clock(), 0.0) + 0.05
            line.clock = asyncio.get_running_loop().call_later(left, self._passed, name, line)

    def _passed(self, name: str, line: Watched) -> None:
        line.clock = None
        if self._lines.get(name) is line:
            carried = carries(line)
            made = line.health.passed(self._clock())
            self._note(name, line, made, carried, in_turn=False)

    def uses(self, ruleset: Ruleset, states: Iterable[LineState] = ()) -> dict[str, Use]:
        """Per group how its lines are to be used now; `states` are those of its lines, which may not be watched yet."""
        found = self._used(ruleset, states)
        if ruleset is self._ruleset:
            self._uses = found
        return found

    def carriers(self, group: str) -> dict[int, tuple[str, ...]] | None:
        """By which lines a group sends each family now; None where it is no group that was looked at."""
        use = self._uses.get(group)
        if use is None:
            return None
        return {
            family: tuple(name for name, _ in shares if self._leads(name, family))
            for family, shares in use.shares.items()
        }

    def _leads(self, name: str, family: int) -> bool:
        line = self._lines.get(name)
        if line is None:
            return True
        state = self.usable(line.state)
        return state.up and _condition(line, state, True).leads(family)

    def _used(self, ruleset: Ruleset, states: Iterable[LineState] = ()) -> dict[str, Use]:
        usable = {name: self.usable(line.state) for name, line in self._lines.items()}
        known = {name: _condition(self._lines[name], state, state.up) for name, state in usable.items()}
        known |= {one.name: _condition(self._lines.get(one.name), one, one.up) for one in states if one.type in LINES}
        return uses(self.by_hand.applied(ruleset), known, self._uses)

    def engine_state(self, settings: Settings, states: Iterable[LineState] = ()) -> str:
        """That of the primary outbound; NORMAL where there is none. `states`: as it is where nobody watches it yet."""
        line = self._lines.get(settings.primary)
        if any(one.name == settings.primary and not one.up for one in states):
            return FAILOVER  # also by what the kernel refused, of which its health knows nothing
        if line is None:
            return NORMAL
        by_hand = {UP: NORMAL, DOWN: FAILOVER} if line.state.up else {}
        return by_hand.get(line.by_hand, line.health.state)

    def document(self, name: str) -> dict[str, Any] | None:
        """What is known of a line's health, for people; None where it is no line."""
        line = self._lines.get(name)
        if line is None:
            return None
        prober = line.prober
        answers = prober.last if prober is not None else ()
        return {
            "state": line.health.state,
            "because": line.health.because,
            "since": line.since,
            "trusted": _is_trusted(line),
            "by_hand": line.by_hand,
            "silent": list(silent(line)),
            "latency_ms": _rounded(prober.latency_ms) if prober is not None else None,
            "jitter_ms": _rounded(prober.jitter_ms) if prober is not None else None,
            "loss": prober.loss if prober is not None else None,
            "probes": [
                {"probe": words, "state": answer.state, "text": answer.text, "ms": answer.milliseconds}
                for words, answer in answers
            ],
        }

    def rest(self) -> None:
        """Switched off: nobody is probed."""
        for line in self._lines.values():
            if line.prober is not None:
                _end(line.prober)
            line.prober = line.probed = line.evidence = None

    async def close(self) -> None:
        """Nobody is probed any more."""
        probers = [line.prober for line in self._lines.values() if line.prober is not None]
        for name in list(self._lines):
            self._drop(name, ended=False)
        for prober in probers:
            await prober.close()

    def _drop(self, name: str, ended: bool = True) -> None:
        line = self._lines.pop(name)
        if line.clock is not None:
            line.clock.cancel()
        if line.weighing is not None:
            line.weighing.cancel()
        if line.prober is not None and ended:
            _end(line.prober)


def _clearing(line: Watched, evidence: Evidence, now: float) -> str:
    """What speaks for a line that clients do not speak against, in words; "" where that is only silence."""
    if _suffers(line) and evidence.fares_well(now):
        return "what clients send and receive arrives"
    if _suffers(line) and now - line.suffered >= SILENT_SECONDS:
        return f"nobody suffered by it for {SILENT_SECONDS:.0f} s"
    answering = evidence.proved(line.health.since)
    return f"{answering} addresses answered clients since" if answering >= CLEARING_REMOTES else ""


def _suffers(line: Watched) -> bool:
    return line.suffered != NEVER_YET


def limits_of(outbound: Outbound) -> Limits:
    """The limits of one outbound's options; 0 switches a threshold off."""
    latency = float(outbound.max_latency_ms) or NEVER
    loss = outbound.max_loss / 100 or NEVER
    return Limits(Thresholds(latency, loss), hold=float(outbound.hold), settle=min(5.0, float(outbound.hold)))


def carries(line: Watched) -> bool:
    """Whether packets may be sent by it."""
    return line.state.up and _may_carry(line)


def _may_carry(line: Watched) -> bool:
    """Whether anything but the kernel speaks against it."""
    return line.by_hand == UP or not (line.by_hand == DOWN or line.health.is_dead)


def silent(line: Watched) -> tuple[int, ...]:
    """The families that no probe answers in, or did until lately, while one does in the other.

    Groups go by another line there, until the hold-down is over.
    """
    dead = [family for family, health in line.families.items() if health.is_dead or not health.is_trusted]
    return tuple(dead) if len(dead) < len(line.families) else ()


def _is_trusted(line: Watched) -> bool:
    return line.health.is_trusted or line.by_hand == UP


def _condition(line: Watched | None, state: LineState, is_up: bool) -> Condition:
    """Of a line that nobody watches yet only the state is known."""
    latency = _latency(line) if line is not None else None
    dead = silent(line) if line is not None else ()
    # One that is silent in all that it has is used where nothing else is.
    led = tuple([hop.family for hop in state.hops])
    families = tuple([family for family in led if family not in dead]) or led
    return Condition(not is_up, line is None or _is_trusted(line), latency, families)


def _latency(line: Watched) -> float | None:
    """None where nobody measures it."""
    if line.prober is None:
        return None
    return line.latency_ms if line.prober.latency_ms is None else line.prober.latency_ms


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


_ending: set[asyncio.Task[None]] = set()


def _end(prober: Prober) -> None:
    """In the background: nobody waits for what is not asked any more."""
    task = asyncio.get_running_loop().create_task(prober.close())
    _ending.add(task)
    task.add_done_callback(_ending.discard)
