"""Which UDP port the kernel's WireGuard devices send from.

Never changes a device, and never keeps what else the kernel tells: the private key is in the same answer.
Source: generic netlink (<linux/genetlink.h>), family "wireguard" (<linux/wireguard.h>).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import KernelSocket
from netpolicy.dataplane.state import NetlinkError

KIND = "wireguard"  # of a link

GENERIC = 16  # NETLINK_GENERIC
HEADER = struct.Struct("=BBxx")  # command, version

CONTROL, GET_FAMILY = 16, 3  # GENL_ID_CTRL, CTRL_CMD_GETFAMILY
FAMILY_ID, FAMILY_NAME = 1, 2  # CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME

GET_DEVICE = 0  # WG_CMD_GET_DEVICE
DEVICE_NAME, LISTEN_PORT = 2, 6  # WGDEVICE_A_IFNAME, WGDEVICE_A_LISTEN_PORT


def listen_ports(devices: Iterable[str]) -> dict[str, int]:
    """By device; one that is down, gone, or that the kernel does not tell us of is left out."""
    wanted = tuple(devices)
    if not wanted:
        return {}
    try:
        asking = KernelSocket(GENERIC)
    except NetlinkError:
        return {}
    try:
        family = _family(asking)
        return {name: port for name in wanted if (port := _port(asking, family, name))} if family else {}
    finally:
        asking.close()


def _family(asking: KernelSocket) -> int:
    question = HEADER.pack(GET_FAMILY, 1) + wire.attribute(FAMILY_NAME, wire.string(KIND))
    try:
        answers = asking.request("find WireGuard", CONTROL, 0, question)
    except NetlinkError:
        return 0
    return next((number for one in answers if (number := short(one.payload, FAMILY_ID))), 0)


def _port(asking: KernelSocket, family: int, name: str) -> int:
    question = HEADER.pack(GET_DEVICE, 1) + wire.attribute(DEVICE_NAME, wire.string(name))
    try:
        answers = asking.dump(f"read {name}", family, question)
    except NetlinkError:
        return 0
    # One with many peers comes in pieces, and the first says what is not theirs.
    return next((port for one in answers if (port := short(one.payload, LISTEN_PORT))), 0)


def short(payload: bytes, kind: int) -> int:
    """A 16-bit attribute of a generic message, 0 where there is none."""
    value = wire.attributes(payload, HEADER.size).get(kind, b"")
    return int(struct.unpack("=H", value)[0]) if len(value) == 2 else 0
