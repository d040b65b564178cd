"""A conntrack entry as the kernel told it, read as far as somebody asks: most of sixty thousand are looked at once.

Pure, and never raises on what it reads. Two entries of the same gist differ in nothing that a decision asks for.
Layout: <linux/netfilter/nfnetlink_conntrack.h>, as in `ctmessage`.
"""

from __future__ import annotations

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows import ctmessage
from netpolicy.flows.model import Flow

# What a tuple of TCP, UDP and their like is long, and what its source port begins with: it stands before the last
# attribute. Any other layout keeps its source port, which costs a comparison and nothing else.
PLAIN_SIZES = (ctmessage.V4_SIZE, ctmessage.V6_SIZE)
SOURCE_PORT = wire.ATTRIBUTE.pack(6, ctmessage.PROTO_SOURCE)
ATTRIBUTE_SIZE = 8

Gist = tuple[int, bytes, bytes | None, bytes | None]


class Entry:
    """One entry. `flow` is None where the kernel's message has no complete original direction."""

    __slots__ = ("_payload",)

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def gist(self, with_source_port: bool = True) -> Gist:
        """Family, original direction, mark, state. What changes with each packet is left out."""
        found = wire.attributes(self._payload, ctmessage.NFGENMSG.size)
        original = found.get(ctmessage.ORIGINAL, b"")
        if not with_source_port and len(original) in PLAIN_SIZES:
            port = len(original) - 2 * ATTRIBUTE_SIZE
            if original[port : port + wire.ATTRIBUTE.size] == SOURCE_PORT:
                original = original[:port] + original[port + ATTRIBUTE_SIZE :]
        state = found.get(ctmessage.PROTOINFO)
        return self._payload[0], original, found.get(ctmessage.MARK), state

    @property
    def flow(self) -> Flow | None:
        """All of it."""
        return ctmessage.flow(self._payload)
