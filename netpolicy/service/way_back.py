"""The way back of a change: prepared before anything changes, gone by the daemon itself, or left to the guard.

Never lets a change begin without one that was tried. Puts files back as they were confirmed and keeps what stood there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from netpolicy.config.loaded import Loaded
from netpolicy.dataplane import bundle, script
from netpolicy.dataplane.guard import GuardError, has_tc
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.plan import Plan
from netpolicy.service import files
from netpolicy.service.candidate import Files
from netpolicy.service.change import REVERTED, Change
from netpolicy.service.change_tools import ApplyRefused, Tools
from netpolicy.service.generation import Damaged
from netpolicy.service.planning import Planned

# From the first step in the kernel to the last probe; the time to confirm begins after that.
STEPS_SECONDS = 90

# How long the word that all is led back waits for a name server; the guard waits ten seconds for that word.
NAMES_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Undo:
    """What the daemon goes back to. `number`: of the generation that is discarded then."""

    loaded: Loaded | None
    files: Mapping[str, bytes]
    number: int
    counters: Mapping[str, tuple[int, int]]
    learned: Mapping[str, list[Element]]  # what the sets held that others fill
    refused: str = ""  # what the name server did not live with already


async def arm(tools: Tools, change: Change, planned: Planned) -> Undo:
    """Everything that a way back needs; what is ours in the kernel stays as it is. Raises ApplyRefused, OSError."""
    engine = tools.engine
    before = planned.before
    if before.plan is not None and not before.plan.is_empty:
        error = await engine.reconcile("before an apply")
        if error:
            raise ApplyRefused(f"what is in force is not what it should be: {error}", "mend that first")
        before = await engine.preview(engine.ruleset)
    old = await asyncio.to_thread(_kept_files, tools)
    in_force = await _in_force(tools, before.plan)
    beside, outlives = await _names_kept(tools, planned)
    number = await prepare(tools, change, planned.found.files)
    undo = Undo(
        engine.loaded,
        old,
        number,
        in_force.counters if in_force else {},
        in_force.learned if in_force else {},
        tools.names.refused if tools.names is not None else "",
    )
    candidate = planned.after.plan
    try:
        pending = await tools.guard.arm(
            in_force,
            script.full_text(candidate.table, script.MOST_AT_BOOT) if candidate is not None else "",
            candidate=planned.found.main,
            before=old.get(engine.places.config),
            numbers=(tools.store.current(), undo.number),
            seconds=STEPS_SECONDS,
            id=change.id,
            beside=beside,
            outlives=outlives,
            shaped=candidate.policy.shaped if candidate is not None else (),
        )
    except BaseException as error:
        await asyncio.to_thread(tools.store.discard, undo.number)
        if isinstance(error, GuardError):
            raise ApplyRefused(str(error)) from None
        raise
    if in_force is not None and in_force.policy.shaped and has_tc() and not tools.guard.leads_queues:
        change.notes.append("this tc does not lead queues back: should the guard have to, limits of speed drop what is "
                            "too much until the daemon is back")  # fmt: skip
    change.generation, change.deadline = undo.number, pending.deadline
    change.token = f"{pending.id}.{pending.nonce}"
    return undo


async def lead_back(tools: Tools, change: Change, undo: Undo) -> str:
    """The old rules are in force again and the old files stand there; else why not."""
    engine = tools.engine
    if undo.loaded is None:
        return "there is no configuration to go back to"
    engine.kernel.remember_counters(undo.counters)
    try:
        fault = engine.take(undo.loaded) or await engine.reconcile(f"revert {change.id}")
        if not fault and undo.learned:
            await engine.kernel.learn(undo.learned)
    finally:
        engine.kernel.remember_counters({})
    if fault:
        return fault
    change.notes += await asyncio.to_thread(_put_back, tools, undo.files)
    names = asyncio.ensure_future(_names_followed(tools, undo))
    try:
        # Should we die before, the guard leads them back. Should they take longer than it waits, the next daemon does.
        await asyncio.wait({names}, timeout=NAMES_SECONDS)
        await tools.guard.write_outcome(f"reverted {change.id} by-daemon")
        worse = await names
    finally:
        names.cancel()
    if worse:
        change.notes.append(worse)
    await asyncio.to_thread(tools.store.discard, undo.number)
    await tools.conclude(change, REVERTED)
    return ""


async def _names_followed(tools: Tools, undo: Undo) -> str:
    return await tools.names.followed(undo.refused) if tools.names is not None else ""


async def leave_to_guard(tools: Tools, change: Change, why: str) -> None:
    """We could not: the guard can, and only without us. Whoever supervises us starts us again after it."""
    change.notes.append(f"the daemon could not lead back ({why}) and left it to the guard")
    await tools.note(change, change.state)
    tools.say("error", f"change {change.id}: the way back failed ({why}): netpolicyd ends, and the guard leads back")
    tools.die()


async def prepare(tools: Tools, change: Change, found: Files) -> int:
    """The number of the generation that the change becomes. Raises ApplyRefused, OSError."""
    request = change.request
    meta = {"time": int(time.time()), "cause": request.cause, "who": request.who, "why": request.why,
            "plan": change.plan["hash"], "change": change.id}  # fmt: skip
    try:
        return await asyncio.to_thread(tools.store.prepare, found, meta)
    except ValueError as error:
        raise ApplyRefused(f"the configuration cannot be kept as a generation: {error}") from None


async def _names_kept(tools: Tools, planned: Planned) -> tuple[dict[str, str], dict[str, str]]:
    """What the name server reads of ours now, once it has followed. Raises OSError."""
    if tools.names is None:
        return {}, {}
    await tools.names.followed()
    return await tools.names.kept(planned.after.ruleset)


async def _in_force(tools: Tools, plan: Plan | None) -> bundle.InForce | None:
    if plan is None or tools.engine.enforced is None:
        return None
    kernel = tools.engine.kernel
    counters, learned = await kernel.counters(), await kernel.learned(plan.table)
    return bundle.InForce(plan.policy, plan.table, plan.wanted, counters, kernel.queues(), learned)


def _kept_files(tools: Tools) -> dict[str, bytes]:
    """The same of the very generation that counts: an older one is not what is in force. Raises ApplyRefused."""
    number = tools.store.current()
    try:
        tools.store.read(number)
    except Damaged as bad:
        raise ApplyRefused(
            f"what is in force is not in the store, so nothing could be put back: {bad}",
            "netpolicy reload keeps it anew, with the configuration file as it stands: put that in order first",
        ) from None
    return _confirmed_files(tools)


def _confirmed_files(tools: Tools) -> dict[str, bytes]:
    """What the configuration is put back to: as it was confirmed, not as it stands edited on disk."""
    confirmed = tools.store.confirmed()
    if confirmed is None:
        return {}
    return {path: content for path, content in confirmed.files.items() if isinstance(content, bytes)}


def write_files(tools: Tools, given: Mapping[str, bytes]) -> list[str]:
    """The files hold that; what stands there and is neither that nor confirmed is kept aside: nothing is lost.

    Returns what was kept where, in words.
    """
    return _put(tools, given, _confirmed_files(tools))


def _put_back(tools: Tools, old: Mapping[str, bytes]) -> list[str]:
    """The files of before; what stands there is kept aside: nothing is lost. Returns what was kept where, in words."""
    return _put(tools, old, {})


def _put(tools: Tools, wanted: Mapping[str, bytes], known: Mapping[str, bytes]) -> list[str]:
    kept = []
    for path, content in wanted.items():
        aside = _aside(tools, path)
        if files.put(path, content, aside, known.get(path)):
            kept.append(f"what stood in {path} is kept as {aside}")
    return kept


def _aside(tools: Tools, path: str) -> str:
    return files.aside(tools.guard.places.store, path, tools.engine.places.config)
