"""Asks conntrack for the one entry of a connection whose ends a program of the router knows.

Never reads the whole table where the kernel can be asked for one entry; changes nothing.
Messages: IPCTNL_MSG_CT_GET of <linux/netfilter/nfnetlink_conntrack.h>; without ctnetlink, /proc/net/nf_conntrack.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import NETFILTER, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import ctmessage, proc
from netpolicy.flows.model import TCP, Flow

Ends = tuple[str, int, str, int]  # of the client, then of the router: address, port, address, port

# How much of the text table is looked at, in batches of 200 lines: more entries than any router has by default.
BATCH_LIMIT = 2000


def tcp_flows(wanted: Collection[Ends]) -> tuple[str, dict[Ends, Flow]]:
    """What conntrack knows of these connections of the router's programs, and who told: ctnetlink, proc or none.

    A program sees a connection as the *answers* to it look, so translated ones are found too. O(wanted)
    with ctnetlink, else O(table).
    """
    try:
        return "ctnetlink", by_netlink(wanted)
    except NetlinkError:
        pass
    try:
        return "proc", by_text(wanted)
    except OSError:
        return "none", {}


def by_netlink(wanted: Collection[Ends]) -> dict[Ends, Flow]:
    """One question for each. NetlinkError where the kernel has no ctnetlink or refuses."""
    kernel = KernelSocket(NETFILTER)
    try:
        found = {ends: _one(kernel, ends) for ends in wanted}
    finally:
        kernel.close()
    return {ends: flow for ends, flow in found.items() if flow is not None}


def by_text(wanted: Collection[Ends]) -> dict[Ends, Flow]:
    """From the table in /proc, whose entries have no id. OSError where there is none."""
    found: dict[Ends, Flow] = {}
    keys = set(wanted)
    for number, batch in enumerate(proc.batches()):
        of_tcp = (one for one in batch if one.protocol == TCP)
        found.update((ends, one) for one in of_tcp for ends in all_ends(one) if ends in keys)
        if number >= BATCH_LIMIT:
            break
    return found


def encode_get(ends: Ends) -> bytes:
    """The body that asks for the entry whose answers go from the router to the client. ValueError: no addresses."""
    remote, remote_port, local, local_port = ends
    family, number, first = (4, socket.AF_INET, 1) if ":" not in local else (6, socket.AF_INET6, 3)
    try:
        packed = [socket.inet_pton(number, one) for one in (local, remote)]
    except OSError:
        raise ValueError(f"not two addresses of one family: {local!r}, {remote!r}") from None
    ip = wire.nested(ctmessage.TUPLE_IP, *(wire.attribute(first + n, one) for n, one in enumerate(packed)))
    protocol = wire.nested(
        ctmessage.TUPLE_PROTO,
        wire.attribute(ctmessage.PROTO_NUMBER, bytes((TCP,))),
        wire.attribute(ctmessage.PROTO_SOURCE, struct.pack(">H", local_port)),
        wire.attribute(ctmessage.PROTO_DESTINATION, struct.pack(">H", remote_port)),
    )
    head = ctmessage.NFGENMSG.pack(ctmessage.FAMILIES[family], 0, 0)
    return head + wire.nested(ctmessage.REPLY, ip, protocol)


def all_ends(flow: Flow) -> tuple[Ends, Ends]:
    """The ends of a flow as a program sees them: one that answers it, and one that opened it."""
    return (
        (flow.reply_destination, flow.reply_destination_port, flow.reply_source, flow.reply_source_port),
        (flow.destination, flow.destination_port, flow.source, flow.source_port),
    )


def _one(kernel: KernelSocket, ends: Ends) -> Flow | None:
    try:
        answers = kernel.request("look up a connection", ctmessage.GET, 0, encode_get(ends))
    except ValueError:
        return None
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    flows = (ctmessage.flow(answer.payload) for answer in answers if answer.kind == ctmessage.NEW)
    # The kernel finds an entry by either of its directions, so also a connection that the router opened.
    return next((one for one in flows if one is not None and ends in all_ends(one)), None)
