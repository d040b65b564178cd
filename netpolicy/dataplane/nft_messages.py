"""nf_tables messages: changes to sets as one batch, questions about them, and the answers.

Pure: bytes out, values in; never does I/O and never checks what only the kernel knows. Reads strictly (`Malformed`).
Format: <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>; always of family inet.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import nft_element as element_format
from netpolicy.dataplane.nft_element import BE32, Element, Malformed

INET = 1  # NFPROTO_INET
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
BATCH_BEGIN, BATCH_END = 16, 17  # NFNL_MSG_BATCH_*
BATCH_GENID = 1

# NFT_MSG_*, with the subsystem in the upper byte
NEW_CHAIN, GET_CHAIN = 0xA03, 0xA04
NEW_SET, GET_SET, DEL_SET = 0xA09, 0xA0A, 0xA0B
NEW_ELEMENTS, GET_ELEMENTS, DEL_ELEMENTS = 0xA0C, 0xA0D, 0xA0E
NEW_GENERATION, GET_GENERATION = 0xA0F, 0xA10

GENERATION_ID = 1  # NFTA_GEN_ID
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
SET_TABLE, SET_NAME, SET_FLAGS, SET_KEY_LENGTH, SET_DATA_LENGTH = 1, 2, 3, 5, 7  # NFTA_SET_*
CHAIN_TABLE, CHAIN_NAME = 1, 3  # NFTA_CHAIN_*

NFGENMSG = struct.Struct(">BBH")  # family, version, resource
HEADER = NFGENMSG.pack(INET, 0, 0)

# The length of an attribute has 16 bits; less, because the kernel quotes the place of an error in it.
LIST_BYTES = 0xF000
LONGEST_NAME = 127  # NFT_NAME_MAXLEN is 256, nft's own limit half of it


class Command(NamedTuple):
    """One message of a batch without its header, and who to name when it is refused."""

    kind: int
    flags: int
    payload: bytes
    change: Change


class Change:
    """One thing to do in a batch. `what` is the words for a refusal."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def what(self) -> str:
        raise NotImplementedError

    def commands(self, table: str) -> Iterator[Command]:
        """The messages that do it. Raises ValueError for what cannot be written."""
        raise NotImplementedError


class AddElements(Change):
    """Elements into a set. One that is there with the same value stays as it is; with another it is refused."""

    __slots__ = ("elements",)

    def __init__(self, set_name: str, elements: Iterable[Element]) -> None:
        super().__init__(set_name)
        self.elements = elements

    @property
    def what(self) -> str:
        return f"add elements to {self.name}"

    def commands(self, table: str) -> Iterator[Command]:
        for payload in _lists(table, self.name, self.elements, element_format.encode):
            yield Command(NEW_ELEMENTS, wire.F_CREATE, payload, self)


class DeleteElements(Change):
    """Elements out of a set, by key (and end); refused where one is not there."""

    __slots__ = ("elements",)

    def __init__(self, set_name: str, elements: Iterable[Element]) -> None:
        super().__init__(set_name)
        self.elements = elements

    @property
    def what(self) -> str:
        return f"delete elements from {self.name}"

    def commands(self, table: str) -> Iterator[Command]:
        for payload in _lists(table, self.name, self.elements, element_format.encode_named):
            yield Command(DEL_ELEMENTS, 0, payload, self)


class FlushSet(Change):
    """All elements out of a set: on an interval map O(n) for each, so only for small ones."""

    __slots__ = ()

    @property
    def what(self) -> str:
        return f"flush {self.name}"

    def commands(self, table: str) -> Iterator[Command]:
        yield Command(DEL_ELEMENTS, 0, _set_head(table, self.name), self)


class DeleteSet(Change):
    """A set or map with its elements; refused while a rule refers to it."""

    __slots__ = ()

    @property
    def what(self) -> str:
        return f"delete set {self.name}"

    def commands(self, table: str) -> Iterator[Command]:
        names = wire.attribute(SET_TABLE, _name(table)) + wire.attribute(SET_NAME, _name(self.name))
        yield Command(DEL_SET, 0, HEADER + names, self)


def batch(commands: list[Command], sequence: int, generation: int | None) -> bytes:
    """One datagram: begin, the commands with the sequences after `sequence`, end. The last command is acknowledged.

    With a generation the kernel refuses (ERESTART) where its ruleset has another one by now.
    """
    begin = NFGENMSG.pack(0, 0, SUBSYSTEM)
    check = b"" if generation is None else wire.attribute(BATCH_GENID, BE32.pack(generation))
    parts = [wire.message(BATCH_BEGIN, wire.F_REQUEST, sequence, begin + check)]
    last = len(commands)
    for number, command in enumerate(commands, 1):
        flags = wire.F_REQUEST | command.flags | (wire.F_ACK if number == last else 0)
        parts.append(wire.message(command.kind, flags, sequence + number, command.payload))
    parts.append(wire.message(BATCH_END, wire.F_REQUEST, sequence + last + 1, begin))
    return b"".join(parts)


