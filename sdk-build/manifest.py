"""Decide which files a package installs, from the list in `sdk-build/manifest`.

Reads the repository, writes nothing. Needs the standard library of Python 3.8 and nothing
of ours: the OpenWrt build system runs it with the Python of the build machine.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = Path(__file__).resolve().parent / "manifest"


class ManifestError(Exception):
    """A line of the manifest that cannot be followed: file, line, what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One thing on the router. Exactly one of `source`, `text`, `folder` says what it is."""

    path: str  # absolute, on the router
    mode: int
    source: Path | None = None  # a file to copy
    text: str | None = None  # a file made here
    folder: bool = False
    conf: bool = False  # the administrator owns it: kept on upgrade and removal

    def read(self) -> bytes:
        """The content of a file entry."""
        if self.source is None:
            return (self.text or "").encode()
        return self.source.read_bytes()


def read_variable(path: Path, name: str) -> str:
    """The value of `NAME:=value` in a make file, continuation lines joined by one blank.

    Raises ManifestError when it is not there: a package without a title is a mistake.
    """
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(name)}:=((?:.*\\\n)*.*)$", text, re.MULTILINE)
    if found is None:
        raise ManifestError(f"{path}: {name}:= is missing")
    return " ".join(found.group(1).replace("\\\n", " ").split())


def version(root: Path = ROOT) -> str:
    """`0.1.0-r1`: the version of the Python package and the release of its packaging."""
    text = (root / "netpolicy/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([0-9][0-9a-z.]*)"$', text, re.MULTILINE)
    if found is None:
        raise ManifestError("netpolicy/__init__.py: no __version__ that a package can carry")
    return f"{found.group(1)}-r{read_variable(root / 'sdk-build/package.mk', 'NETPOLICY_RELEASE')}"


def load(package: str, root: Path = ROOT, manifest: Path = MANIFEST) -> list[Entry]:
    """The entries of a package, sorted by path. Raises ManifestError."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#") or fields[0] != package:
            continue
        try:
            _follow(entries, fields[1:], root)
        except (ManifestError, ValueError) as error:
            raise ManifestError(f"{manifest.name}:{number}: {error}") from error
    if not entries:
        raise ManifestError(f"{manifest.name}: no package {package!r}")
    return [entries[path] for path in sorted(entries)]


def _follow(entries: dict[str, Entry], fields: list[str], root: Path) -> None:
    if fields[0] == "-":
        _take_away(entries, fields[1], root)
        return
    if len(fields) not in (3, 4) or fields[3:] not in ([], ["conf"]):
        raise ManifestError("expected: package mode source destination [conf]")
    mode, source, destination = int(fields[0], 8), fields[1], fields[2]
    for entry in _expand(mode, source, destination, root, conf=bool(fields[3:])):
        if entry.path in entries:
            raise ManifestError(f"{entry.path} is already there by an earlier line")
        entries[entry.path] = entry


def _expand(mode: int, source: str, destination: str, root: Path, *, conf: bool) -> list[Entry]:
    if source == "@release":
        return [Entry(destination, mode, text=version(root) + "\n")]
    if source == "@folder":
        return [Entry(destination, mode, folder=True)]
    entries = []
    for path in _match(source, root):
        below = path.relative_to(root / _fixed_part(source)).as_posix()
        target = destination + below if destination.endswith("/") else destination
        entries.append(Entry(target, mode, source=path, conf=conf))
    if not entries:
        raise ManifestError(f"{source} matches nothing")
    return entries


def _take_away(entries: dict[str, Entry], pattern: str, root: Path) -> None:
    gone = set(_match(pattern, root))
    for path in [path for path, entry in entries.items() if entry.source in gone]:
        del entries[path]


def _fixed_part(pattern: str) -> str:
    """The folders before the first wildcard; for a plain path the folder it lies in."""
    parts = pattern.split("/")
    wild = next((i for i, part in enumerate(parts) if "*" in part), len(parts) - 1)
    return "/".join(parts[:wild])


def _match(pattern: str, root: Path) -> list[Path]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*\*|\*)", pattern)
    shape = re.compile("".join(words.get(part) or re.escape(part) for part in parts))
    found = []
    for folder, folders, names in os.walk(root / _fixed_part(pattern)):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            if _is_leftover(name) or not shape.fullmatch(path.relative_to(root).as_posix()):
                continue
            if path.is_symlink():
                raise ManifestError(f"{path.relative_to(root)} is a symbolic link")
            found.append(path)
    return sorted(found)


def _is_leftover(name: str) -> bool:
    """Editors' backups and swap files do not belong on a router."""
    return name.startswith(".") or name.endswith(("~", ".orig", ".rej", ".pyc"))
