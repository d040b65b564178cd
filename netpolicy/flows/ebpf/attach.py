"""Attaches the two programs to a device: by tcx where the kernel has it, else by filters of a clsact.

Never disturbs others: tcx goes before and says "go on", and where neither way is free the device is refused.
tcx links end with this process, whatever happens to it; filters stay, and the next process replaces them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_codec import GETLINK, IFINFOMSG, IFLA_IFNAME, NEWLINK
from netpolicy.dataplane.netlink_socket import KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.ebpf import bpf_call, clsact
from netpolicy.flows.ebpf.bpf_call import BpfError

TCX, CLSACT = "tcx", "clsact"
WAYS = (TCX, CLSACT)
LAN, WAN = "lan", "wan"  # which side of the device the clients are on: behind it, or on the router's side

BEFORE = 1 << 3  # BPF_F_BEFORE: in front of all others, which then run as if we were not there
FDINFO = "/proc/self/fdinfo"

# ARPHRD_ETHER and ARPHRD_LOOPBACK: their packets begin with an Ethernet header
WITH_ETHERNET = (1, 772)


# SQM's name for the device that it leads another's incoming packets through; what is too long is cut in front. It
# makes it first of all and the `ingress` a dozen programs later, which a clsact of ours would make fail: there is time.
SHAPER, LONGEST_NAME = "ifb4", 15


class NotAttached(Exception):
    """No way onto the device; the text has the reason of each that was tried."""


class Device(NamedTuple):
    """A device of this network namespace."""

    name: str
    ifindex: int
    ethernet: bool


class Attachment:
    """Our two programs on one device."""

    def __init__(
        self, device: Device, role: str, way: str, alive: Callable[[], bool], end: Callable[[], None],
        taken_off: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.device = device
        self.role = role
        self.way = way
        # False once the device is gone, somebody took the programs off, or a shaper needs the place.
        self.is_alive = alive
        self.is_taken_off = taken_off  # True once somebody took them off a device that is still there
        self._end = end

    def close(self) -> None:
        """Take them off. A device that is gone has nothing to take off."""
        self._end()


def find_device(kernel: KernelSocket, name: str) -> Device:
    """The device with that name. Raises NetlinkError (ENODEV) where there is none."""
    body = IFINFOMSG.pack(0, 0, 0, 0, 0) + wire.attribute(IFLA_IFNAME, wire.string(name))
    for answer in kernel.request(f"find the device {name}", GETLINK, 0, body):
        if answer.kind == NEWLINK and len(answer.payload) >= IFINFOMSG.size:
            _, kind, index, _, _ = IFINFOMSG.unpack_from(answer.payload)
            return Device(name, index, kind in WITH_ETHERNET)
    raise NotAttached(f"{name}: the kernel does not describe the device")


def is_there(kernel: KernelSocket, device: Device) -> bool:
    """Whether it is still that device, under that name. Raises NetlinkError."""
    try:
        return find_device(kernel, device.name) == device
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return False


def shaper_of(kernel: KernelSocket, name: str) -> str:
    """The device that a shaper made for this one; "" where there is none."""
    shaper = SHAPER + name[len(SHAPER) - LONGEST_NAME :]
    try:
        find_device(kernel, shaper)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return ""
    return shaper


def attach(
    kernel: KernelSocket, device: Device, role: str, up: int, down: int, ways: Sequence[str] = WAYS
) -> Attachment:
    """Attach the programs of both directions by the first way that works. Raises NotAttached."""
    ingress, egress = (up, down) if role == LAN else (down, up)
    reasons: list[str] = []
    for way in ways:
        try:
            return WAY[way](kernel, device, role, ingress, egress)
        except (BpfError, NetlinkError) as error:
            reasons.append(f"{way}: {error}")
    raise NotAttached(f"{device.name}: {'; '.join(reasons) or 'no way is allowed'}")


def by_tcx(kernel: KernelSocket, device: Device, role: str, ingress: int, egress: int) -> Attachment:
    """Two links; closing them detaches."""
    links: list[int] = []

    def end() -> None:
        while links:
            os.close(links.pop())

    try:
        for program, side in ((ingress, bpf_call.TCX_INGRESS), (egress, bpf_call.TCX_EGRESS)):
            attr = bytearray(bpf_call.ATTR_LINK.pack(program, device.ifindex, side, BEFORE, 0, 0, 0))
            links.append(bpf_call.call(f"attach to {device.name}", bpf_call.LINK_CREATE, attr))
        clsact.TrafficControl(kernel).remove(device.ifindex)  # of a process that had no tcx, and was killed
    except (BpfError, NetlinkError):
        end()
        raise

    def alive() -> bool:
        return len(links) == 2 and all(map(is_attached, links))

    return Attachment(device, role, TCX, alive, end, lambda: not alive() and is_there(kernel, device))


def by_clsact(kernel: KernelSocket, device: Device, role: str, ingress: int, egress: int) -> Attachment:
    """Two filters; never where a shaper is, or is about to be."""
    if shaper := shaper_of(kernel, device.name):
        reason = f"{shaper} says that a shaper (SQM) needs its 'ingress' queueing discipline"
        raise NetlinkError(f"attach to {device.name} by clsact", errno.EBUSY, reason)
    control = clsact.TrafficControl(kernel)
    sides = ((clsact.INGRESS, ingress), (clsact.EGRESS, egress))
    is_ours = control.provide_clsact(device.ifindex, device.name)
    name = clsact.NAME_WITH_CLSACT if is_ours else clsact.NAME
    try:
        for parent, program in sides:
            direction = "up" if (parent == clsact.INGRESS) == (role == LAN) else "down"
            control.attach(device.ifindex, parent, program, f"{name}_{direction}")
    except NetlinkError:
        control.remove(device.ifindex, is_ours)
        raise

    def alive() -> bool:
        return control.has_ours(device.ifindex) and not shaper_of(kernel, device.name)

    def end() -> None:
        control.remove(device.ifindex)

    def taken_off() -> bool:
        is_off = not control.has_ours(device.ifindex) and is_there(kernel, device)
        return is_off and not shaper_of(kernel, device.name)

    return Attachment(device, role, CLSACT, alive, end, taken_off)


WAY: dict[str, Callable[[KernelSocket, Device, str, int, int], Attachment]] = {TCX: by_tcx, CLSACT: by_clsact}


def is_attached(link: int) -> bool:
    """Does the link still hold a device? It says 0 once that is gone."""
    try:
        with open(f"{FDINFO}/{link}", encoding="ascii", errors="replace") as text:
            lines = text.read(4096).splitlines()
    except OSError:
        return False
    return any(line.startswith("ifindex:") and line.split()[-1] != "0" for line in lines)
