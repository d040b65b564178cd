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
import itertools
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40  # linux/sockios.h, linux/if.h
RTM_GETLINK, IFLA_OPERSTATE, OPER_UP = 18, 16, 6  # linux/rtnetlink.h, linux/if.h
IFA_F_TENTATIVE = 0x40
PATIENCE_S = 30.0
SIOCGIFFLAGS, IFF_POINTOPOINT = 0x8913, 0x10
MULTICAST = "ff" + 30 * "0"
_numbers = itertools.count(1001)  # of devices; the kernel's own begin at 1 in each namespace
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

    def await_carrier(self, *devices: str) -> None:
        """Until packets leave by them: a worker of the kernel takes them into use, and till then all is lost."""
        with self.entered():
            for device in devices:
                _until(lambda device=device: _is_in_use(device), f"{device} has a carrier")  # type: ignore[misc]

    def await_addresses(self) -> None:
        """Until its IPv6 addresses are answered for: that is a worker's too, also without duplicate detection."""
        with self.entered():
            _until(_are_answered_for, "the IPv6 addresses are in use")

    def in_use(self) -> None:
        """Both, of all that is up here. Then no route of the kernel's own comes, or changes, any more."""
        with self.entered():
            devices = [name for _, name in socket.if_nameindex() if name != "lo"]
            for device in filter(_is_a_cable, devices):
                _until(lambda device=device: _is_in_use(device), f"{device} has a carrier")  # type: ignore[misc]
            _until(lambda: set(devices) <= _hear_multicast() and _none_is_tentative(), "devices have their routes")
            _until(_are_answered_for, "the IPv6 addresses are in use")

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
    """A cable: one veth pair, an end in each namespace, both up and in use."""
    # Both ends with the same number look like one device to the kernel, which then reports a carrier up to a second
    # late (net/core/link_watch.c).
    made = f"link add name {left_name} index {next(_numbers)} type veth peer name {right_name} netns {right.path}\n"
    left.run("ip", "-batch", "-", text=made + f"link set dev {left_name} up\n")
    right.run("ip", "link", "set", "dev", right_name, "up")
    left.await_carrier(left_name)
    right.await_carrier(right_name)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in {PATIENCE_S:g} s: {what}"
        time.sleep(0.001)


def _is_in_use(device: str) -> bool:
    """Its operational state (RFC 2863), as the kernel tells it: UP, from when on it sends."""
    body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(device), 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.bind((0, 0))
        asking.send(struct.pack("=IHHII", 16 + len(body), RTM_GETLINK, 1, 1, 0) + body)
        answer = asking.recv(65536)
    at = 16 + len(body)
    while at + 4 <= len(answer):
        size, kind = struct.unpack_from("=HH", answer, at)
        if kind == IFLA_OPERSTATE:
            return answer[at + 4] == OPER_UP
        at += max(size + 3 & ~3, 4)
    return False


def _are_answered_for() -> bool:
    """Each has its own route, which comes last."""
    with open("/proc/thread-self/net/if_inet6", encoding="ascii") as text:
        rows = [line.split() for line in text]
    addresses = {row[0] for row in rows if not int(row[4], 16) & IFA_F_TENTATIVE}
    with open("/proc/thread-self/net/ipv6_route", encoding="ascii") as text:
        return addresses <= {row[0] for row in map(str.split, text) if row[1] == "80"}


def _is_a_cable(device: str) -> bool:
    """Not a tunnel: those have no operational state."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        told = fcntl.ioctl(asked, SIOCGIFFLAGS, struct.pack("16sH14x", device.encode(), 0))
    return not struct.unpack("16sH14x", told)[1] & IFF_POINTOPOINT


def _none_is_tentative() -> bool:
    with open("/proc/thread-self/net/if_inet6", encoding="ascii") as text:
        return not any(int(line.split()[4], 16) & IFA_F_TENTATIVE for line in text)


def _hear_multicast() -> set[str]:
    """The devices that have their route to ff00::/8, which comes with the carrier, after the routes of IPv4."""
    with open("/proc/thread-self/net/ipv6_route", encoding="ascii") as text:
        rows = [line.split() for line in text]
    return {row[9] for row in rows if (row[0], row[1]) == (MULTICAST, "08")}
