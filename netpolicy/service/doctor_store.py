"""The doctor about the store: room on the flash, whole generations, a journal that nobody changed.

Reads with the store's own readers; never repairs and never writes, not even to try.
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolicy.observe.journal import Journal, Verdict
from netpolicy.service.doctor_finding import ERROR, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import Room, System
from netpolicy.service.generation import HEALTHY
from netpolicy.service.generations import FOLDER, Store

# A change keeps a generation (2 MiB of them at most), its way back and 256 KiB of journal.
SHORT, TOO_SHORT = 1 << 20, 256 << 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. `boots` counts those of the current generation that were not well; -1: it is marked healthy."""

    path: str
    room: Room
    damaged: tuple[str, ...]
    verdict: Verdict
    current: int
    boots: int


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = gather(system, given)
    if not system.is_root:  # what we may not read looks as if it were not there
        return [space(facts)]
    return [writable(facts), space(facts), private(facts), *generations(facts), journal(facts), well(facts)]


def gather(system: System, given: Given) -> Facts:
    """Reads everything in the store. Raises OSError."""
    store = Store(given.store)
    current = store.current()
    return Facts(
        given.store, system.room(given.store), tuple(store.findings()), Journal(given.store).verify(), current,
        _boots(system, f"{given.store}/{FOLDER}/{current:06d}"),
    )  # fmt: skip


def writable(facts: Facts) -> Finding:
    """ND701."""
    return fine("ND701", facts.path) if facts.room.is_writable else found("ND701", ERROR, facts.path)


def space(facts: Facts) -> Finding:
    """ND702."""
    told = f"{facts.room.free // 1024} KiB are free for {facts.path}"
    if facts.room.free >= SHORT:
        return fine("ND702", told)
    return found("ND702", ERROR if facts.room.free < TOO_SHORT else WARNING, told, f"du -k {facts.path}")


def private(facts: Facts) -> Finding:
    """ND705; a store that is not there yet is made so."""
    if not facts.room.mode & 0o077:
        return fine("ND705")
    return found("ND705", WARNING, f"{facts.path} has mode {facts.room.mode:04o}", f"chmod 700 {facts.path}")


def generations(facts: Facts) -> list[Finding]:
    """ND703."""
    return [found("ND703", WARNING, text) for text in facts.damaged] or [fine("ND703")]


def journal(facts: Facts) -> Finding:
    """ND704."""
    if facts.verdict.is_fine:
        return fine("ND704", f"{facts.verdict.lines} lines")
    return found("ND704", WARNING, facts.verdict.why, "netpolicy history verify")


def well(facts: Facts) -> Finding:
    """ND706."""
    if facts.boots <= 0:
        return fine("ND706", f"generation {facts.current}" if facts.current else "there is none yet")
    told = f"generation {facts.current}: {facts.boots} boots without three minutes of life"
    return found("ND706", WARNING, told, "netpolicy rollback")


def _boots(system: System, folder: str) -> int:
    if system.exists(f"{folder}/{HEALTHY}"):
        return -1
    return system.number(f"{folder}/boots") or 0