def ask_elements(table: str, set_name: str) -> bytes:
    """The body of a GET_ELEMENTS dump."""
    return _set_head(table, set_name)


def ask_element(table: str, set_name: str, element: Element) -> bytes:
    """The body of a GET_ELEMENTS request for the element under a key."""
    return _set_head(table, set_name) + wire.nested(LIST_ELEMENTS, element_format.encode_named(element))


def ask_sets(table: str) -> bytes:
    """The body of a GET_SET dump."""
    return HEADER + wire.attribute(SET_TABLE, _name(table))


def ask_chains() -> bytes:
    """The body of a GET_CHAIN dump: of all tables, the kernel filters by family only."""
    return HEADER


def generation(answers: Iterable[wire.Message]) -> int:
    """The generation in the answers to GET_GENERATION. Raises Malformed."""
    for found in _bodies(answers, NEW_GENERATION):
        if GENERATION_ID in found:
            return element_format.number(found, GENERATION_ID)
    raise Malformed("no generation in the kernel's answer")


def elements(answers: Iterable[wire.Message]) -> Iterator[Element]:
    """The elements in messages of a dump. Raises Malformed."""
    for found in _bodies(answers, NEW_ELEMENTS):
        for kind, body in element_format.entries(found.get(LIST_ELEMENTS, b"")):
            if kind != element_format.LIST_ELEM:
                raise Malformed(f"attribute {kind} in a list of elements")
            yield element_format.decode(body)


def noticed(message: wire.Message) -> tuple[str, list[Element], bool] | None:
    """The set, the elements, and whether they came (or went), of a notification; None for anything else."""
    if message.kind not in (NEW_ELEMENTS, DEL_ELEMENTS):
        return None
    try:
        found = element_format.fields(message.payload[NFGENMSG.size :])
        entries = element_format.entries(found.get(LIST_ELEMENTS, b""))
        held = [element_format.decode(body) for kind, body in entries if kind == element_format.LIST_ELEM]
        return element_format.word(found, LIST_SET), held, message.kind == NEW_ELEMENTS
    except Malformed:
        return None


class SetShape(NamedTuple):
    """How a set was declared: NFT_SET_* flags, bytes of a key, bytes of a value (0 for sets and verdict maps)."""

    flags: int
    key_length: int
    data_length: int


def sets(answers: Iterable[wire.Message], table: str) -> Iterator[tuple[str, SetShape]]:
    """Names and shapes of the table's sets and maps. Raises Malformed."""
    for found in _bodies(answers, NEW_SET):
        if element_format.word(found, SET_TABLE) == table:
            shape = [element_format.number(found, kind) for kind in (SET_FLAGS, SET_KEY_LENGTH, SET_DATA_LENGTH)]
            yield element_format.word(found, SET_NAME), SetShape(*shape)


def chains(answers: Iterable[wire.Message], table: str) -> Iterator[str]:
    """Names of the table's chains. Raises Malformed."""
    for found in _bodies(answers, NEW_CHAIN):
        if element_format.word(found, CHAIN_TABLE) == table:
            yield element_format.word(found, CHAIN_NAME)


def _bodies(answers: Iterable[wire.Message], kind: int) -> Iterator[dict[int, bytes]]:
    for answer in answers:
        if answer.kind != kind:
            raise Malformed(f"a message of type {answer.kind:#x} where {kind:#x} was expected")
        if len(answer.payload) < NFGENMSG.size:
            raise Malformed(f"a message of type {kind:#x} with {len(answer.payload)} bytes")
        yield element_format.fields(answer.payload[NFGENMSG.size :])


def _lists(
    table: str, set_name: str, elements: Iterable[Element], encode: Callable[[Element], bytes]
) -> Iterator[bytes]:
    """The elements in as many message bodies as their lengths need."""
    head = _set_head(table, set_name)
    parts: list[bytes] = []
    size = 0
    for element in elements:
        part = encode(element)
        if size + len(part) > LIST_BYTES:
            yield head + wire.nested(LIST_ELEMENTS, *parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield head + wire.nested(LIST_ELEMENTS, *parts)


def _set_head(table: str, set_name: str) -> bytes:
    return HEADER + wire.attribute(LIST_TABLE, _name(table)) + wire.attribute(LIST_SET, _name(set_name))


def _name(name: str) -> bytes:
    if not name or "\0" in name or len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{name[:LONGEST_NAME]!r} is no name of a kernel object")
    return wire.string(name)
