"""The guarded apply as doors call it: plan, apply, confirm, extend, abort, rollback, history, show, diff, drift.

Translates between plain documents and `guarded`; decides nothing. What is refused is `Refused`, in words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from netpolicy.config.spelling import FORMATS, format_of
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.guard import uptime
from netpolicy.observe.journal import Journal
from netpolicy.service import reading
from netpolicy.service.api import LINT_LIMIT, NotThere, Refused
from netpolicy.service.candidate import Content, Digest
from netpolicy.service.change import LONGEST_WORDS, Change, Request
from netpolicy.service.change_tools import ApplyRefused
from netpolicy.service.drift import Found
from netpolicy.service.engine import Engine
from netpolicy.service.generation import Damaged, Generation
from netpolicy.service.generations import Store
from netpolicy.service.guarded import Guarded
from netpolicy.service.planning import PLAN

HISTORY_LIMIT = 200
# A generation may hold a megabyte of files; a bus message may not.
SHOWN_BYTES = 512 << 10

TEXT = "<text>"  # stands for the file of whoever handed a text in: only the tool knows what it is called


class Changes:
    """The use cases. Every method may raise Refused; NotThere for a generation that does not exist."""

    def __init__(self, engine: Engine, guarded: Guarded, store: Store, journal: Journal) -> None:
        self._engine = engine
        self._guarded = guarded
        self._store = store
        self._journal = journal

    async def plan(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What an apply would change, what the rehearsal shows, and the hash that an apply may be bound to."""
        change = await _refused(self._guarded.plan(replace(self._request(given, "plan"), cause=PLAN)))
        refused = {"error": change.error, "hint": change.hint or None} if change.error else None
        is_same = change.state == "unchanged"
        told = {"rehearsal": change.rehearsal, "unchanged": is_same, "refused": refused, "pending": self.pending()}
        return {**change.plan, **told}

    def apply(self, given: Mapping[str, Any], who: str) -> dict[str, Any]:
        """Begins; `job` tells what becomes of it."""
        return {"job": self._begin(self._request(given, who)).id}

    async def rollback(self, number: int, given: Mapping[str, Any], who: str) -> dict[str, Any]:
        """Begins to go back to a generation: as guarded as any other change."""
        number = number or await asyncio.to_thread(self._store.previous)
        if not number:
            raise NotThere("there is no generation before the current one")
        generation = await self._generation(number)
        request = self._request(given, who)
        config = self._engine.places.config
        kept = {path: data for path, data in generation.files.items() if isinstance(data, bytes)}
        given_files = {config if path == generation.main else path: data for path, data in kept.items()}
        change = self._begin(replace(request, given=given_files, cause=f"rollback {number}"))
        return {"job": change.id, "not_kept": list(generation.not_kept)}

    def job(self, id: str = "") -> dict[str, Any]:
        """A change as it stands. For who may apply: it holds the token."""
        change = self._found(id)
        return {**change.shown(uptime()), "token": change.token if change.is_pending else None}

    def pending(self) -> dict[str, Any] | None:
        """The change under way, for `status`."""
        change = self._guarded.current
        if change is None:
            return None
        shown = change.shown(uptime())
        return {key: shown[key] for key in ("id", "state", "who", "why", "cause", "seconds_left", "generation")}

    async def confirm(self, token: str, claim: Mapping[str, Any], who: str) -> dict[str, Any]:
        """The change stays."""
        return _ended(await _refused(self._guarded.confirm(token[:LONGEST_WORDS], claim, who)))

    async def extend(self, id: str, seconds: int) -> dict[str, Any]:
        """Another end of the time to confirm."""
        return _ended(await _refused(self._guarded.extend(id, seconds)))

    async def abort(self, id: str, who: str) -> dict[str, Any]:
        """The change is taken back now."""
        return _ended(await _refused(self._guarded.abort(id, who)))

    async def history(self, limit: int = 50, offset: int = 0) -> dict[str, Any]:
        """The journal, newest first, and the generations that are kept."""
        rows = await asyncio.to_thread(self._journal.read, min(max(limit, 0), HISTORY_LIMIT), max(offset, 0))
        numbers = await asyncio.to_thread(self._store.numbers)
        return {"entries": rows, "generations": list(numbers), "current": await asyncio.to_thread(self._store.current)}

    async def verify(self) -> dict[str, Any]:
        """Whether the journal is what was written."""
        try:
            return (await asyncio.to_thread(self._journal.verify)).as_dict()
        except OSError as error:
            raise Refused(f"the journal cannot be read: {error.strerror}") from None

    async def show(self, number: int) -> dict[str, Any]:
        """One generation: what was confirmed, by whom, and its files."""
        generation = await self._generation(number or await asyncio.to_thread(self._store.current))
        room = SHOWN_BYTES
        shown = []
        for path, content in generation.files.items():
            text = _text(content, room)
            room -= len(text or "")
            shown.append({"path": path, "text": text, "sha256": _sha(content)})
        return {
            "number": generation.number, "parent": generation.parent, "healthy": generation.is_healthy,
            "meta": dict(generation.meta), "files": shown,
        }  # fmt: skip

    async def diff(self, first: int, second: int) -> dict[str, Any]:
        """What changed from one generation to another, by names; 0: what is in force now."""
        from netpolicy.service.rule_difference import differences, in_lines

        before, after = await self._ruleset(first), await self._ruleset(second)
        found = await asyncio.to_thread(differences, before, after)
        return {"from": first, "to": second, "changes": [one.as_dict() for one in found], "text": in_lines(found)}

    def drift(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What others changed of ours, and what is done about it."""
        seen = self._engine.drift
        now = asyncio.get_running_loop().time()
        return {
            "mode": self._engine.settings.drift,
            "is_there": seen.is_there,
            "count": seen.count,
            "heals_again_in": round(seen.resumes_in(now)) or None,
            "last": _found(seen.last, now),
        }

    async def heal(self) -> dict[str, Any]:
        """Puts drift right now, whatever the mode."""
        self._engine.drift.lost()
        self._engine.drift.insist()
        error = await self._engine.reconcile("told to heal")
        return {"ok": not error, "error": error or None}

    # -- parts -----------------------------------------------------------------------------

    def _request(self, given: Mapping[str, Any], who: str) -> Request:
        text, window = given.get("text"), given.get("confirm")
        contents = {} if text is None else {self._engine.places.config: self._spelled(text, given.get("format", ""))}
        if window == 0 and self._engine.settings.confirm and not given.get("console"):
            raise Refused("confirm 0: nobody could take it back; say `console` when you sit at the router itself")
        return Request(
            who=who, why=str(given.get("message", ""))[:LONGEST_WORDS], window=window,
            plan=str(given.get("plan", ""))[:LONGEST_WORDS], force=bool(given.get("force")), given=contents,
            by_web=bool(given.get("ubus_rpc_session")), by_console=bool(given.get("console")),
            named="" if text is None else self._name_of(given.get("format", "")),
        )  # fmt: skip

    def _name_of(self, spelling: str) -> str:
        """What a place in a text that was handed in is called."""
        wanted = format_of(self._engine.places.config)
        return TEXT if spelling in ("", wanted) else f"{TEXT} as {wanted}"

    def _spelled(self, text: str, spelling: str) -> bytes:
        """The text in the spelling of the configuration file."""
        from netpolicy.config.convert import convert_text  # not in memory until somebody asks

        wanted = format_of(self._engine.places.config)
        if len(text) > LINT_LIMIT:
            raise Refused(f"the text is longer than {LINT_LIMIT} bytes: write it to {self._engine.places.config}")
        if spelling in ("", wanted):
            return text.encode()
        if spelling not in FORMATS:
            raise Refused(f"format: {spelling[:20]!r} is none of {', '.join(FORMATS)}")
        converted = convert_text(text, TEXT, spelling, wanted)
        if converted.text is None:
            wrong = next((one.text() for one in converted.diagnostics if one.severity == "error"), "it cannot be read")
            raise Refused(wrong.splitlines()[0])
        return converted.text.encode()

    def _begin(self, request: Request) -> Change:
        try:
            return self._guarded.begin(request)
        except ApplyRefused as refusal:
            raise Refused(_with_hint(refusal)) from None

    def _found(self, id: str) -> Change:
        try:
            return self._guarded.find(id)
        except ApplyRefused as refusal:
            raise NotThere(str(refusal)) from None

    async def _generation(self, number: int) -> Generation:
        if number not in await asyncio.to_thread(self._store.numbers):
            raise NotThere(f"there is no generation {number}: netpolicy history lists those that are kept")
        try:
            return await asyncio.to_thread(self._store.read, number)
        except Damaged as bad:
            raise NotThere(str(bad)) from None

    async def _ruleset(self, number: int) -> Any:
        if not number:
            return self._engine.ruleset
        generation = await self._generation(number)
        contents = {path: data for path, data in generation.files.items() if isinstance(data, bytes)}
        try:
            found = await reading.read(self._engine.loader, generation.main, None, contents)
        except (reading.Unsettled, ValueProblem) as error:
            raise Refused(str(error)) from None
        return found.loaded.ruleset


async def _refused(answer: Any) -> Change:
    try:
        found: Change = await answer
    except ApplyRefused as refusal:
        raise Refused(_with_hint(refusal)) from None
    return found


def _with_hint(refusal: ApplyRefused) -> str:
    return f"{refusal} ({refusal.hint})" if refusal.hint else str(refusal)


def _ended(change: Change) -> dict[str, Any]:
    return change.shown(uptime())


def _text(content: Content, room: int) -> str | None:
    if not isinstance(content, bytes) or len(content) > room:
        return None
    return content.decode("utf-8", "replace")


def _sha(content: Content) -> str:
    from netpolicy.service.candidate import digest_of

    return content.sha256 if isinstance(content, Digest) else digest_of(content).sha256


def _found(found: Found | None, now: float) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"seconds_ago": round(now - found.at), "treatment": found.treatment, "changes": list(found.changes)}
