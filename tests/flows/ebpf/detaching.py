"""What `bpftool link detach` does, which not every machine has: takes the programs of somebody else off a device.

Run as a program, it detaches the first program that it finds on the device that it is given, by the kernel's own list
of links: it needs to know nothing of who made them. Layouts: <linux/bpf.h>.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

from netpolicy.flows.ebpf import bpf_call

PROG_QUERY, LINK_GET_FD_BY_ID, LINK_DETACH = 16, 30, 34


def links_of(device: str) -> list[int]:
    """The numbers of the tcx links on a device of this namespace: what comes in, then what goes out."""
    return [link for side in (bpf_call.TCX_INGRESS, bpf_call.TCX_EGRESS) for link in _links(device, side)]


def _links(device: str, side: int) -> list[int]:
    programs, links = bytearray(4 * 16), bytearray(4 * 16)
    head = socket.if_nametoindex(device), side, 0, 0
    attr = bytearray(
        struct.pack("=IIIIQI4xQQQQ", *head, bpf_call.address(programs), 16, 0, bpf_call.address(links), 0, 0)
    )
    bpf_call.call("list programs", PROG_QUERY, attr)
    count = struct.unpack_from("=I", attr, 24)[0]
    return list(struct.unpack_from(f"={count}I", links))


def detach_link(number: int) -> None:
    """As an administrator does by hand."""
    found = bpf_call.call("open a link", LINK_GET_FD_BY_ID, bytearray(struct.pack("=III", number, 0, 0)))
    try:
        bpf_call.call("detach a link", LINK_DETACH, bytearray(struct.pack("=I", found)))
    finally:
        os.close(found)


if __name__ == "__main__":
    detach_link(links_of(sys.argv[1])[0])
