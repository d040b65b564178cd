"""Conntrack over netlink: read the table, hear what changes.

Never decides which flow matters; never blocks for events; needs CAP_NET_ADMIN.
Messages in `ctmessage`; the kernel's side is nf_conntrack_netlink (a module on OpenWrt).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from netpolicy.dataplane.netlink_socket import (
    ADD_MEMBERSHIP,
    NETFILTER,
    READ_SIZE,
    SOL_NETLINK,
    open_socket,
    refusal,
    set_receive_buffer,
)
from netpolicy.flows import ctdump, ctmessage
from netpolicy.flows.entry import Entry
from netpolicy.flows.model import OVERRUN, Flow, FlowEvent
from netpolicy.flows.tracked import Tracked

# NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY
EVENT_GROUPS = (1, 2, 3)
# About 10,000 events of queue: more than a slow box makes while the loop is busy elsewhere.
RECEIVE_BUFFER = 4 << 20
# Datagrams per read: one event each, so the loop gets its turn after two milliseconds on a host, twenty on a router.
READ_LIMIT = 256


def dump(mark: int = 0, mask: int = 0) -> list[Flow]:
    """All flows of both families; with a mask only those with `flow.mark & mask == mark`. NetlinkError.

    The filter runs in the kernel. Blocks for the whole table: the daemon uses `dump_batches`.
    """
    return [flow for batch in dump_batches(mark, mask) for flow in batch]


def dump_batches(mark: int = 0, mask: int = 0) -> Iterator[list[Flow]]:
    """The same table in steps of about a hundred flows, each a millisecond or less.

    A flow may appear twice where the kernel's table was resized meanwhile.
    """
    for payloads in ctdump.payloads(mark, mask):
        flows = map(ctmessage.flow, payloads)
        # asked again here, because a kernel without the filter answers with everything
        yield [flow for flow in flows if flow is not None and flow.mark & mask == mark & mask]


def entry_batches(mark: int = 0, mask: int = 0) -> Iterator[list[Entry]]:
    """As `dump_batches`, without taking the entries apart."""
    for payloads in ctdump.payloads(mark, mask):
        yield list(map(Entry, payloads))


def tracked_batches(mark: int = 0, mask: int = 0) -> Iterator[list[Tracked]]:
    """As `dump_batches`, in the lighter form."""
    for payloads in ctdump.payloads(mark, mask):
        found = map(ctmessage.tracked, payloads)
        yield [one for one in found if one is not None and one.mark & mask == mark & mask]


def describe(flow: Flow) -> str:
    """One flow for a message: protocol number, source and destination."""
    return f"protocol {flow.protocol} {flow.source}:{flow.source_port} → {flow.destination}:{flow.destination_port}"


class Events:
    """Subscription to new, changed and ended flows. Not for several threads at once.

    A flow that began before the first subscriber of its namespace tells nothing, not even its end
    (net.netfilter.nf_conntrack_events=2, the default since Linux 5.19): read the table now and then.
    """

    def __init__(self, receive_buffer: int = RECEIVE_BUFFER) -> None:
        """Subscribe; NetlinkError where the kernel has no ctnetlink or refuses."""
        try:
            self._socket = open_socket(NETFILTER, socket.SOCK_NONBLOCK)
        except OSError as error:
            raise refusal("watch connections", error.errno or errno.EIO) from None
        try:
            set_receive_buffer(self._socket, receive_buffer)
            for group in EVENT_GROUPS:
                self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
        except OSError as error:
            self._socket.close()
            raise refusal("watch connections", error.errno or errno.EIO) from None

    def fileno(self) -> int:
        """For loop.add_reader, select and poll."""
        return self._socket.fileno()

    def read(self) -> list[FlowEvent]:
        """Events since the last read; "overrun" where the kernel dropped some; [] when there are none.

        NetlinkError where the socket died. A busy kernel may leave more: the descriptor stays readable.
        """
        events: list[FlowEvent] = []
        for _ in range(READ_LIMIT):
            try:
                data, sender = self._socket.recvfrom(READ_SIZE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise refusal("watch connections", error.errno or errno.EIO) from None
                events.append(OVERRUN)
                continue
            if sender[0] == 0:  # only the kernel is believed
                events += ctmessage.events(data)
        return events

    def close(self) -> None:
        """Unsubscribe; may be repeated. Remove the reader from the loop first."""
        self._socket.close()
