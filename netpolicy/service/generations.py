"""The confirmed configurations of the past and the one that counts: STORE/generations.

A generation is written under a name that nobody looks at, synced, and renamed: it is whole or it is not there. Which
one counts is one small file, replaced by rename. Never removes the current one, the one before it or a pending one,
and never uses a damaged one: it is named and skipped. One process writes, any may read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping

from netpolicy.observe import durable
from netpolicy.observe.redact import redacted
from netpolicy.service import boot_lock
from netpolicy.service import generation as folders
from netpolicy.service.candidate import Files
from netpolicy.service.generation import Damaged, Generation

FOLDER = "generations"
CURRENT = "current"
LAST = "last"  # the highest number that was ever given: a number that was discarded is not given again
NEW, OLD = ".new-", ".old-"
RECORD = os.path.join("pending", "record")  # the change under way, whose generations stay

KEEP = 20
LIMIT = 2 << 20  # bytes on flash
MOST = 10**8  # numbers beyond it were made up
RECORD_LIMIT = 16 << 10


class Store:
    """The generations in a store. `current` is written by this class and by the guard at boot, nobody else."""

    def __init__(self, path: str) -> None:
        self._record = os.path.join(path, RECORD)
        self._folder = os.path.join(path, FOLDER)
        # Callers have workers, and what one takes for the rest of a dead process may be another's that is just made.
        self._one_at_a_time = threading.Lock()

    # -- reading ---------------------------------------------------------------------------

    def current(self) -> int:
        """The number of what was confirmed last; 0: nothing, or it cannot be read (`findings` tells)."""
        return self._number_in(CURRENT)

    def previous(self) -> int:
        """The number of what was confirmed before that; 0: nothing."""
        current = self.current()
        try:
            parent = self.read(current).parent if current else 0
        except Damaged:
            parent = 0
        before = self._before(current)
        return parent if parent in before else before[0] if before else 0

    def numbers(self) -> tuple[int, ...]:
        """All that are there, ascending, damaged ones too."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return ()
        found = [_number(name) for name in names]
        return tuple(sorted([number for number in found if number and os.path.isdir(self._path(number))]))

    def read(self, number: int) -> Generation:
        """The generation of that number. Raises Damaged, also for one that is not there."""
        if not os.path.isdir(self._path(number)) or os.path.islink(self._path(number)):
            raise Damaged(number, "it is not there")
        return folders.read(self._path(number), number)

    def confirmed(self) -> Generation | None:
        """The one that counts; where it is damaged the newest good one before it. None: there is none."""
        number = self.current()
        for candidate in [number, self.previous(), *self._before(number)]:
            if candidate:
                try:
                    return self.read(candidate)
                except Damaged:
                    continue
        return None

    def damaged(self) -> dict[int, str]:
        """The numbers that cannot be used, and why. Reads everything."""
        found = {}
        for number in self.numbers():
            try:
                self.read(number)
            except Damaged as bad:
                if os.path.isdir(self._path(number)):  # else it was removed meanwhile
                    found[number] = bad.why
        return found

    def findings(self) -> list[str]:
        """What is wrong in the store, in sentences for the administrator."""
        found = [
            f"{self._path(n)}: {why}; it is skipped, remove it when you do not need it"
            for n, why in self.damaged().items()
        ]
        path = os.path.join(self._folder, CURRENT)
        number = self.current()
        if not number and os.path.lexists(path):
            found.append(f"{path} has no number in it: netpolicy reload makes a new one of the configuration file")
        if number and number not in self.numbers():
            found.append(f"{path} names generation {number}, which is not there: an older one is used")
        return found

    def next_number(self) -> int:
        """The number that `prepare` will give."""
        return max([self._number_in(LAST), self.current(), *self.numbers()]) + 1

    def _before(self, number: int) -> list[int]:
        """Those before a number: what ran well first, then the newest; an apply that died may have left others."""
        below = [one for one in self.numbers() if one < number]
        return sorted(below, key=lambda one: (os.path.exists(os.path.join(self._path(one), folders.HEALTHY)), one))[
            ::-1
        ]

    # -- writing ---------------------------------------------------------------------------

    def prepare(self, files: Files, meta: Mapping[str, object]) -> int:
        """A new generation, complete and lasting, that does not count yet; its number. Raises OSError, ValueError.

        The first file is the main one, and whole. What `meta` says is redacted.
        """
        with self._one_at_a_time:
            return self._prepare(files, meta)

    def _prepare(self, files: Files, meta: Mapping[str, object]) -> int:
        durable.make_folder(self._folder, 0o700)
        self._clean()
        number = self.next_number()
        said = redacted(dict(meta))
        assert isinstance(said, dict)
        durable.replace(os.path.join(self._folder, LAST), _text(number))
        temporary = self._path(number, NEW)
        try:
            folders.write(temporary, Generation(number, files, said, self.current()))
            os.rename(temporary, self._path(number))
        except (OSError, ValueError):
            _remove_tree(temporary)
            raise
        durable.sync_folder(self._folder)
        return number

    def commit(self, number: int) -> None:
        """That generation counts from now on, also after a power cut. Raises Damaged, OSError; may be repeated."""
        with self._one_at_a_time:
            self.read(number)
            if self.current() != number:
                durable.replace(os.path.join(self._folder, CURRENT), _text(number))

    def discard(self, number: int) -> None:
        """A prepared one is gone; one that is not there is fine. Raises ValueError for the current one, OSError."""
        with self._one_at_a_time:
            if number == self.current():
                raise ValueError(f"generation {number} is the current one")
            self._remove(number)

    def mark_healthy(self, number: int) -> bool:
        """The router ran well with it; whether that is new. Raises Damaged where it is not there, OSError.

        Waits for nobody: the loop itself calls it.
        """
        if number not in self.numbers():
            raise Damaged(number, "it is not there")
        path = os.path.join(self._path(number), folders.HEALTHY)
        is_new = not os.path.exists(path)
        if is_new:  # flash: once
            durable.replace(path, b"")
        return is_new

    def keep_lock(self, number: int, texts: Mapping[str, str], further: Mapping[str, bytes] | None = None) -> bool:
        """With that generation a boot loads these first; whether it is new. Raises Damaged, OSError, TooLong."""
        with self._one_at_a_time:
            numbers = self.numbers()
            if number not in numbers:
                raise Damaged(number, "it is not there")
            others = [self._path(one) for one in reversed(numbers) if one != number]
            return boot_lock.keep(self._path(number), texts, further, others)

    def lock_text(self, number: int, name: str) -> str:
        """One of what a boot with that generation loads first; "" where there is none."""
        return boot_lock.text(self._path(number), name)

    def prune(self, keep: int = KEEP, limit: int = LIMIT, pending: Collection[int] = ()) -> tuple[int, ...]:
        """Removes the oldest until so many and so many bytes are left; the numbers that went. Raises OSError.

        Never the current one, the one before, `pending` ones, those of the change under way, nor one that is newer
        than the current one: somebody may be about to commit it.
        """
        with self._one_at_a_time:
            return self._prune(keep, limit, pending)

    def _prune(self, keep: int, limit: int, pending: Collection[int]) -> tuple[int, ...]:
        self._clean()
        current = self.current()
        newer = [number for number in self.numbers() if number > current]
        stay = {current, self.previous(), *pending, *newer, *self._under_way()}
        may_boot = {*stay, *self._before(current)[:1]}  # the last: where the guard falls back to
        for number in self.numbers():
            if number not in may_boot:
                boot_lock.keep(self._path(number), {})  # it is as long as the rules
        sizes = {number: self._size(number) for number in self.numbers()}
        gone = []
        for number in sorted(sizes):
            if len(sizes) <= keep and sum(sizes.values()) <= limit:
                break
            if number not in stay:
                self._remove(number)
                del sizes[number]
                gone.append(number)
        return tuple(gone)

    def clean(self) -> None:
        """Removes what a dead process left half made or half removed. Only for who writes. Raises OSError."""
        with self._one_at_a_time:
            self._clean()

    def _clean(self) -> None:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return
        for name in names:
            if name.startswith((NEW, OLD)) or name in (CURRENT + ".tmp", LAST + ".tmp"):
                _remove_tree(os.path.join(self._folder, name))

    def _size(self, number: int) -> int:
        """Without what a boot loads: that has limits of its own, and the history of the rest makes no room for it."""
        path, lock = self._path(number), os.path.join(self._path(number), boot_lock.FOLDER)
        return folders.size_of(path) - (folders.size_of(lock) if os.path.isdir(lock) else 0)

    def _remove(self, number: int) -> None:
        hidden = self._path(number, OLD)
        _remove_tree(hidden)
        try:
            os.rename(self._path(number), hidden)
        except FileNotFoundError:
            return
        durable.sync_folder(self._folder)  # gone as a whole before it is gone in part
        _remove_tree(hidden)
        durable.sync_folder(self._folder)

    def _under_way(self) -> set[int]:
        """The generations that the pending record names."""
        try:
            text = durable.read_plain(self._record, RECORD_LIMIT).decode("ascii", "replace")
        except OSError:
            return set()
        pairs = [line.partition("=") for line in text.splitlines()]
        return {
            int(value) for key, _, value in pairs if key in ("OLD", "NEW") and value.isdecimal() and len(value) < 10
        }

    def _number_in(self, name: str) -> int:
        try:
            text = durable.read_plain(os.path.join(self._folder, name), 16).decode("ascii")
        except (OSError, ValueError):
            return 0
        return _number(text.removesuffix("\n"))

    def _path(self, number: int, prefix: str = "") -> str:
        return os.path.join(self._folder, f"{prefix}{number:06d}")


def _number(name: str) -> int:
    """The number of a name such as 000007; 0 for any other."""
    is_ours = 6 <= len(name) <= 9 and name.isascii() and name.isdecimal()
    number = int(name) if is_ours else 0
    return number if number < MOST and f"{number:06d}" == name else 0


def _text(number: int) -> bytes:
    return f"{number:06d}\n".encode()


def _remove_tree(path: str) -> None:
    """The file or folder is gone, whether or not it was there. shutil would bring megabytes of modules."""
    if not os.path.isdir(path) or os.path.islink(path):
        durable.remove(path)
        return
    for name in os.listdir(path):
        _remove_tree(os.path.join(path, name))
    os.rmdir(path)
