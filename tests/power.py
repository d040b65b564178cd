"""Power cuts and killed processes for whatever writes files: every step of it, found by running it.

Two models. `deaths`: the process ends at its k-th call that changes files (nothing of that call is done, or of a write
the half). `cuts`: the power goes after the k-th call; what no fsync had asked for is lost or half there, and names are
where the last fsync of their folder left them, or already further.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# There an fsync costs nothing, and the models do not need a disk for what they show.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

CALLS = (
    "open", "write", "fsync", "fchmod", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "truncate",
    "ftruncate",
)  # fmt: skip
DIED = 77

Files = dict[int, bytes]  # by their number
Folders = dict[int, dict[str, int]]


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder for thousands of small writes, gone afterwards."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


def deaths(prepare: Callable[[Path], object], act: Callable[[Path], object], folder: Path) -> Iterator[Path]:
    """A copy of the prepared folder for each way in which `act` may die in it; the last one is where it did not."""
    for is_half in (False, True):
        number = 0
        while True:
            number += 1
            place = folder / f"{'half' if is_half else 'none'}{number}"
            place.mkdir()
            prepare(place)
            died = _died(lambda place=place: act(place), number, is_half)
            yield place
            shutil.rmtree(place)
            if not died:
                break
        assert number > 3, "this changes no files"


def _died(act: Callable[[], object], number: int, is_half: bool) -> bool:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with watched(_Killer(number, is_half)):
                act()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, DIED), "the action failed by itself"
    return status == DIED


class _Killer:
    def __init__(self, number: int, is_half: bool) -> None:
        self.left = number
        self.is_half = is_half

    def before(self, name: str, real: Any, arguments: tuple[Any, ...]) -> None:
        if name == "open" and not arguments[1] & os.O_CREAT:
            return
        self.left -= 1
        if self.left == 0:
            if self.is_half and name == "write":
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            os._exit(DIED)

    def after(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Nothing: it is dead, or goes on."""


@contextmanager
def watched(observer: Any) -> Iterator[None]:
    """Every call of this process that changes files goes by the observer's `before` and `after`."""
    real = {name: getattr(os, name) for name in CALLS}

    def wrapper(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **words: Any) -> Any:
            observer.before(name, real[name], arguments)
            result = real[name](*arguments, **words)
            observer.after(name, arguments, result)
            return result

        return call

    for name in CALLS:
        setattr(os, name, wrapper(name))
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


class Disk:
    """What was written to a folder, and what of it a power cut would leave. A file is known by its number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder.stat().st_ino
        self.content, self.names = self._now()  # as of the last fsync
        self.cuts: list[tuple[Files, Folders, Files, Folders]] = []
        self.faults: list[str] = []
        self._folders_ever: set[int] = set()
        self._see_all()

    def before(self, name: str, real: Any, arguments: tuple[Any, ...]) -> None:
        """A file must be on the disk before it gets the name by which it will be found."""
        if name in ("rename", "replace", "link"):
            source = Path(arguments[0])
            inside = [source, *source.rglob("*")] if source.is_dir() and not source.is_symlink() else [source]
            files, folders = self._now()
            for path in inside:
                number = path.lstat().st_ino
                if number in files and self.content.get(number) != files[number]:
                    self.faults.append(f"{name} of {path.name} before its content was synced")
                if number in folders and self.names.get(number) != folders[number]:
                    self.faults.append(f"{name} of the folder {path.name} before its names were synced")

    def after(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        if name == "fsync":
            number = os.fstat(arguments[0]).st_ino
            files, folders = self._now()
            if number in files:
                self.content[number] = files[number]
            if number in folders:
                self.names[number] = folders[number]
        self._see_all()

    def unsynced(self) -> list[str]:
        """Names that a power cut could still undo; empty after an operation that promises to last."""
        files, folders = self._now()
        names = [f"folder {number}" for number in folders if self.names.get(number) != folders[number]]
        return names + [f"file {number}" for number in files if self.content.get(number) != files[number]]

    def worlds(self, where: Path) -> Iterator[Path]:
        """Each state in which the disk may be found."""
        for index, (content, names, files, folders) in enumerate(self.cuts):
            states = [
                ("lost", content, names),  # nothing but what was asked for
                ("names", content, folders),  # the names are ahead of the content
                ("half", {n: _half(content.get(n, b""), data, False) for n, data in files.items()}, folders),
                ("tail", {n: _half(content.get(n, b""), data, True) for n, data in files.items()}, folders),
                ("all", files, folders),
            ]
            for number in folders:  # one folder is ahead of the others, or behind them
                if names.get(number) != folders[number]:
                    states.append((f"ahead{number}", {**content, **files}, {**names, number: folders[number]}))
                    behind = {**folders, number: names.get(number, {})}
                    states.append((f"behind{number}", {**content, **files}, behind))
            for kind, data, tree in states:
                place = where / f"{index}-{kind}"
                self._build(place, self.root, data, tree, {})
                yield place
                shutil.rmtree(place)

    def _build(self, place: Path, number: int, data: Files, tree: Folders, made: dict[int, Path]) -> None:
        place.mkdir()
        for name, inode in tree.get(number, {}).items():
            if inode in tree or inode in self._folders_ever:
                self._build(place / name, inode, data, tree, made)
            elif inode in made:
                os.link(made[inode], place / name)
            else:
                (place / name).write_bytes(data.get(inode, b""))
                made[inode] = place / name

    def _see_all(self) -> None:
        files, folders = self._now()
        self._folders_ever |= set(folders)
        self.cuts.append((dict(self.content), dict(self.names), files, folders))

    def _now(self) -> tuple[Files, Folders]:
        files: Files = {}
        folders: Folders = {}
        for path in [self.folder, *self.folder.rglob("*")]:
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                folders[found.st_ino] = {one.name: one.lstat().st_ino for one in path.iterdir()}
            else:
                files[found.st_ino] = path.read_bytes()
        return files, folders


def _half(old: bytes, new: bytes, is_later: bool) -> bytes:
    """A file that grew: its new size, and zeros where the data did not arrive."""
    if old == new:
        return new
    if new.startswith(old) and len(new) > len(old):
        middle = (len(new) - len(old)) // 2
        gap = bytes(len(new) - len(old) - middle)
        return old + gap + new[len(old) + len(gap) :] if is_later else new[: len(old) + middle] + gap
    return new[: len(new) // 2]


def every_world(prepare: Callable[[Path], object], act: Callable[[Path], object], folder: Path) -> Iterator[Path]:
    """The folder as a power cut at any moment of `act` may leave it; asserts that the order of the calls is right."""
    live, dead = folder / "live", folder / "dead"
    live.mkdir()
    dead.mkdir()
    prepare(live)
    disk = Disk(live)
    with watched(disk):
        act(live)
    assert not disk.faults, disk.faults
    assert not disk.unsynced(), disk.unsynced()
    yield from disk.worlds(dead)
