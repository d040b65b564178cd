"""Fuzzed: the BPF objects as the loader reads them, and the events and entries that the program writes.

An object is too large to be an input; an input is a list of changes to the real one, at the places that matter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from netpolicy.flows.ebpf import elf, entries, layout, sweep
from netpolicy.flows.ebpf.loading import FILES, FOLDER
from netpolicy.flows.ebpf.sweep import Patience

CHANGE = struct.Struct(">BHB")  # which place, how far behind it, what to put there
NOW = 10**15
OBJECTS = {order: Path(FOLDER, name).read_bytes() for order, name in FILES.items()}


class Broken(Exception):
    """What was read cannot be."""


def _places(data: bytes, order: str) -> tuple[int, ...]:
    """The file's header, the table of sections, and every section but the code."""
    mark = "<" if order == "little" else ">"
    (table,) = struct.unpack_from(mark + "Q", data, 40)
    count = struct.unpack_from(mark + "H", data, 60)[0]
    heads = [struct.unpack_from(mark + "IIQQQQIIQQ", data, table + index * 64) for index in range(count)]
    return 0, table, *[head[4] for head in heads if head[1] and not head[2] & elf.EXECUTABLE]


PLACES = {order: _places(data, order) for order, data in OBJECTS.items()}


def changed_object(data: bytes) -> None:
    """The first byte chooses the object; then changes of four bytes each."""
    order = tuple(FILES)[data[0] & 1] if data else "little"
    content, places = bytearray(OBJECTS[order]), PLACES[order]
    for which, behind, value in CHANGE.iter_unpack(data[1 : 1 + (len(data) - 1) // 4 * 4] if data else b""):
        at = places[which % len(places)] + behind
        if at < len(content):
            content[at] = value
    _read(bytes(content[: None if len(data) % 4 else len(content) * (data[-1] if data else 0) // 255]), order)


def raw_object(data: bytes) -> None:
    """Bytes as a file."""
    for order in FILES:
        _read(data, order)


def _read(content: bytes, order: str) -> None:
    try:
        found = elf.parse(content, order)
    except elf.BadObject as problem:
        if not str(problem):
            raise Broken("refused without a word") from None
        return
    numbers = dict.fromkeys(elf.NUMBERS, 1)
    for program in found.programs.values():
        code = program.linked(dict.fromkeys(found.maps, 9), numbers, order)
        if len(code) != len(program.code):
            raise Broken("linking changed the length")


def events(data: bytes) -> None:
    """An event of the ring; and as much of it as there is as an entry of the map, which is always whole."""
    told: list[object] = []
    entries.telling(told.append, told.append, lambda: told.append(None))(data)
    if len(told) != 1:
        raise Broken("an event that is not told once")
    piece, over = entries.payload(data), entries.over(data)
    if piece is not None and len(piece.data) > len(data) - layout.EVENT_SIZE:
        raise Broken("payload that is not there")
    if over is not None and not (over.final and over.first >= 0):
        raise Broken("an end that is none")
    entry = data.ljust(layout.KEY_SIZE + layout.FLOW_SIZE, b"\0")[: layout.KEY_SIZE + layout.FLOW_SIZE]
    key, flow = entry[: layout.KEY_SIZE], entry[layout.KEY_SIZE :]
    entries.measured(key, flow, NOW, False)
    sweep.judge(key, flow, NOW, 10**9, Patience())


def _event(kind: int, body: bytes) -> bytes:
    return struct.pack("=QHHIII", NOW, kind, len(body), 3, 0, 1) + bytes(range(40)) + body


OBJECT_TARGETS: dict[str, Callable[[bytes], object]] = {
    "bpf-object": changed_object,
    "bpf-object-raw": raw_object,
    "bpf-events": events,
}

CORPORA: dict[str, tuple[bytes, ...]] = {
    "bpf-object": tuple(
        bytes((order,)) + b"".join(CHANGE.pack(which, behind, value) for behind in range(0, 60, 7))
        for order in (0, 1)
        for which in range(8)
        for value in (0, 1, 9, 127, 255)
    ),
    "bpf-object-raw": tuple(data[:2000] for data in OBJECTS.values()),
    "bpf-events": tuple(_event(kind, bytes(range(200)) + bytes(100)) for kind in range(10)),
}

WORDS = (
    b"\x7fELF",
    b"\2\1\1",
    b"\2\2\1",
    b"\xf7\0",
    b"\0\xf7",
    struct.pack("<Q", 1 << 62),
    b"\xff\xff\xff\xff",
    b"maps\0",
)


def words() -> tuple[bytes, ...]:
    """What a mutation puts in."""
    return WORDS
