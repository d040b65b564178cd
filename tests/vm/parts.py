"""What the virtual machine needs of this one: QEMU, an unpacked kernel, busybox, the tools; or why it cannot be.

Fetches nothing (scripts/vm-parts does) and starts nothing.
"""

from __future__ import annotations

import functools
import lzma
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "vm"
TOOLS = ("nft", "ip", "conntrack", "mkfs.ext4", "busybox", "ldd")
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Parts:
    """Paths on this machine."""

    qemu: str
    kernel: Path
    modules: Path  # lib/modules/VERSION of the kernel
    tools: dict[str, str]


def tool(name: str) -> str | None:
    """Where the program is."""
    return shutil.which(name, path=SBIN)


@functools.cache
def missing() -> str:
    """Why there can be no virtual machine; "" when there can."""
    if os.uname().machine != "x86_64":
        return "the virtual machine is an x86-64 one"
    if tool("qemu-system-x86_64") is None:
        return "there is no qemu-system-x86_64 (package qemu-system-x86; make test-vm installs it)"
    gone = [name for name in TOOLS if tool(name) is None]
    if gone:
        return f"not installed: {', '.join(gone)}"
    if not (BUILD / "kernel" / "complete").exists():
        return "there is no kernel in build/vm (scripts/vm-parts fetches Debian's; make test-vm does that)"
    # A static busybox runs its own `ip`, which knows neither rules by protocol nor JSON.
    said = subprocess.run([tool("busybox") or "", "sh", "-c", "type ip"], capture_output=True, text=True, check=False)
    return "" if "/" in said.stdout else "busybox is the static one, which prefers its own `ip`: install busybox"


def parts() -> Parts:
    """All of them; only where nothing is missing."""
    version = (BUILD / "kernel" / "complete").read_text(encoding="ascii").strip()
    return Parts(
        tool("qemu-system-x86_64") or "",
        unpacked(BUILD / "kernel" / "boot" / f"vmlinuz-{version}"),
        BUILD / "kernel" / "lib" / "modules" / version,
        {name: tool(name) or "" for name in TOOLS},
    )


def unpacked(kernel: Path) -> Path:
    """The kernel as an ELF, which QEMU starts at once: unpacking itself costs an emulated processor five seconds.

    Source: "payload_offset" in Documentation/x86/boot.rst. As it is where it is packed in another way than Debian's.
    """
    unpacked = kernel.with_suffix(".elf")
    if unpacked.exists():
        return unpacked
    image = kernel.read_bytes()
    begin = ((image[0x1F1] or 4) + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
    packed = image[begin : begin + int.from_bytes(image[0x24C:0x250], "little")]
    if not packed.startswith(b"\xfd7zXZ"):
        return kernel
    temporary = unpacked.with_suffix(f".{os.getpid()}")
    # The size of the result stands behind it.
    temporary.write_bytes(lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed))
    temporary.replace(unpacked)
    return unpacked
