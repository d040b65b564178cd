"""Fetches one list and keeps it, in a process of its own that ends with all the memory that this took.

Never touches the copy that counts: a new one stands beside it until the rules were read with it. What is not a
whole, sensible list is not kept at all. Data: the network; the copies are in the state folder (kept_list.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from netpolicy.config.kept_list import HALF, Head, head_of, path_of, source_of, text_of
from netpolicy.config.list_reading import ListReading
from netpolicy.config.machine_memory import memory_of_machine
from netpolicy.core.list_budget import Budget, budget_of
from netpolicy.core.list_content import ListContent
from netpolicy.core.value import ValueProblem
from netpolicy.core.web_address import parse_web_address
from netpolicy.observe.durable import make_folder, remove, sync_folder, write_all
from netpolicy.outbounds.web_page import CannotFetch, Limits, Page, fetch

NEW, SAME, FAILED = "new", "same", "failed"

# Fewer lines that are no entries may stand in a list; more, and most of it, and it is a page of something else.
FEW_BAD = 10


@dataclass(frozen=True, slots=True)
class Task:
    """One list to fetch into a folder. `budget`: of this machine when absent."""

    name: str
    url: str
    folder: str
    format: str = "auto"
    categories: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    budget: Budget | None = None

    @property
    def source(self) -> str:
        """What copies of it belong to."""
        return source_of(self.url, self.format, self.categories)

    def path(self, is_new: bool = False) -> str:
        """Where its copy stands."""
        return path_of(self.folder, self.name, self.source, is_new)


class _Unfit(Exception):
    """What came is not kept; the text says why."""


def fetch_list(task: Task) -> bytes:
    """What came of it as JSON: `result` (new, same, failed) and `error`. Raises nothing."""
    try:
        return _told(_fetched(task))
    except (_Unfit, CannotFetch, ValueProblem) as problem:
        return _told(FAILED, str(problem))
    except OSError as problem:
        return _told(FAILED, f"it cannot be kept: {problem.strerror}")
    except MemoryError:
        return _told(FAILED, "there is not enough memory to read it")
    except Exception as fault:  # noqa: BLE001 - the border: the parent has to hear of it
        return _told(FAILED, f"a fault in netpolicy, please report it: {type(fault).__name__}: {fault}")


def _told(result: str, error: str = "") -> bytes:
    return json.dumps({"result": result, "error": error}).encode("ascii")


def _fetched(task: Task) -> str:
    path, head = _known(task)
    page = fetch(parse_web_address(task.url), head.etag if head else "", head.modified if head else "", task.limits)
    if page.is_same:
        try:
            os.utime(path)  # the copy's time says when it was last known to be right
        except FileNotFoundError:  # it waited to be tried, and was taken while the server was asked
            os.utime(task.path())
        return SAME
    fresh, content = _read(task, page)
    if head is not None and fresh.digest == head.digest:
        _write(path, text_of(fresh._replace(fetched=head.fetched), content))
        return SAME
    _write(task.path(is_new=True), text_of(fresh, content))
    return NEW


def _known(task: Task) -> tuple[str, Head | None]:
    """The newest copy: one that waits to be tried, or else the one that counts."""
    for is_new in (True, False):
        head = head_of(task.path(is_new))
        if head is not None and head.source == task.source:
            return task.path(is_new), head
    return task.path(), None


def _read(task: Task, page: Page) -> tuple[Head, ListContent]:
    reading = ListReading(
        task.budget or budget_of(memory_of_machine()), task.format, task.categories, task.limits.content
    )
    digest = sha256()
    try:
        content = reading.content(_seen(page.pieces, digest))
    except UnicodeDecodeError:
        raise _Unfit("it is not UTF-8 text") from None
    if content is None:
        where = f"line {reading.line}: " if reading.line and not task.categories else ""
        raise _Unfit(f"{where}{reading.refusal}")
    addresses, names = content.count_addresses(), content.count_names() + len(content.names.others)
    if not addresses + names:
        raise _Unfit("it has no entry that could count")
    if reading.bad > FEW_BAD and 2 * reading.bad > reading.line:
        raise _Unfit(f"{reading.bad} of its {reading.line} lines are no entries: it is something else than a list")
    tags = (page.etag, page.modified)
    told = digest.hexdigest()[:32]
    found = (reading.format, addresses, names, reading.bad, reading.skipped)
    return Head(task.source, *tags, _now(), told, *found), content


def _now() -> int:
    from time import time

    return int(time())


def _seen(pieces: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _write(path: str, pieces: Iterable[bytes]) -> None:
    """Whole or not at all, and never an earlier half. Raises OSError."""
    folder = os.path.dirname(path)
    make_folder(folder, 0o700)
    temporary = path + HALF
    remove(temporary)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                write_all(handle, piece)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            remove(temporary)
        raise
    sync_folder(folder)
