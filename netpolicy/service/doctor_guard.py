"""The doctor about the guard: its program, who keeps it alive, and what is pending.

Asks `guard status` and reads its answer; never wakes it and never ends anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import MISSING, Ran, System

INIT = "/etc/init.d/netpolicy-guard"
UNIT = "netpolicy-guard.service"
SYSTEMD = "/run/systemd/system"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen; `starter` is the command that has somebody supervise it, "" where we know of none."""

    program: str
    can_run: bool
    words: str  # the program and its places, to be pasted
    status: Ran
    starter: str

    @property
    def said(self) -> Mapping[str, str]:
        """The answer of `guard status`, by its first words."""
        pairs = [line.partition(": ") for line in self.status.out.splitlines()]
        return {key: value.strip() for key, _, value in pairs}


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = gather(system, given)
    if not facts.can_run:
        return [program(facts)]
    checks = [program(facts)]
    if system.is_root:
        checks += [answers(facts), supervised(facts), *pending(facts), ended(facts)]
    return [*checks, queues(system.run("tc", "-V"), bool(given.ruleset.throttles))]


def gather(system: System, given: Given) -> Facts:
    """Asks it once."""
    words = (given.guard, "--store", given.store, "--run", given.state, "--config", given.config)
    can_run = system.is_program(given.guard)
    starter = ""
    if system.exists(INIT):
        starter = f"{INIT} enable; {INIT} start"
    elif system.exists(SYSTEMD):
        starter = f"systemctl enable --now {UNIT}"
    return Facts(given.guard, can_run, " ".join(words), system.run(*words, "status") if can_run else Ran(127), starter)


def program(facts: Facts) -> Finding:
    """ND801."""
    return fine("ND801", facts.program) if facts.can_run else found("ND801", ERROR, facts.program)


def answers(facts: Facts) -> Finding:
    """ND802."""
    if "resident" in facts.said:
        return fine("ND802")
    return found("ND802", ERROR, f"status: {facts.status.why}", f"{facts.words} status")


def supervised(facts: Facts) -> Finding:
    """ND803."""
    said = facts.said.get("resident", "no")
    if said.startswith("yes"):
        return fine("ND803", said)
    return found("ND803", WARNING if facts.starter else INFO, "it is not resident", facts.starter)


def pending(facts: Facts) -> list[Finding]:
    """ND804, ND805."""
    said = facts.said
    which = said.get("pending", "no")
    if which == "no":
        return [fine("ND804"), fine("ND805")]
    recover = f"{facts.words} recover"
    if which == "unreadable":
        return [found("ND805", ERROR, "the record of the change is damaged", recover)]
    told = f"{which}, {said.get('state', 'unknown')}, {said.get('seconds left', '?')} s left"
    seen = found("ND804", INFO, told, "netpolicy status")
    is_watched = said.get("watched", "no").startswith("yes")
    return [seen, fine("ND805") if is_watched else found("ND805", ERROR, f"{which} is not watched", recover)]


def queues(said: Ran, has_limits: bool) -> Finding:
    """ND807: of interest where there are limits of speed."""
    if said.status != MISSING or not has_limits:
        return fine("ND807")
    return found("ND807", INFO, "tc is not installed")


def ended(facts: Facts) -> Finding:
    """ND806: with a record still there, the end belongs to it."""
    outcome = facts.said.get("outcome", "")
    if not outcome:
        return fine("ND806")
    return found("ND806", WARNING, outcome)
