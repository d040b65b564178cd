"""Reads the object that clang made of ebpf/npflow.bpf.c: maps, programs, and where programs want something put in.

Pure, and strict: what this program does not need (data sections, calls between functions, other machines) is refused,
because it would load and then do something else. Format: ELF64, System V ABI; relocations: Linux, bpf/llvm_reloc.rst.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from typing import NamedTuple

LARGEST_FILE = 1 << 17
MOST_SECTIONS, MOST_SYMBOLS, MOST_RELOCATIONS, MOST_MAPS = 64, 8192, 1024, 32

MACHINE_BPF, RELOCATABLE, VERSION, SECTION_SIZE = 247, 1, 1, 64
SYMTAB, REL = 2, 9  # section types
EXECUTABLE = 4  # section flag
OBJECT = 1  # symbol type
R_BPF_64_64 = 1
LOAD_WIDE = 0x18  # the instruction of two slots whose number is a map's descriptor
PSEUDO_MAP = 1
INSTRUCTION, WIDE = 8, 16
MAP_SIZE = 20
PROGRAM_PREFIX = "tc/"

# What programs may ask the loader for: symbols that are defined nowhere.
NUMBERS = ("ethernet", "coarse")
UNDEFINED = 0


class BadObject(Exception):
    """The file is not what the loader takes; the text says what is wrong with it."""


class MapShape(NamedTuple):
    """What a map is created with."""

    kind: int
    key: int
    value: int
    entries: int
    flags: int


class Program(NamedTuple):
    """Instructions, and the offsets of those that want the descriptor of a map, or a number, by its name."""

    code: bytes
    uses: tuple[tuple[int, str], ...]
    asks: tuple[tuple[int, str], ...] = ()

    def linked(
        self, descriptors: Mapping[str, int], numbers: Mapping[str, int], order: str = sys.byteorder
    ) -> bytearray:
        """The instructions with what they want in them."""
        code = bytearray(self.code)
        number = struct.Struct("<i" if order == "little" else ">i")
        for offset, name in self.asks:
            number.pack_into(code, offset + 4, numbers[name])
        for offset, name in self.uses:
            # two registers share a byte, and which one has which half depends on the byte order
            registers = code[offset + 1]
            if order == "little":
                code[offset + 1] = registers & 0x0F | PSEUDO_MAP << 4
            else:
                code[offset + 1] = registers & 0xF0 | PSEUDO_MAP
            number.pack_into(code, offset + 4, descriptors[name])
        return code


class Object(NamedTuple):
    """Everything a loader needs of the file. Programs by the name of their section."""

    maps: dict[str, MapShape]
    programs: dict[str, Program]
    terms: bytes  # of the licence, zero-terminated


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    entry: int


class _Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int
    size: int


def parse(data: bytes, order: str = sys.byteorder) -> Object:
    """The object of a file for machines of this byte order. Raises BadObject."""
    if len(data) > LARGEST_FILE:
        raise BadObject(f"{len(data)} bytes; no object of ours is larger than {LARGEST_FILE}")
    try:
        return _Reader(data, order).read()
    except struct.error:
        raise BadObject("it ends in the middle") from None


class _Reader:
    """One file. Every offset in it is checked where it is used."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._mark = "<" if order == "little" else ">"
        self._order = order
        self._sections: list[_Section] = []
        self._symbols: list[_Symbol] = []

    def read(self) -> Object:
        self._sections = self._read_sections()
        self._symbols = self._read_symbols()
        maps = self._maps()
        places = {(symbol.section, symbol.value): symbol.name for symbol in self._symbols if symbol.name in maps}
        programs = {
            section.name: self._program(index, section, places)
            for index, section in enumerate(self._sections)
            if section.name.startswith(PROGRAM_PREFIX) and section.flags & EXECUTABLE
        }
        terms = self._bytes(self._named("license"))
        if not programs or not terms.endswith(b"\0"):
            raise BadObject("it has no program, or no licence")
        return Object(maps, programs, terms)

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        if offset > len(self._data):
            raise BadObject("something in it lies behind its end")
        return struct.unpack_from(self._mark + form, self._data, offset)

    def _read_sections(self) -> list[_Section]:
        wanted = b"\x7fELF" + bytes((2, 1 if self._order == "little" else 2, VERSION))
        if self._data[:7] != wanted:
            raise BadObject(f"it is no 64-bit ELF file for machines that are {self._order}-endian")
        kind, machine = self._unpack("HH", 16)
        if (kind, machine) != (RELOCATABLE, MACHINE_BPF):
            raise BadObject("it is no object of the BPF machine")
        (table,) = self._unpack("Q", 40)
        size, count, names = self._unpack("HHH", 58)
        if size != SECTION_SIZE or not 0 < count <= MOST_SECTIONS or names >= count:
            raise BadObject("its table of sections makes no sense")
        raw = [self._unpack("IIQQQQIIQQ", table + index * size) for index in range(count)]
        found = [_Section("", kind, flags, offset, length, link, info, entry)
                 for _, kind, flags, _, offset, length, link, info, _, entry in raw]  # fmt: skip
        texts = self._bytes(found[names])
        return [section._replace(name=_text(texts, one[0])) for section, one in zip(found, raw, strict=True)]

    def _bytes(self, section: _Section) -> bytes:
        content = self._data[section.offset : section.offset + section.size]
        if len(content) != section.size:
            raise BadObject(f"section {section.name!r} reaches beyond the end")
        return content

    def _named(self, name: str) -> _Section:
        for section in self._sections:
            if section.name == name:
                return section
        raise BadObject(f"it has no section {name!r}")

    def _read_symbols(self) -> list[_Symbol]:
        table = next((section for section in self._sections if section.kind == SYMTAB), None)
        if table is None or table.link >= len(self._sections):
            raise BadObject("it has no table of symbols")
        texts = self._bytes(self._sections[table.link])
        count = len(self._bytes(table)) // 24
        if count > MOST_SYMBOLS:
            raise BadObject(f"{count} symbols")
        raw = [self._unpack("IBBHQQ", table.offset + index * 24) for index in range(count)]
        return [_Symbol(_text(texts, name), info & 15, section, value, size)
                for name, info, _, section, value, size in raw]  # fmt: skip

    def _maps(self) -> dict[str, MapShape]:
        section = self._named("maps")
        index, content = self._sections.index(section), self._bytes(section)
        found: dict[str, MapShape] = {}
        for symbol in self._symbols:
            if symbol.section != index or symbol.kind != OBJECT:
                continue
            if symbol.size != MAP_SIZE or symbol.value + MAP_SIZE > len(content) or not symbol.name:
                raise BadObject(f"map {symbol.name!r} is not {MAP_SIZE} bytes inside its section")
            found[symbol.name] = MapShape(*struct.unpack_from(self._mark + "5I", content, symbol.value))
        if not 0 < len(found) <= MOST_MAPS:
            raise BadObject(f"{len(found)} maps")
        return found

    def _program(self, index: int, section: _Section, places: dict[tuple[int, int], str]) -> Program:
        """One program, of whose relocations each must be the descriptor of a map, or a number that is known."""
        code = self._bytes(section)
        if not code or len(code) % INSTRUCTION:
            raise BadObject(f"program {section.name!r} has {len(code)} bytes")
        wanted: list[tuple[int, str]] = []
        for one in self._sections:
            if one.info != index or one.kind == SYMTAB or not one.name.startswith(".rel"):
                continue
            if one.kind != REL or len(self._bytes(one)) % 16 or one.size // 16 > MOST_RELOCATIONS:
                raise BadObject(f"the relocations of {section.name!r} are of an unknown kind")
            wanted += [self._wanted(section, code, one.offset + at, places) for at in range(0, one.size, 16)]
        uses = tuple((offset, name) for offset, name in wanted if name not in NUMBERS)
        return Program(code, uses, tuple((offset, name) for offset, name in wanted if name in NUMBERS))

    def _wanted(
        self, section: _Section, code: bytes, entry: int, places: dict[tuple[int, int], str]
    ) -> tuple[int, str]:
        offset, info = self._unpack("QQ", entry)
        index, kind = info >> 32, info & 0xFFFFFFFF
        symbol = self._symbols[index] if index < len(self._symbols) else _Symbol("", 0, 0, 0, 0)
        if symbol.section == UNDEFINED and symbol.name in NUMBERS:
            name = symbol.name
        else:
            name = places.get((symbol.section, symbol.value), "")
        if kind != R_BPF_64_64 or name != symbol.name or not name:
            raise BadObject(f"{section.name!r} refers to {symbol.name!r} (kind {kind}), which is no map")
        if offset % INSTRUCTION or offset + WIDE > len(code) or code[offset] != LOAD_WIDE:
            raise BadObject(f"{section.name!r} refers to {name!r} where no instruction could take it")
        return offset, name


def _text(texts: bytes, at: int) -> str:
    end = texts.find(b"\0", at)
    if at >= len(texts) or end < 0 or end - at > 100:
        raise BadObject("a name in it does not end")
    return texts[at:end].decode("ascii", "backslashreplace")
