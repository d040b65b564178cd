"""Enter network namespaces and set their kernel switches, from inside the lab.

Never touches a namespace it did not get by name from the lab's own /run/netns.
Sources: setns(2); Documentation/networking/ip-sysctl of the kernel.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

NAMED = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # <linux/sched.h>


def enter(node: str) -> None:
    """Move this process (single-threaded) into the node's network namespace."""
    with open(NAMED / node, "rb") as handle:
        _setns(handle.fileno())


@contextmanager
def inside(node: str) -> Iterator[None]:
    """Run a block in the node's namespace and come back."""
    with open("/proc/self/ns/net", "rb") as before:
        enter(node)
        try:
            yield
        finally:
            _setns(before.fileno())


def set_switches(node: str, switches: Mapping[str, str]) -> None:
    """Write sysctls (`net/…` paths) of a node; one the kernel does not have is skipped."""
    with inside(node):
        for path, value in switches.items():
            target = Path("/proc/sys", path)
            # Absent means the code it steers is absent: no bridge filter, no conntrack module.
            if target.exists():
                target.write_text(value)


def _setns(descriptor: int) -> None:
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(descriptor, CLONE_NEWNET)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
