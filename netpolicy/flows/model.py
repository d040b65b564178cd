"""What is known of one connection, in the same words whichever source told it.

Plain values; never does I/O, never says what a flow means or where it should go.
Fields: <linux/netfilter/nfnetlink_conntrack.h>, nf_conntrack_common.h, and /proc/net/nf_conntrack.
"""

from __future__ import annotations

from dataclasses import dataclass

# Bits of `Flow.status`, IPS_* in nf_conntrack_common.h
SEEN_REPLY, ASSURED, CONFIRMED = 0x2, 0x4, 0x8
SOURCE_NAT, DESTINATION_NAT = 0x10, 0x20
DYING, OFFLOADED, HARDWARE_OFFLOADED = 0x200, 0x4000, 0x8000

ICMP, TCP, UDP, DCCP, ICMPV6, SCTP, UDPLITE = 1, 6, 17, 33, 58, 132, 136

FlowKey = tuple[int, int, int, str, int, str, int, int, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection as conntrack holds it. "Original" is the direction of its first packet.

    `packets` and `bytes` are the sum of both directions, 0 where accounting is off or the message
    did not tell. ICMP has no ports: `icmp_type`, `icmp_code`, `icmp_id` are of the original direction.
    """

    id: int  # the kernel's, may come back for a later flow; 0 where the source tells none (/proc)
    family: int  # 4 or 6
    protocol: int  # IP protocol number
    source: str
    source_port: int
    destination: str
    destination_port: int
    reply_source: str
    reply_source_port: int
    reply_destination: str
    reply_destination_port: int
    mark: int = 0
    packets: int = 0
    bytes: int = 0
    status: int = 0  # IPS_* bits; /proc tells only SEEN_REPLY, ASSURED and the two offload bits
    state: str = ""  # "ESTABLISHED", …: TCP, SCTP and DCCP only
    timeout: int = 0  # seconds until the kernel forgets it; 0 where offloaded or not told
    icmp_type: int = 0
    icmp_code: int = 0
    icmp_id: int = 0
    zone: int = 0

    @property
    def key(self) -> FlowKey:
        """What tells this flow from every other one alive, within one source."""
        return (
            self.id, self.family, self.protocol, self.source, self.source_port,
            self.destination, self.destination_port, self.icmp_id, self.zone,
        )  # fmt: skip

    @property
    def is_answered(self) -> bool:
        """Packets were seen in both directions."""
        return bool(self.status & SEEN_REPLY)

    @property
    def is_offloaded(self) -> bool:
        """Its packets bypass the rules, so a changed rule does not reach it."""
        return bool(self.status & (OFFLOADED | HARDWARE_OFFLOADED))


@dataclass(frozen=True, slots=True)
class FlowEvent:
    """`kind` is new, update, destroy, overrun (events were lost) or resync (the whole table was read).

    `flow` is None for the last two.
    """

    kind: str
    flow: Flow | None = None


OVERRUN = FlowEvent("overrun")
RESYNC = FlowEvent("resync")
