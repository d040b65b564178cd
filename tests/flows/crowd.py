"""Thousands of conntrack entries in the namespace of the caller, made by ctnetlink: a busy router without its packets.

Each has a client, a server and a mark of its own choosing; none belongs to a socket.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import replace

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import NETFILTER, open_socket
from netpolicy.flows import ctmessage
from netpolicy.flows.entry import Entry
from netpolicy.flows.model import TCP, Flow

LIFETIME = struct.pack(">I", 600)
PER_DATAGRAM = 100


def client(number: int, mark: int, port: int = 443, protocol: int = TCP) -> Flow:
    """The connection of this number: 200 clients behind `lan`, each with ports of its own."""
    source, source_port = f"192.168.1.{20 + number % 200}", 10000 + number // 200
    server = f"203.0.113.{1 + number % 50}"
    return Flow(
        0, 4, protocol, source, source_port, server, port, server, port, source, source_port, mark, state="ESTABLISHED"
    )


def fill(flows: Iterable[Flow]) -> int:
    """Adds them to the table; says how many."""
    made = list(flows)
    opened = open_socket(NETFILTER)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with opened:
        for start in range(0, len(made), PER_DATAGRAM):
            batch = made[start : start + PER_DATAGRAM]
            opened.sendto(b"".join(map(_creation, batch)), (0, 0))
            opened.settimeout(30)
            # The last one is acknowledged; whatever comes before that is a refusal.
            opened.sendto(wire.message(wire.NOOP, wire.F_REQUEST | wire.F_ACK, 7, b""), (0, 0))
            for answer in wire.messages(opened.recv(65536)):
                assert wire.outcome(answer)[0] == 0, wire.outcome(answer)
    return len(made)


def told(flow: Flow) -> Entry:
    """The entry as the kernel would tell it."""
    return Entry(_body(flow))


def _creation(flow: Flow) -> bytes:
    return wire.message(ctmessage.NEW, wire.F_REQUEST | wire.F_CREATE | wire.F_EXCL, 1, _body(flow))


def _body(flow: Flow) -> bytes:
    turned = replace(
        flow,
        source=flow.reply_source,
        source_port=flow.reply_source_port,
        destination=flow.reply_destination,
        destination_port=flow.reply_destination_port,
    )
    body = ctmessage.encode_delete(flow)  # its tuple; the answers' one is the same the other way round
    answers = wire.attributes(ctmessage.encode_delete(turned), ctmessage.NFGENMSG.size)[ctmessage.ORIGINAL]
    body += wire.attribute(ctmessage.REPLY | wire.NESTED, answers)
    body += wire.attribute(ctmessage.TIMEOUT, LIFETIME) + wire.attribute(ctmessage.MARK, struct.pack(">I", flow.mark))
    if flow.protocol == TCP:
        state = bytes((ctmessage.STATES[1].index(flow.state or "ESTABLISHED"),))
        body += wire.nested(ctmessage.PROTOINFO, wire.nested(1, wire.attribute(1, state)))
    return body
