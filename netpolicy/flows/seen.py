"""What an inspector saw of one connection: the first bytes of it, and how well it went.

Plain values; never does I/O, never says what the bytes mean: the parsers beside this file do.
Every tier (eBPF, packet socket, conntrack) tells in these words; a field that a tier cannot know has its default.
"""

from __future__ import annotations

from typing import NamedTuple

# Client address, remote address, client port, remote port, IP protocol number. Addresses are 16 bytes in network
# order, IPv4 as ::ffff:a.b.c.d. "Client" is the LAN side, whoever opened the connection.
SeenKey = tuple[bytes, bytes, int, int, int]

MAPPED = bytes(10) + b"\xff\xff"  # what stands before the four bytes of an IPv4 address

# Kinds of payload
STREAM = "stream"  # TCP: the first bytes of the client, which opened the connection
BEGINNING = "beginning"  # the same by a tier that tells the first segment alone: nothing follows
HELLO = "hello"  # in place of STREAM: what a whole ClientHello says, as `tls_hello.from_told` reads it
INBOUND = "inbound"  # as STREAM, where the remote side opened it: a name in there is not the remote's
DNS_QUERY, DNS_ANSWER = "dns_query", "dns"  # one UDP datagram to or from port 53 of the remote
# DNS over TCP: the first bytes of the client, which opened the connection, and of the name server
DNS_ASKING, DNS_ANSWERING = "dns_asking", "dns_answering"
QUIC = "quic"  # one UDP datagram with an Initial packet of the client

# States of a connection. UDP knows "open" alone: whether it was answered, `down.packets` tells.
SYN, OPEN, CLOSED, RESET = "syn", "open", "closed", "reset"


class Payload(NamedTuple):
    """A piece of payload, to be parsed and dropped: it must never be stored, logged or shown."""

    key: SeenKey
    kind: str
    offset: int  # bytes before this piece in the direction's stream; 0 for datagrams
    data: bytes
    when: float  # time.monotonic() at which the packet passed
    first: bool  # nothing of this flow came before; older pieces under the same key belong to a dead one

    def __repr__(self) -> str:
        """Without the bytes: a value that ends up in a log or an error must not carry them."""
        return f"Payload({self.kind!r}, offset={self.offset}, {len(self.data)} bytes)"


class Side(NamedTuple):
    """One direction of a connection. Counts are totals since its first packet."""

    bytes: int = 0  # IP bytes (network layer), each packet of a merged one with its own header
    packets: int = 0  # on the wire: a packet merged by GRO or TSO counts as what it is made of
    retransmits: int = 0  # TCP segments that ended below what was seen before; reordering counts too
    resets: int = 0
    syns: int = 0
    fin: bool = False
    srtt_us: int = 0  # smoothed time from a segment of this side to its ACK, as far as from here; 0: not known
    ttl: int = 0  # of the first SYN, 0: none seen
    ttl_reset: int = 0  # of the first RST; one that differs from `ttl` was probably sent by somebody on the way


class Measured(NamedTuple):
    """How a connection goes. A later report of the same flow replaces an earlier one."""

    key: SeenKey
    state: str
    up: Side  # from the client
    down: Side  # to the client
    rtt_remote_us: int = 0  # SYN to SYN-ACK; 0: not seen, or not certain because one of them was repeated
    rtt_client_us: int = 0  # SYN-ACK to the ACK of the handshake, same rule
    inbound: bool = False  # the remote side opened it, so "remote" and "client" change places in the two above
    mid: bool = False  # its beginning was not seen
    lost: bool = False  # a piece of its payload was lost on the way to us
    first: float = 0.0  # time.monotonic() of its first and last packet
    last: float = 0.0
    final: bool = False  # over, or silent for so long that nothing more is told of it
    ifindex: int = 0  # device that saw it, 0: unknown
    mac: bytes = b""  # the client's, six bytes; empty where the device has none

    @property
    def was_cut(self) -> bool:
        """The remote, or somebody in its name, reset what was open and what nobody was about to end."""
        up, down = self.up, self.down
        is_ending = up.fin or down.fin or up.resets
        return self.state == RESET and bool(down.resets) and down.packets > down.resets and not is_ending
