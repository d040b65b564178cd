"""Network namespaces without names, and cables between them.

A namespace lives as long as its descriptor: nothing to collide with, nothing to clean up.
Needs CAP_SYS_ADMIN. Never touches a namespace that it did not make. Source: setns(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000

# <linux/ethtool.h>, <linux/sockios.h>
SIOCETHTOOL = 0x8946
GLINK, STSO, SGSO, SGRO = 0x0A, 0x1F, 0x24, 0x2C

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace; threads enter it, programs started meanwhile are inside."""

    def __init__(self) -> None:
        outside = _own()
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            self.descriptor = _own()
            run("ip", "link", "set", "lo", "up")
            # Router solicitations and the like are somebody else's packets in the middle of ours.
            for place in ("all", "default"):
                _write_switch(f"net/ipv6/conf/{place}/disable_ipv6", 1)
        finally:
            _check(_libc.setns(outside, CLONE_NEWNET))
            os.close(outside)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is inside for the block."""
        outside = _own()
        try:
            _check(_libc.setns(self.descriptor, CLONE_NEWNET))
            yield
        finally:
            _check(_libc.setns(outside, CLONE_NEWNET))
            os.close(outside)

    def run(self, *argv: str, text: str | None = None) -> str:
        """Runs a program inside; its output. RuntimeError with what it said where it fails."""
        with self.entered():
            return run(*argv, text=text)

    def ip(self, commands: str) -> None:
        """Lines for `ip -batch`."""
        self.run("ip", "-batch", "-", text=commands)

    def switch(self, **values: object) -> None:
        """Writes sysctls below net/, `__` for a slash."""
        with self.entered():
            for name, value in values.items():
                _write_switch(f"net/{name.replace('__', '/')}", value)

    def received(self, device: str) -> int:
        """Packets that the device brought in so far."""
        with self.entered():
            for line in Path("/proc/thread-self/net/dev").read_text(encoding="ascii").splitlines():
                name, _, counts = line.partition(":")
                if name.strip() == device:
                    return int(counts.split()[1])
        raise KeyError(device)

    def close(self) -> None:
        os.close(self.descriptor)


def run(*argv: str, text: str | None = None) -> str:
    """Runs a program in this thread's namespace; its output. RuntimeError where it fails."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def connect(left: Namespace, left_name: str, right: Namespace, right_name: str, offload: bool = False) -> None:
    """A cable: one veth pair, both ends up. Without offload every frame is one packet of at most 1500 bytes."""
    place = f"/proc/{os.getpid()}/fd/{right.descriptor}"
    left.ip(f"link add {left_name} type veth peer name {right_name} netns {place}\nlink set {left_name} up\n")
    right.ip(f"link set {right_name} up\n")
    for end, name in ((left, left_name), (right, right_name)):
        with end.entered():
            # Who asks for the carrier makes the kernel look after it: before, an end loses what it sends.
            _ethtool(name, GLINK)
            if not offload:
                for command in (STSO, SGSO, SGRO):
                    _ethtool(name, command)


def mac_of(namespace: Namespace, device: str) -> str:
    """The hardware address of a device."""
    words = namespace.run("ip", "-o", "link", "show", "dev", device).split()
    return words[words.index("link/ether") + 1]


def _ethtool(device: str, command: int) -> None:
    """A command with the value 0."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
        request = struct.pack("@16sP16x", device.encode(), ctypes.addressof(value))
        fcntl.ioctl(handle, SIOCETHTOOL, request)


def _write_switch(path: str, value: object) -> None:
    place = Path("/proc/sys") / path
    if place.exists():  # what a kernel does not have needs no switch
        place.write_text(str(value), encoding="ascii")


def _own() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
