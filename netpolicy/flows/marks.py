"""Changes conntrack entries: forget a flow, or write bits of its mark.

Acts on every entry that it is asked for and on no other; never decides which class or mask that
is. CTA_MARK with CTA_MARK_MASK: <linux/netfilter/nfnetlink_conntrack.h>.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Sequence

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import NETFILTER, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import ctmessage, ctnetlink
from netpolicy.flows.deletion import Deletion
from netpolicy.flows.entry import Entry
from netpolicy.flows.model import Flow

_NUMBER = struct.Struct("!I")


class Conntrack:
    """The conntrack table of this network namespace. Every method raises NetlinkError."""

    def forget(self, mark: int, mask: int) -> None:
        """Deletes the entries with `entry.mark & mask == mark`, so that their next packet is decided again.

        O(entries) in the kernel: some ten milliseconds for as many thousands.
        """
        kernel = KernelSocket(NETFILTER)
        try:
            kernel.request("delete connections by mark", ctmessage.DELETE, 0, ctmessage.encode_flush(mark & mask, mask))
        finally:
            kernel.close()
        # Before 5.14 the kernel passes over those that bypass the rules; one by one it may delete them.
        self.delete(ctnetlink.dump(mark, mask))

    def clear_marks(self, mask: int) -> int:
        """Clears the bits of `mask` in every entry; the entries themselves, with their NAT, stay. O(entries)."""
        kernel = KernelSocket(NETFILTER)
        try:
            return sum(1 for flow in ctnetlink.dump() if flow.mark & mask and _write(kernel, flow, 0, mask))
        finally:
            kernel.close()

    def entries(self) -> Iterator[list[Entry]]:
        """Every entry, in steps of about a hundred, each a millisecond or less."""
        return ctnetlink.entry_batches()

    def delete(self, flows: Sequence[Flow]) -> list[Flow]:
        """Deletes these entries, told by tuple and id, and no other; those that were there still."""
        if not flows:
            return []
        deletion = Deletion()
        try:
            return deletion.delete(flows)
        finally:
            deletion.close()

    def set_mark(self, flow: Flow, mark: int, mask: int) -> bool:
        """Writes the bits of `mask` in the mark of this entry; False where it was gone."""
        kernel = KernelSocket(NETFILTER)
        try:
            return _write(kernel, flow, mark, mask)
        finally:
            kernel.close()


def _write(kernel: KernelSocket, flow: Flow, mark: int, mask: int) -> bool:
    # CTA_MARK replaces what CTA_MARK_MASK selects.
    value = wire.attribute(ctmessage.MARK, _NUMBER.pack(mark)) + wire.attribute(ctmessage.MARK_MASK, _NUMBER.pack(mask))
    body = ctmessage.encode_delete(flow) + value
    return _request(kernel, f"write the mark of {ctnetlink.describe(flow)}", ctmessage.NEW, body)


def _request(kernel: KernelSocket, what: str, kind: int, body: bytes) -> bool:
    """Do one thing; False where the flow ended meanwhile."""
    try:
        kernel.request(what, kind, 0, body)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True
