"""Which programs of this machine wait for TCP connections, and on which ports.

Never decides which of them matter. From the socket tables and, for the names, the descriptors in /proc of the
processes that may be looked into; a name that cannot be had is "".
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from netpolicy.flows import sockets

PROC = "/proc"
# A program with more descriptors is no server of administration; a proxy with thousands would cost a second.
DESCRIPTOR_LIMIT = 4096
NAME_LIMIT = 15  # TASK_COMM_LEN


@dataclass(frozen=True, slots=True)
class Listener:
    """A program that waits on a port. `address` is "0.0.0.0" or "::" for all of them."""

    address: str
    port: int
    program: str  # "" where it could not be learned


def listeners() -> tuple[Listener, ...]:
    """All of this network namespace, each address and port once. OSError where the kernel tells no sockets."""
    waiting = list(sockets.read(states=(sockets.LISTEN,)))
    names = owners({one.inode for one in waiting if one.inode})
    found = {Listener(one.local, one.local_port, names.get(one.inode, "")) for one in waiting}
    return tuple(sorted(found, key=lambda one: (one.port, one.address, one.program)))


def owners(inodes: Collection[int]) -> dict[int, str]:
    """The name of a process that holds each socket. O(descriptors of the machine), until all are found."""
    missing = set(inodes)
    found: dict[int, str] = {}
    for process in _processes() if missing else ():
        held = missing.intersection(held_by(process))
        if held:
            name = name_of(process)
            found.update((inode, name) for inode in held)
            missing -= held
        if not missing:
            break
    return found


def held_by(process: int) -> Iterator[int]:
    """The inodes of the sockets that a process holds; none where it is gone or not ours to look into."""
    folder = f"{PROC}/{process}/fd"
    try:
        descriptors = os.listdir(folder)[:DESCRIPTOR_LIMIT]
    except OSError:
        return
    for descriptor in descriptors:
        try:
            target = os.readlink(f"{folder}/{descriptor}")
        except OSError:
            continue
        digits = target[len("socket:[") : -1]
        if target.startswith("socket:[") and digits.isascii() and digits.isdigit():
            yield int(digits)


def name_of(process: int) -> str:
    """The program's name as the kernel keeps it, at most 15 characters; "" where the process is gone."""
    try:
        with open(f"{PROC}/{process}/comm", encoding="utf-8", errors="replace") as text:
            return text.read(NAME_LIMIT + 1).rstrip("\n")[:NAME_LIMIT]
    except OSError:
        return ""


def _processes() -> Iterator[int]:
    try:
        entries = os.listdir(PROC)
    except OSError:
        return
    yield from sorted(int(entry) for entry in entries if entry.isascii() and entry.isdigit())
