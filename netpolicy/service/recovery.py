"""What an earlier life left undecided is decided before the configuration is read, and written down after.

Never decides by itself: the guard does, by what stands in the store (docs/guard.md). Holds up no start for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from netpolicy.dataplane.guard import Guard, GuardError, find_pending
from netpolicy.dataplane.pending import Unreadable
from netpolicy.observe.journal import Journal
from netpolicy.observe.ring import Ring
from netpolicy.service import files
from netpolicy.service.generations import Store

CONFIRMED, REVERTED, FALLBACK, RESCUE = "confirmed", "reverted", "fallback", "rescue"  # first words of an outcome
NOT_RESTORED = "configuration-not-restored"


@dataclass(frozen=True, slots=True)
class Left:
    """How the change that was left pending ended ("": there was none), and the generation that it was to become.

    `instead`: what is to be read in place of files that could not be put back.
    """

    outcome: str = ""
    generation: int = 0
    instead: Mapping[str, bytes] = field(default_factory=dict)


async def recover(guard: Guard, store: Store, log: Ring) -> Left:
    """Has the guard finish what an earlier life left, and puts back the files that it does not know, or could not."""
    left = await _recover(guard, log)
    # With a damaged record or a disk that nobody can write on the guard ends without a word.
    is_open = not left.outcome and guard.has_record() and not guard.verdict().startswith("confirmed")
    if not is_open and not left.outcome.startswith((REVERTED, FALLBACK, RESCUE)):
        return left
    with_main = is_open or NOT_RESTORED in left.outcome
    instead = await asyncio.to_thread(_put_files_back, guard, store, log, with_main)
    outcome = left.outcome
    if is_open and not instead:
        with contextlib.suppress(OSError):  # on such a disk the next start finds the same
            await guard.write_outcome(outcome := "reverted unknown by-daemon at-start")
    return Left(outcome, left.generation, instead)


def _put_files_back(guard: Guard, store: Store, log: Ring, with_main: bool) -> dict[str, bytes]:
    """The guard keeps the main file alone; all are in the generation that counts again. Those that stay as they are."""
    confirmed = store.confirmed()
    failed: dict[str, bytes] = {}
    for path, content in confirmed.files.items() if confirmed is not None else ():
        if isinstance(content, bytes) and (with_main or path != guard.places.config):
            try:
                files.put(path, content, files.aside(guard.places.store, path, guard.places.config))
            except OSError as error:
                log.add("error", "apply", f"{path} is not put back, what was confirmed counts: {error.strerror}")
                failed[path] = content
    return failed


async def _recover(guard: Guard, log: Ring) -> Left:
    try:
        pending = await asyncio.to_thread(find_pending, guard.places)
    except Unreadable as problem:
        pending = None
        log.add("error", "apply", f"the record of a pending change cannot be read: {problem}")
    except OSError as error:
        log.add("error", "apply", f"cannot look for a pending change: {error.filename}: {error.strerror}")
        return Left()
    if pending is None and not guard.outcome() and not guard.has_record():
        return Left()
    generation = pending.new if pending is not None else 0
    try:
        return Left(await guard.recover(), generation)
    except GuardError as error:
        log.add("error", "apply", f"a change was left pending: {error}")
        return Left(guard.outcome(), generation)


async def note(left: Left, guard: Guard, journal: Journal, store: Store, log: Ring) -> None:
    """Into journal and log; then nothing is pending any more."""
    if not left.outcome:
        await asyncio.to_thread(_close, journal, store, log)
        return
    word, _, rest = left.outcome.partition(" ")
    level = {"confirmed": "info", "reverted": "warning", "fallback": "warning"}.get(word, "error")
    log.add(level, "apply", f"a change of an earlier life ended: {left.outcome}")
    try:
        await asyncio.to_thread(journal.append, {"event": "recovered", "outcome": word, "detail": rest})
        # One that was confirmed stays, though a reload may have put another in its place before its record was gone.
        if word != CONFIRMED and left.generation and left.generation != store.current():
            await asyncio.to_thread(store.discard, left.generation)
        await guard.finish()
    except OSError as error:
        log.add("error", "apply", f"it could not be written down: {error.filename}: {error.strerror}")


def _close(journal: Journal, store: Store, log: Ring) -> None:
    """A change whose end was never written, because the disk was full then: what counts now says how it ended."""
    try:
        last = next(iter(journal.read(1)), {})
        if last.get("event") == "begin" and last.get("id"):
            word = "confirmed" if last.get("generation") == store.current() else REVERTED
            journal.append({"event": "recovered", "outcome": word, "detail": f"{last['id']} at-start"})
    except OSError as error:
        log.add("error", "apply", f"the journal cannot be closed: {error.filename}: {error.strerror}")
