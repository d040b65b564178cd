"""The layouts in Python and those of the C file."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

import pytest

from netpolicy.flows import tls_hello
from netpolicy.flows.ebpf import layout
from netpolicy.flows.ebpf.elf import parse
from netpolicy.flows.ebpf.loading import FILES, FOLDER

SOURCE = (Path(FOLDER) / "npflow.bpf.c").read_text(encoding="ascii")


def test_sizes_are_those_that_the_c_file_asserts() -> None:
    said = {name: int(size) for name, size in re.findall(r"_Static_assert\(sizeof\(struct (\w+)\) == (\d+)", SOURCE)}
    assert said == {
        "key": layout.KEY.size,
        "side": struct.calcsize("=" + layout.SIDE),
        "flow": layout.FLOW.size,
        "event": layout.EVENT.size,
        "told": struct.calcsize("=" + layout.TOLD),
        "over": layout.OVER.size - layout.EVENT_SIZE,
        "hello": tls_hello.TOLD.size,
        "stats": layout.STATS.size,
    }
    assert (layout.KEY_SIZE, layout.SIDE_SIZE, layout.FLOW_SIZE, layout.EVENT_SIZE) == (40, 64, 168, 64)


def test_the_maps_of_the_object_have_these_sizes() -> None:
    found = parse((Path(FOLDER) / FILES["little"]).read_bytes(), "little").maps
    assert {name: (one.key, one.value) for name, one in found.items()} == layout.MAPS


@pytest.mark.parametrize(
    ("prefix", "constants"),
    [
        ("SEND_", ("TLS", "HTTP", "DNS_ANSWERS", "DNS_QUERIES", "QUIC", "OVER")),
        ("SIDE_", ("SYN", "FIN", "RST", "DATA", "OPENER", "ANSWERED", "TOLD", "LOST")),
        ("FLOW_", ("MID",)),
        ("EVENT_", ("DNS_ANSWER", "OVER", "DNS_ANSWERING")),
    ],
)
def test_numbers_are_those_of_the_c_file(prefix: str, constants: tuple[str, ...]) -> None:
    for name in constants:
        said = re.search(rf"#define {prefix}{name} (\S+)", SOURCE)
        assert said and int(said.group(1), 0) == getattr(layout, prefix + name)


def test_states_have_the_numbers_of_the_c_file() -> None:
    said = sorted(re.findall(r"#define STATE_(\w+) (\d)", SOURCE), key=lambda one: one[1])
    assert tuple(name.lower() for name, _ in said) == layout.STATES


def test_counters_stand_in_the_order_of_the_c_file() -> None:
    body = SOURCE.split("struct stats {")[1].split("};")[0]
    assert tuple(re.findall(r"(\w+)[,;]", re.sub(r"/\*.*?\*/", "", body))) == (*layout.COUNTERS, "bounce")


def test_places_inside_a_side_are_those_of_the_c_file() -> None:
    """A value that is only in one field of the C structure, for every field that is read."""
    body = SOURCE.split("struct side {")[1].split("};")[0]
    sizes = {"u64": 8, "u32": 4, "u16": 2, "u8": 1}
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for kind, names in re.findall(r"(u\d+) ([\w, ]+);", re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)):
        for name in names.split(", "):
            places[name] = (at, sizes[kind])
            at += sizes[kind]
    read = [
        "bytes",
        "packets",
        "retransmits",
        "srtt8",
        "handshake",
        "last",
        "flags",
        "syns",
        "resets",
        "ttl",
        "ttl_reset",
    ]
    for index, name in enumerate(read):
        place, size = places[name]
        side = bytearray(layout.SIDE_SIZE)
        side[place : place + size] = (1).to_bytes(size, sys.byteorder)
        assert [int(value == 1) for value in struct.unpack("=" + layout.SIDE, side)] == [
            int(other == index) for other in range(len(read))
        ], name
    assert (places["last"][0], places["flags"][0]) == (layout.LAST, layout.FLAGS)


def test_what_seems_to_lie_ahead_has_just_been() -> None:
    assert layout.age(5, 3 << 20) == 0
    assert layout.age(layout.WORD, 2 << 20) == 3
