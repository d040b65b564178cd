"""Reads the rules in force again with new copies of lists, and refuses those with which the rules would be worse.

Never takes an edited configuration into force on the way: what was confirmed last is read, whatever is on disk. The
copies that count stay until the new ones were taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from netpolicy.config.loaded import Loaded
from netpolicy.service import reading
from netpolicy.service.candidate import Files, digest_of
from netpolicy.service.engine import Engine
from netpolicy.service.generations import Store
from netpolicy.service.left_out import refusal

TAKEN, LATER, REFUSED = "taken", "later", "refused"


async def try_lists(engine: Engine, fresh: Collection[str]) -> tuple[str, str]:
    """Whether the rules are now those with the new copies of these lists; and why not, or why not yet."""
    async with engine.one_reader:
        if engine.frozen or engine.has_unadopted or engine.loaded is None:
            return LATER, engine.frozen or "the configuration was just taken over"
        taken = engine.taken
        confirmed = await asyncio.to_thread(_confirmed, engine.places.store)
        if confirmed is None:
            return LATER, "what was confirmed last is damaged: netpolicy reload makes it anew"
        instead = {path: content for path, content in confirmed.items() if isinstance(content, bytes)}
        try:
            known = engine.loaded.paths
            found = await reading.read(
                engine.loader, engine.places.config, engine.ruleset, instead, known=known, fresh=fresh
            )
        except reading.Unsettled as error:
            return LATER, str(error)
        if engine.frozen or engine.taken != taken:
            return LATER, engine.frozen or "another configuration was taken over meanwhile"
        if other := _other(found.files, confirmed):
            return LATER, f"{other} is not what is in force: netpolicy reload takes both"
        if why := worse(found.loaded, engine.loaded):
            return REFUSED, why
        engine.take(found.loaded)
    return TAKEN, ""


def worse(fresh: Loaded, before: Loaded) -> str:
    """Why the rules read now may not replace those in force; "" where they may."""
    if fresh.fatal or (fresh.blocked_skip and not before.blocked_skip):
        return refusal(fresh)
    gone = {one.name for one in before.ruleset.lists} - {one.name for one in fresh.ruleset.lists}
    if gone or len(fresh.skipped) > len(before.skipped):
        errors = [one.text().splitlines()[0] for one in fresh.diagnostics if one.severity == "error"]
        return errors[0] if errors else f"without the list {min(gone, default='')} rules would be left out"
    return ""


def _confirmed(path: str) -> Files | None:
    """The files in force; {} where nothing could be kept, then those on disk are taken for them. None: damaged."""
    store = Store(path)
    number = store.current()
    if not number:
        return {}
    found = store.confirmed()
    return found.files if found is not None and found.number == number else None


def _other(found: Mapping[str, object], confirmed: Files) -> str:
    """A file that is not kept whole and is another one now; "" for none."""
    for path, content in confirmed.items():
        if not isinstance(content, bytes) and path in found and digest_of(found[path]) != content:  # type: ignore[arg-type]
            return path
    return ""
