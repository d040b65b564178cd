"""One connection as conntrack counts it: the lighter form of a flow, for reading whole tables often.

Plain values; never does I/O, never says what a connection means.
Fields: <linux/netfilter/nfnetlink_conntrack.h>, and /proc/net/nf_conntrack; one field order for both.
"""

from __future__ import annotations

from typing import NamedTuple


class Tracked(NamedTuple):
    """ "Original" is the direction of the first packet; addresses have four or sixteen bytes, in network order.

    Counters are 0 where accounting is off (net.netfilter.nf_conntrack_acct) or the message did not tell.
    """

    protocol: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    reply_source: bytes  # who answers, after any translation of the destination
    reply_source_port: int
    mark: int
    status: int  # IPS_* bits as in `model`; /proc tells only SEEN_REPLY, ASSURED and the two offload bits
    packets: int
    bytes: int
    reply_packets: int
    reply_bytes: int
    state: str  # "ESTABLISHED", …: TCP, SCTP and DCCP only
