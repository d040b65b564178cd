"""The machines that the inspector is tried on: which kernel, which processor, and why one cannot be had.

Fetches nothing (scripts/vm-parts does) and starts nothing.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tests.vm import parts
from tests.vm.machine import PROCESSOR
from tests.vm.parts import BUILD, unpacked

COMPILES = "sysctl.net.core.bpf_jit_enable=1"  # which the kernel of a 64-bit PC does unasked
FIRMWARE = "/usr/share/qemu"  # of the QEMU that is installed
FOREIGN_PYTHON = (3, 11)  # of Debian 12


@dataclass(frozen=True)
class Guest:
    """`part`: its folder in build/vm/; `root`: unpacked programs of its processor, None for those of this machine."""

    name: str
    part: str
    root: Path | None
    emulator: str  # the program's name
    words: tuple[str, ...]  # the machine, and its console
    console: str
    modules_more: tuple[str, ...] = ()
    programs_more: Path | None = None  # the folder of unpacked programs, beside those of this machine
    unpacks_itself: bool = False  # as a boot loader starts it
    kernel_words: str = ""

    @property
    def folder(self) -> Path:
        return BUILD / self.part

    @property
    def qemu(self) -> str:
        """Where its emulator is: among its parts where it is not installed; "": nowhere."""
        here = self.folder / self.emulator
        return str(here) if here.exists() else parts.tool(self.emulator) or ""

    @property
    def version(self) -> str:
        """Of its kernel."""
        return (self.folder / "complete").read_text(encoding="ascii").strip()

    @property
    def modules(self) -> Path:
        return self.folder / "lib" / "modules" / self.version

    @property
    def kernel(self) -> Path:
        packed = self.folder / "boot" / f"vmlinuz-{self.version}"
        return packed if self.root or self.unpacks_itself else unpacked(packed)


PC = ("-M", "pc", "-cpu", PROCESSOR, "-serial", "chardev:console")
PC_EMULATOR = "qemu-system-x86_64"
MAINFRAME = ("-M", "s390-ccw-virtio", "-device", "sclpconsole,chardev=console")
BOARD = ("-M", "virt", "-cpu", "cortex-a15", "-serial", "chardev:console")


def stable() -> Guest:
    """Debian's kernel of this release, on the processor of this machine."""
    return Guest("stable", "kernel", None, PC_EMULATOR, PC, "ttyS0")


def tunnels() -> Guest:
    """The same with the devices of tunnels and dialled lines, and the programs that set them up."""
    words = ("wireguard", "ppp_generic", "pppox", "pppoe", "ppp_async", "nft_chain_nat", "nft_masq", "nft_nat")
    plain = stable()
    return replace(plain, name="tunnels", modules_more=words, programs_more=BUILD / "tunnels" / "root")


def sleeper() -> Guest:
    """The same kernel, begun as a boot loader does it: begun as an ELF it does not find the way back from a sleep."""
    return replace(stable(), unpacks_itself=True)


def old() -> Guest:
    """Debian 11's: 5.10, which has no tcx, and a verifier that learned much since."""
    return Guest("old", "old", None, PC_EMULATOR, PC, "ttyS0")


def big() -> Guest:
    """Debian 12's for s390x: big-endian, and its programs are interpreted."""
    return _foreign("big", "qemu-system-s390x", MAINFRAME, "ttysclp0")


def arm() -> Guest:
    """Debian 12's for armv7: words of 32 bits, as most routers have them, and BPF compiled for such a processor."""
    return replace(_foreign("arm", "qemu-system-arm", BOARD, "ttyAMA0"), kernel_words=COMPILES)


def _foreign(name: str, emulator: str, words: tuple[str, ...], console: str) -> Guest:
    return Guest(name, name, BUILD / name / "root", emulator, ("-L", FIRMWARE, *words), console)


@functools.cache
def missing(guest: Guest) -> str:
    """Why there can be no such machine; "" when there can."""
    if reason := parts.missing():
        return reason
    folders = [guest.folder, *([guest.programs_more.parent] if guest.programs_more else [])]
    for folder in folders:
        if not (folder / "complete").exists():
            why = folder.with_suffix(".why")
            told = why.read_text(encoding="utf-8").strip() if why.exists() else "make test-vm fetches it"
            return f"there is no build/vm/{folder.name}: {told}"
    if gone := [name for name in ("tc", "openssl") if parts.tool(name) is None]:
        return f"not installed: {', '.join(gone)}"
    if guest.root is not None and sys.version_info[:2] != FOREIGN_PYTHON:
        return "its Python is 3.11: what another one compiles it does not read, and compiling there takes minutes"
    return "" if guest.qemu else f"there is no {guest.emulator}"
