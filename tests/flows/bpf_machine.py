"""A machine for classic BPF, as Documentation/networking/filter.rst of Linux describes it: what the kernel would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netpolicy.flows.cbpf import PACKET_TYPE, PROTOCOL, Instruction

WORD = 0xFFFFFFFF
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}


@dataclass(frozen=True)
class Packet:
    """From the network header on; `type` 4 goes out."""

    data: bytes
    protocol: int = 0x0800
    type: int = 0


class _Beyond(Exception):
    """A load behind the end."""


def run(program: Sequence[Instruction], packet: Packet) -> int:
    """How many bytes of the packet are taken, 0: none. AssertionError for what the kernel would refuse."""
    state = {"a": 0, "x": 0}
    memory: dict[int, int] = {}
    place = 0
    try:
        while True:
            code, yes, no, number = program[place]
            place += 1
            if code in (0x06, 0x16):
                return min(number if code == 0x06 else state["a"], len(packet.data))
            place += _step(code, yes, no, number, state, memory, packet)
    except _Beyond:
        return 0


def _step(code, yes, no, number, state, memory, packet) -> int:
    """One instruction; how many are jumped over."""
    kind = code & 0x07
    if kind == 0x05:
        return number if code == 0x05 else (yes if _holds(code, state["a"], number) else no)
    if kind in (0x00, 0x01):
        state["ax"[kind]] = _load(code, number, state["x"], memory, packet)
    elif kind == 0x02:
        memory[number] = state["a"]
    elif kind == 0x04:
        state["a"] = _calculate(code & 0xF0, state["a"], state["x"] if code & 0x08 else number) & WORD
    elif code == 0x07:
        state["x"] = state["a"]
    else:
        assert code == 0x87, hex(code)
        state["a"] = state["x"]
    return 0


def _load(code: int, number: int, x: int, memory: dict[int, int], packet: Packet) -> int:
    mode = code & 0xE0
    if mode == 0x00:
        return number
    if mode == 0x60:
        return memory[number]  # the kernel refuses to read what was not written
    if mode == 0x80:
        return len(packet.data)
    if mode == 0xA0:
        return (_bytes(packet.data, number, 1) & 15) * 4
    if number == PROTOCOL:
        return packet.protocol
    if number == PACKET_TYPE:
        return packet.type
    return _bytes(packet.data, number + (x if mode == 0x40 else 0), SIZES[code & 0x18])


def _bytes(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise _Beyond
    return int.from_bytes(data[at : at + size], "big")


def _holds(code: int, a: int, number: int) -> bool:
    tests = {0x15: a == number, 0x25: a > number, 0x35: a >= number, 0x45: bool(a & number)}
    return tests[code]


def _calculate(operation: int, a: int, other: int) -> int:
    return {
        0x00: a + other, 0x10: a - other, 0x50: a & other, 0x60: a << other, 0x70: a >> other,
    }[operation]  # fmt: skip
