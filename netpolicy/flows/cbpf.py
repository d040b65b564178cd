"""Assembles classic BPF: programs with which a socket says which packets it wants, and how much of them.

Pure. Never makes a program that the kernel would refuse for its form: labels resolve, jumps go forwards and fit.
Instructions: <linux/filter.h>, Documentation/networking/filter.rst of Linux; the words are those of its bpf_asm.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

# What stands for the word of a packet's surroundings instead of an offset into it: SKF_AD_OFF + SKF_AD_…
PROTOCOL, PACKET_TYPE = 0xFFFFF000, 0xFFFFF004

# Loads beyond the packet's end finish the program with 0: the packet is not wanted.
CODES = {
    "ld": 0x20, "ldh": 0x28, "ldb": 0x30,  # A from the packet: four, two, one byte at `number`
    "ld x": 0x40, "ldh x": 0x48, "ldb x": 0x50,  # at X + `number`
    "ld #": 0x00, "ldx #": 0x01, "ld len": 0x80,
    "ldx msh": 0xB1,  # X from the length of an IPv4 header: four times the lower half of the byte at `number`
    "ld m": 0x60, "ldx m": 0x61, "st": 0x02,  # memory, 16 words
    "add": 0x04, "sub": 0x14, "and": 0x54, "lsh": 0x64, "rsh": 0x74,
    "add x": 0x0C, "sub x": 0x1C, "tax": 0x07, "txa": 0x87,
    "ja": 0x05, "jeq": 0x15, "jgt": 0x25, "jge": 0x35, "jset": 0x45,
    "ret": 0x06, "ret a": 0x16,
}  # fmt: skip
CONDITIONS = ("jeq", "jgt", "jge", "jset")
FARTHEST = 255  # instructions that a condition can skip
INSTRUCTION = struct.Struct("=HBBI")


class Line(NamedTuple):
    """One instruction; the labels say where a jump goes, none: to the next line."""

    word: str
    number: int = 0
    yes: str = ""
    no: str = ""


class Instruction(NamedTuple):
    """As the kernel takes it: struct sock_filter."""

    code: int
    yes: int
    no: int
    number: int


Source = list[Line | str]  # a bare word is a label: the place of the line behind it


def assemble(source: Source) -> list[Instruction]:
    """The program. ValueError for what is no program: a mistake of the caller, never of the packets."""
    lines: list[Line] = []
    labels: dict[str, int] = {}
    for one in source:
        if isinstance(one, Line):
            lines.append(one)
        elif one in labels:
            raise ValueError(f"the label {one} stands twice")
        else:
            labels[one] = len(lines)
    if not lines or not lines[-1].word.startswith("ret"):
        raise ValueError("the program runs off its end")
    return [_instruction(line, number, labels) for number, line in enumerate(lines)]


def pack(program: Iterable[Instruction]) -> bytes:
    """The bytes for SO_ATTACH_FILTER."""
    return b"".join(INSTRUCTION.pack(*one) for one in program)


def _instruction(line: Line, number: int, labels: dict[str, int]) -> Instruction:
    code = CODES[line.word]
    if line.word == "ja":
        return Instruction(code, 0, 0, _distance(line.yes, number, labels))
    if line.word in CONDITIONS:
        distances = (_distance(line.yes, number, labels), _distance(line.no, number, labels))
        if max(distances) > FARTHEST:
            raise ValueError(f"{line.word} {line.number:#x}: its target is more than {FARTHEST} instructions away")
        return Instruction(code, *distances, line.number)
    return Instruction(code, 0, 0, line.number)


def _distance(label: str, number: int, labels: dict[str, int]) -> int:
    """Instructions between this one and its target."""
    if not label:
        return 0
    if label not in labels:
        raise ValueError(f"there is no label {label}")
    found = labels[label] - number - 1
    if found < 0:
        raise ValueError(f"{label} stands before its jump: there are no loops")
    return found
