"""Brings ebpf/npflow into the kernel: its maps first, then the programs that are wanted, with the maps in them.

Never leaves anything behind: what was made before a failure is closed, and what is loaded goes with this process.
The objects lie in the folder `ebpf` beside the package, one for each byte order.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from netpolicy.flows.ebpf import bpf_call, elf, layout
from netpolicy.flows.ebpf.bpf_call import BpfError
from netpolicy.flows.ebpf.maps import RINGBUF, Map

FOLDER = os.path.normpath(os.path.join(os.path.realpath(__file__), "../../../../ebpf"))
FILES = {"little": "npflow.bpfel.o", "big": "npflow.bpfeb.o"}

UP, DOWN = "tc/up", "tc/down"
COARSE_CLOCK = 160  # BPF_FUNC_ktime_get_coarse_ns, Linux 5.11

FLOWS, RING_BYTES = 8192, 1 << 18


class Unloadable(Exception):
    """The object cannot be used; the text says where and why."""


class Capacity(NamedTuple):
    """How much is followed at once. A flow takes 256 bytes of the kernel's memory."""

    flows: int = FLOWS
    ring: int = RING_BYTES  # a power of two, and whole pages


class Loaded:
    """The maps, and the programs as they are asked for. Raises Unloadable or BpfError."""

    def __init__(self, capacity: Capacity | None = None, path: str | None = None) -> None:
        self._object = read(path or os.path.join(FOLDER, FILES[sys.byteorder]))
        self._programs: dict[tuple[bool, bool], int] = {}
        self.maps: dict[str, Map] = {}
        capacity = capacity or Capacity()
        entries = {"flows": capacity.flows, "events": capacity.ring}
        try:
            for name, shape in self._object.maps.items():
                kind, key, value, most, flags = shape
                self.maps[name] = Map(name, kind, key, value, entries.get(name, most), flags)
        except BpfError:
            self.close()
            raise

    def program(self, ethernet: bool, down: bool) -> int:
        """The descriptor of a program, for devices with an Ethernet header or without, in one direction."""
        found = self._programs.get((ethernet, down))
        if found is None:
            descriptors = {name: one.descriptor for name, one in self.maps.items()}
            numbers = {"ethernet": int(ethernet), "coarse": int(bpf_call.has_helper(COARSE_CLOCK))}
            code = self._object.programs[DOWN if down else UP].linked(descriptors, numbers)
            name = ("np_down" if down else "np_up") + ("" if ethernet else "_l3")
            found = self._programs[ethernet, down] = bpf_call.load_program(name, code, self._object.terms)
        return found

    def close(self) -> None:
        """Give everything up; what is attached by others lives on. May be repeated."""
        for descriptor in self._programs.values():
            os.close(descriptor)
        self._programs.clear()
        for one in self.maps.values():
            one.close()


def read(path: str) -> elf.Object:
    """The object of a file, with the maps and programs that this loader knows. Raises Unloadable."""
    try:
        with open(path, "rb") as file:
            found = elf.parse(file.read(elf.LARGEST_FILE + 1))
    except OSError as error:
        raise Unloadable(f"{path}: {error.strerror}; reinstall the package") from None
    except elf.BadObject as error:
        raise Unloadable(f"{path}: {error}; reinstall the package") from None
    sizes = {name: (0, 0) if shape.kind == RINGBUF else (shape.key, shape.value) for name, shape in found.maps.items()}
    if sizes != layout.MAPS or set(found.programs) != {UP, DOWN}:
        raise Unloadable(f"{path}: it is not of this version of NetPolicy; reinstall the package")
    return found
