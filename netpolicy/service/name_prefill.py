"""Asks the router's own resolver for the names that rules spell out, so that their sets are not empty at first.

Never asks for more than some hundred names, nor for more than some in a second; believes only an answer to its own
question. Names with wildcards are not known until somebody asks for them. Protocol: RFC 1035.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping

from netpolicy.core.address import parse_address
from netpolicy.core.domain import EXACT, SUFFIX
from netpolicy.core.field_kind import Field
from netpolicy.core.field_name import Domains
from netpolicy.core.value import ValueProblem
from netpolicy.dataplane.learned_sets import LONGEST_SECONDS
from netpolicy.flows import dns_message, dns_wire
from netpolicy.flows.dns_wire import AAAA, A
from netpolicy.flows.names import Refused
from netpolicy.service.name_index import few_patterns

MOST_NAMES = 300
PAUSE_SECONDS = 0.1  # between two questions
ANSWER_SECONDS = 3.0
# As the sets have it; asked again a while before that is over.
SHORTEST_SECONDS, EARLIER = 300.0, 0.8
# After no answer: the line may be down.
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 30.0, 3600.0
LONGEST_ANSWER = 4096

RESOLVERS = "/etc/resolv.conf"
PORT = 53

Tell = Callable[[str, Iterable[tuple[bytes, float]]], None]


def plain_names(fields: Mapping[str, Field]) -> tuple[str, ...]:
    """The names in the fields that can be asked for as they stand, a bounded number."""
    found: dict[str, None] = {}
    for field in fields.values():
        for word in _words(field):
            if "." in word and len(found) < MOST_NAMES:
                found[word] = None
    return tuple(found)


def _words(field: Field) -> list[str]:
    patterns = few_patterns(field)
    if patterns is not None:
        return [one.word for one in patterns if one.kind in (SUFFIX, EXACT)]
    if not isinstance(field, Domains):
        return []
    found: list[str] = []
    for part in field.wanted.parts():
        for words in (part.suffix, part.exact):
            if len(words) <= MOST_NAMES:  # of a long list, which would be asked for?
                found += sorted(words)
    return [word for word in found if field.matches(word)]


def resolver(path: str = RESOLVERS) -> str:
    """The first name server of the system, "" where there is none."""
    with contextlib.suppress(OSError, ValueProblem), open(path, encoding="ascii", errors="replace") as file:
        for line in file.read(65536).split("\n"):
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1:
                parse_address(words[1].partition("%")[0])
                return words[1]
    return ""


class Prefill:
    """One daemon's. `tell` takes a name with its addresses (16 bytes, IPv4 mapped) and seconds."""

    def __init__(
        self, tell: Tell, server: Callable[[], str] = resolver, port: int = PORT, pause: float = PAUSE_SECONDS
    ) -> None:
        self._tell = tell
        self._server = server
        self._port = port
        self._pause = pause
        self._names: frozenset[str] = frozenset()
        self._due: list[tuple[float, str]] = []
        self._retry: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self.counters = {"asked": 0, "answered": 0}

    def follow(self, fields: Mapping[str, Field]) -> None:
        """These fields are asked by rules from now on."""
        names = plain_names(fields)
        now = time.monotonic()
        new = [name for name in names if name not in self._names]
        self._names = frozenset(names)
        self._due = [one for one in self._due if one[1] in self._names] + [(now, name) for name in new]
        heapq.heapify(self._due)
        self._retry = {name: seconds for name, seconds in self._retry.items() if name in self._names}
        if new or self._task is None:
            self._begin_again()

    def woke(self, seconds: float) -> None:
        """The machine slept: answers grew older, and the clock that their time is kept by stood still."""
        self._due = [(when - seconds, name) for when, name in self._due]
        self._begin_again()

    async def close(self) -> None:
        """Ends."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _begin_again(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._due:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        # Until Python 3.12 wait_for() may swallow that it was cancelled.
        while self._due and self._task is asyncio.current_task():
            wait = self._due[0][0] - time.monotonic()
            await asyncio.sleep(max(wait, self._pause))
            _, name = self._due[0]  # taken out when it is done: a cancelled question is asked again
            seconds = await self._ask(name)
            if self._due and self._due[0][1] == name:
                heapq.heappop(self._due)
            if name in self._names:
                heapq.heappush(self._due, (time.monotonic() + seconds, name))

    async def _ask(self, name: str) -> float:
        """After how many seconds it is to be asked for again."""
        server = self._server()
        found: list[tuple[bytes, float]] = []
        is_answered = False
        for kind in (A, AAAA):
            self.counters["asked"] += 1
            addresses = await self._addresses(server, name, kind) if server else None
            if addresses is None:
                continue
            is_answered = True
            self.counters["answered"] += 1
            found += [(address, float(seconds)) for address, seconds in addresses]
        if not is_answered:
            wait = self._retry.get(name, FIRST_RETRY_SECONDS)
            self._retry[name] = min(wait * 2, LAST_RETRY_SECONDS)
            return wait
        self._retry.pop(name, None)
        if found:
            self._tell(name, found)
        shortest = min([seconds for _, seconds in found], default=SHORTEST_SECONDS)
        return min(max(shortest, SHORTEST_SECONDS), float(LONGEST_SECONDS)) * EARLIER

    async def _addresses(self, server: str, name: str, kind: int) -> tuple[tuple[bytes, int], ...] | None:
        """What the server says, None where it says nothing of use."""
        question = query(os.urandom(2), name, kind)
        try:
            answer = await asyncio.wait_for(self._exchange(server, question), ANSWER_SECONDS)
            message = dns_wire.parse(answer)
            if answer[:2] != question[:2] or message.kind != kind or dns_wire.text_of(message.name) != name:
                return None
            return dns_message.proof(message).addresses
        except (OSError, asyncio.TimeoutError, Refused):
            return None

    async def _exchange(self, server: str, question: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        # A socket for each question: the kernel chooses its port anew, and takes packets of that server alone.
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as handle:
            handle.connect((server, self._port))
            await loop.sock_sendall(handle, question)
            return await loop.sock_recv(handle, LONGEST_ANSWER)


def query(identifier: bytes, name: str, kind: int) -> bytes:
    """A question with the wish for recursion."""
    labels = b"".join([bytes((len(label),)) + label.encode("ascii") for label in name.split(".")])
    return identifier + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
