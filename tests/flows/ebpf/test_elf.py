"""The two committed objects, on whatever machine this runs; and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from netpolicy.flows.ebpf import elf
from netpolicy.flows.ebpf.elf import BadObject, parse
from netpolicy.flows.ebpf.loading import FILES, FOLDER

ORDERS = tuple(FILES)


def read(order: str) -> bytearray:
    return bytearray((Path(FOLDER) / FILES[order]).read_bytes())


class Layout:
    """Where things stand in a real object, so that one of them can be broken."""

    def __init__(self, data: bytearray, order: str) -> None:
        self.data = data
        self.mark = "<" if order == "little" else ">"
        (self.table,) = struct.unpack_from(self.mark + "Q", data, 40)
        self.count, self.names = struct.unpack_from(self.mark + "HH", data, 60)

    def header(self, name: str) -> int:
        """The place of a section's header."""
        texts = self.field(self.table + self.names * 64, 24)
        for index in range(self.count):
            place = self.table + index * 64
            start = texts + struct.unpack_from(self.mark + "I", self.data, place)[0]
            if bytes(self.data[start : self.data.index(0, start)]).decode() == name:
                return int(place)
        raise KeyError(name)

    def field(self, place: int, offset: int) -> int:
        return int(struct.unpack_from(self.mark + "Q", self.data, place + offset)[0])

    def content(self, name: str) -> int:
        return self.field(self.header(name), 24)

    def write(self, place: int, form: str, *values: int) -> None:
        struct.pack_into(self.mark + form, self.data, place, *values)


@pytest.fixture(params=ORDERS)
def layout(request: pytest.FixtureRequest) -> Layout:
    return Layout(read(request.param), request.param)


def order_of(layout: Layout) -> str:
    return "little" if layout.mark == "<" else "big"


def refused(layout: Layout) -> str:
    with pytest.raises(BadObject) as caught:
        parse(bytes(layout.data), order_of(layout))
    return str(caught.value)


@pytest.mark.parametrize("order", ORDERS)
def test_both_objects_say_the_same(order: str) -> None:
    found = parse(bytes(read(order)), order)
    other = parse(bytes(read(ORDERS[0])), ORDERS[0])
    assert found.maps == other.maps
    assert set(found.programs) == {"tc/up", "tc/down"}
    assert found.terms == b"Dual MIT/GPL\0"
    for program in found.programs.values():
        assert {wanted for _, wanted in program.uses} == set(found.maps)
        assert {wanted for _, wanted in program.asks} == {"ethernet", "coarse"}


@pytest.mark.parametrize("order", ORDERS)
def test_an_object_is_refused_on_machines_of_the_other_byte_order(order: str) -> None:
    (other,) = {*ORDERS} - {order}
    with pytest.raises(BadObject, match=f"{other}-endian"):
        parse(bytes(read(order)), other)


@pytest.mark.parametrize("order", ORDERS)
def test_descriptors_are_put_into_the_instructions_that_want_them(order: str) -> None:
    found = parse(bytes(read(order)), order)
    program = found.programs["tc/up"]
    descriptors = {name: 1000 + number for number, name in enumerate(found.maps)}
    code = program.linked(descriptors, {"ethernet": 1, "coarse": 7}, order)
    changed = {at // 8 * 8 for at in range(len(code)) if code[at] != program.code[at]}
    assert changed == {offset for offset, _ in (*program.uses, *program.asks)}
    mark = "<" if order == "little" else ">"
    for offset, name in program.uses:
        assert struct.unpack_from(mark + "i", code, offset + 4)[0] == descriptors[name]
        source = code[offset + 1] >> 4 if order == "little" else code[offset + 1] & 15
        target = code[offset + 1] & 15 if order == "little" else code[offset + 1] >> 4
        assert source == 1 and target <= 9  # a map's descriptor, into a register that may be written
    for offset, name in program.asks:
        assert struct.unpack_from(mark + "i", code, offset + 4)[0] == (1 if name == "ethernet" else 7)
        assert code[offset + 1] == program.code[offset + 1]


def test_a_call_of_another_function_is_refused(layout: Layout) -> None:
    place = layout.content(".reltc/up")
    info = struct.unpack_from(layout.mark + "Q", layout.data, place + 8)[0]
    layout.write(place + 8, "Q", info & ~0xFFFFFFFF | 10)  # R_BPF_64_32
    assert "kind 10" in refused(layout)


def test_a_reference_to_anything_but_a_map_is_refused(layout: Layout) -> None:
    """As .rodata, .data and .bss would be: the code would load, and read somewhere."""
    layout.write(layout.content(".reltc/up") + 8, "Q", 1 << 32 | 1)
    assert "which is no map" in refused(layout)


def test_a_reference_to_something_that_is_defined_nowhere_is_refused(layout: Layout) -> None:
    place = bytes(layout.data).rindex(b"\0ethernet\0") + 1
    layout.data[place : place + 8] = b"etherneT"
    assert "'etherneT'" in refused(layout)


def test_a_reference_where_no_wide_instruction_is_is_refused(layout: Layout) -> None:
    place = layout.content(".reltc/up")
    offset = layout.field(place, 0)
    layout.data[layout.content("tc/up") + offset] = 0x85
    assert "where no instruction could take it" in refused(layout)
    layout.data[layout.content("tc/up") + offset] = 0x18
    layout.write(place, "Q", offset + 4)
    assert "where no instruction could take it" in refused(layout)
    layout.write(place, "Q", 1 << 40)
    assert "where no instruction could take it" in refused(layout)


def test_relocations_of_another_kind_are_refused(layout: Layout) -> None:
    layout.write(layout.header(".reltc/up") + 4, "I", 4)  # RELA
    assert "unknown kind" in refused(layout)


def test_maps_of_another_form_are_refused(layout: Layout) -> None:
    """A newer loader's BTF maps, for instance: 20 bytes or nothing."""
    layout.write(layout.header("maps") + 32, "Q", 60)
    assert "inside its section" in refused(layout)


def test_a_program_of_half_an_instruction_is_refused(layout: Layout) -> None:
    layout.write(layout.header("tc/up") + 32, "Q", 4)
    assert "has 4 bytes" in refused(layout)


@pytest.mark.parametrize("section", ["maps", "license", "tc/up", ".symtab"])
def test_a_section_beyond_the_end_is_refused(section: str, layout: Layout) -> None:
    layout.write(layout.header(section) + 24, "Q", 1 << 62)
    assert "beyond the end" in refused(layout)


@pytest.mark.parametrize("place", [1 << 40, (1 << 64) - 8])
def test_a_table_of_sections_that_lies_nowhere_is_refused(place: int, layout: Layout) -> None:
    layout.write(40, "Q", place)
    assert "behind its end" in refused(layout)


def test_other_machines_and_kinds_of_files_are_refused(layout: Layout) -> None:
    layout.write(18, "H", 62)
    assert "BPF" in refused(layout)
    layout.data[:4] = b"\x7fELG"
    assert "no 64-bit ELF" in refused(layout)
    layout.data[:] = bytes(elf.LARGEST_FILE + 1)
    assert "larger" in refused(layout)


def test_every_beginning_of_an_object_is_refused(layout: Layout) -> None:
    whole = bytes(layout.data)
    for end in [*range(200), *range(200, len(whole), 331)]:
        with pytest.raises(BadObject):
            parse(whole[:end], order_of(layout))
