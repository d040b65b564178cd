"""Whether a name is resolved by servers that are asked out of a line, and to which addresses.

Asks name servers beyond the router itself, never through its own cache: that would say nothing of the line.
Never believes an answer to another question. Format: RFC 1035; reading never raises, whatever comes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from netpolicy.outbounds.check_line import (
    FAILED,
    NO_NAME,
    PASSED,
    UNKNOWN,
    WRONG,
    Answer,
    Line,
    Unsendable,
    exchange,
    joined,
    opened,
)

HEADER = struct.Struct("!HHHHHH")  # identifier, flags, and four counts
RESPONSE, RECURSION, CODE = 0x8000, 0x0100, 0x000F
A, AAAA, INTERNET = 1, 28, 1
SIZES = {A: (socket.AF_INET, 4), AAAA: (socket.AF_INET6, 16)}
FAMILY = {A: 4, AAAA: 6}
RECORD = struct.Struct("!HHIH")  # type, class, lifetime, length
RECORD_LIMIT = 64  # records of one answer that are looked at
PORT = 53
SERVERS_ASKED = 3
CODES = {2: "the server failed", 3: "there is no such name", 5: "the server refuses"}


async def dns(line: Line, name: str) -> Answer:
    """Passed when a server of the line gives an address. Waits for ever otherwise: put a limit around it."""
    addresses, words = await _ask_all(line, name, (A, AAAA))
    if addresses:
        return Answer(PASSED, text=f"{name} is {addresses[0]}")
    return Answer(FAILED, WRONG, f"{name}: {words}")


async def resolve(line: Line, name: str) -> tuple[str, ...]:
    """Addresses of the name, in the families of the line. Unsendable where there are none."""
    kinds = tuple(kind for kind, family in FAMILY.items() if family in line.families)
    addresses, words = await _ask_all(line, name, kinds)
    if not addresses:
        # Failing or refusing is what a router without a way out says; that there is no such name may be a typing error.
        state = FAILED if words in (CODES[2], CODES[5]) else UNKNOWN
        raise Unsendable(Answer(state, NO_NAME, f"{name}: {words}"))
    return addresses


def encode(name: str, kind: int, identifier: int) -> bytes:
    """The question for one kind of address. `name` is checked already: labels of 1 to 63 ASCII characters."""
    labels = b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.split("."))
    return HEADER.pack(identifier, RECURSION, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, INTERNET)


def decode(data: bytes, question: bytes) -> tuple[int, tuple[str, ...]] | None:
    """Code and addresses of the answer to this question; None for anything else."""
    if len(data) < len(question):
        return None
    identifier, flags, _, answers, _, _ = HEADER.unpack_from(data)
    asked = data[HEADER.size : len(question)]
    if not flags & RESPONSE or identifier != HEADER.unpack_from(question)[0]:
        return None
    if asked.lower() != question[HEADER.size :].lower():
        return None
    kind = struct.unpack_from("!H", question, len(question) - 4)[0]
    return flags & CODE, tuple(_addresses(data, len(question), min(answers, RECORD_LIMIT), kind))


def _addresses(data: bytes, offset: int, count: int, kind: int) -> list[str]:
    found = []
    family, size = SIZES[kind]
    for _ in range(count):
        offset = _after_name(data, offset)
        if not offset or offset + RECORD.size > len(data):
            break
        of, its_class, _lifetime, length = RECORD.unpack_from(data, offset)
        offset += RECORD.size
        if (of, its_class, length) == (kind, INTERNET, size) and offset + length <= len(data):
            found.append(socket.inet_ntop(family, data[offset : offset + length]))
        offset += length
    return found


def _after_name(data: bytes, offset: int) -> int:
    """Where a name ends; 0 where it does not. A pointer ends it, so nothing can go in circles."""
    while offset < len(data):
        length = data[offset]
        if length >= 0xC0:
            return offset + 2
        if length == 0:
            return offset + 1
        offset += 1 + length
    return 0


async def _ask_all(line: Line, name: str, kinds: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """Every server for every kind at once; the addresses that the first useful answer of each kind has."""
    if not line.name_servers:
        raise Unsendable(Answer(UNKNOWN, NO_NAME, f"no name server beyond this router is known to ask for {name}"))
    servers = line.name_servers[:SERVERS_ASKED]
    found = await asyncio.gather(*(_first_useful(line, servers, name, kind) for kind in kinds))
    addresses = tuple(address for told, _ in found for address in told)
    return addresses, next((words for _, words in found if words), "no address")


async def _first_useful(line: Line, servers: tuple[str, ...], name: str, kind: int) -> tuple[tuple[str, ...], str]:
    """Addresses, or in words what the servers said instead."""
    tasks = [asyncio.ensure_future(_ask(line, server, name, kind)) for server in servers]
    words, refusal = "", None
    try:
        for finished in asyncio.as_completed(tasks):
            try:
                code, addresses = await finished
            except (OSError, Unsendable) as error:
                refusal = error
                continue
            if code == 0:
                return addresses, "" if addresses else "no address"
            words = words or CODES.get(code, f"the server says {code}")
    finally:
        for task in tasks:
            task.cancel()
    if words or refusal is None:
        return (), words
    raise refusal


async def _ask(line: Line, server: str, name: str, kind: int) -> tuple[int, tuple[str, ...]]:
    question = encode(name, kind, int.from_bytes(os.urandom(2), "big"))
    with opened(line, 6 if ":" in server else 4, socket.SOCK_DGRAM) as made:
        joined(line, made, server, PORT)
        return await exchange(made, question, lambda data: decode(data, question))
