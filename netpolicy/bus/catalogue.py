"""What an embedded broker knows: clients, objects, signatures, listeners, subscriptions.

Plain records and the finding of them; sends nothing and checks no permission. Numbers are
random like those of ubusd, so that a number from an earlier life never fits by accident.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from .request import matches
from .wire import FIRST_FREE_ID


class Peer:
    """A connected client. `unread` says how many bytes wait for it, `send` hands it more."""

    def __init__(
        self,
        number: int,
        trusted: bool,
        user: str,
        group: str,
        send: Callable[[bytes], None],
        unread: Callable[[], int],
    ) -> None:
        self.number = number
        self.trusted = trusted
        self.user = user
        self.group = group
        self.send = send
        self.unread = unread
        self.objects: list[Entry] = []


class Signature:
    """Methods of one or more objects, as the bytes their client sent."""

    def __init__(self, number: int, raw: bytes) -> None:
        self.number = number
        self.raw = raw
        self.users = 0


class Entry:
    """An object: named, or anonymous to receive events or notifications."""

    def __init__(self, number: int, path: str | None, signature: Signature | None, owner: Peer) -> None:
        self.number = number
        self.path = path
        self.signature = signature
        self.owner = owner
        self.patterns: list[str] = []
        self.subscribers: list[Entry] = []
        self.targets: list[Entry] = []
        self.seq = 0


class Catalogue:
    """All records, by number and by name."""

    def __init__(self) -> None:
        self.peers: dict[int, Peer] = {}
        self.objects: dict[int, Entry] = {}
        self.paths: dict[str, Entry] = {}
        self.signatures: dict[int, Signature] = {}
        self.listeners: list[Entry] = []

    def named(self, pattern: str | None) -> Iterator[Entry]:
        """The objects a lookup means, by name; None means all."""
        if pattern is not None and not pattern.endswith("*"):
            entry = self.paths.get(pattern)
            return iter(() if entry is None else (entry,))
        return (self.paths[path] for path in sorted(self.paths) if pattern is None or matches(pattern, path))

    def hearing(self, event: str) -> Iterator[Entry]:
        """The objects that listen for an event, each once."""
        return (e for e in list(self.listeners) if any(matches(p, event) for p in e.patterns))

    def add(self, owner: Peer, path: str | None, signature: Signature | None) -> Entry:
        """A new object; the name must be free."""
        entry = Entry(free_number(self.objects), path, signature, owner)
        self.objects[entry.number] = entry
        owner.objects.append(entry)
        if path is not None:
            self.paths[path] = entry
        if signature is not None:
            signature.users += 1
        return entry

    def add_signature(self, raw: bytes) -> Signature:
        """A new set of methods."""
        signature = Signature(free_number(self.signatures), raw)
        self.signatures[signature.number] = signature
        return signature

    def remove(self, entry: Entry) -> None:
        """Forget an object; nobody may be subscribed to it, nor it to anybody."""
        self.objects.pop(entry.number, None)
        entry.owner.objects.remove(entry)
        if entry in self.listeners:
            self.listeners.remove(entry)
        if entry.path is not None:
            self.paths.pop(entry.path, None)
        if entry.signature is not None:
            entry.signature.users -= 1
            if not entry.signature.users:
                self.signatures.pop(entry.signature.number, None)


def free_number(taken: dict[int, object] | dict[int, Entry] | dict[int, Signature] | dict[int, Peer]) -> int:
    """A random number that is not reserved and not in use."""
    while True:
        number = int.from_bytes(os.urandom(4), "big")
        if number > FIRST_FREE_ID and number not in taken:
            return number
