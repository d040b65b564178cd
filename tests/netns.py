"""Private network namespaces for tests: no names, so nothing to collide with and nothing to clean up.

A namespace lives as long as its file descriptor; the kernel removes it, devices and rules
included, when the last user is gone, even after a crash. Needs root (CAP_SYS_ADMIN).

    with private_netns():                    # this thread, and what it spawns, is inside
        subprocess.run(["ip", "link"])

    with Namespace() as router, Namespace() as client:
        connect(router, "lan", client, "eth0")
        with router.entered():
            ...
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

import pytest

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40  # linux/sockios.h, linux/if.h
_libc = ctypes.CDLL(None, use_errno=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces")


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _own_descriptor() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _loopback_up() -> None:
    """As `ip link set lo up`, without a program: namespaces are made hundreds of times."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))


class Namespace:
    """An anonymous network namespace with `lo` up; enter it, run programs in it, close it."""

    def __init__(self) -> None:
        outside = _own_descriptor()
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            self.descriptor = _own_descriptor()
            _loopback_up()
        finally:
            _check(_libc.setns(outside, CLONE_NEWNET))
            os.close(outside)

    @property
    def path(self) -> str:
        """A path other programs can open, for `ip link set … netns PATH`."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @contextmanager
    def entered(self) -> Iterator[Namespace]:
        """Move this thread into the namespace; threads and programs started meanwhile follow."""
        outside = _own_descriptor()
        try:
            _check(_libc.setns(self.descriptor, CLONE_NEWNET))
            yield self
        finally:
            _check(_libc.setns(outside, CLONE_NEWNET))
            os.close(outside)

    def run(self, *argv: str, text: str | None = None) -> str:
        """Run a program inside; its stdout. CalledProcessError where it fails."""
        with self.entered():
            return run(*argv, text=text)

    def sysctl(self, name: str, value: object) -> None:
        """Write one of net.*; `name` with slashes, without /proc/sys/."""
        with self.entered(), open(f"/proc/sys/{name}", "w", encoding="ascii") as handle:
            handle.write(str(value))

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def private_netns() -> Iterator[Namespace]:
    """Run the block in a fresh namespace of its own."""
    with Namespace() as fresh, fresh.entered():
        yield fresh


def run(*argv: str, text: str | None = None) -> str:
    """Run a program in this thread's namespace; its stdout. The error shows its stderr."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def connect(left: Namespace, left_name: str, right: Namespace, right_name: str) -> None:
    """A cable: one veth pair, an end in each namespace, both up."""
    made = f"link add {left_name} type veth peer name {right_name} netns {right.path}\nlink set dev {left_name} up\n"
    left.run("ip", "-batch", "-", text=made)
    right.run("ip", "link", "set", "dev", right_name, "up")
